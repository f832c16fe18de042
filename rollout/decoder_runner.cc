#include <array>
#include <cstring>

#include "base/check.h"
#include "kernels/host_buffer.h"
#include "kernels/kv_cache.h"
#include "rollout/step_runner.h"

namespace ponder {
namespace {

using kernels::DeviceBuffer;
using kernels::HostBuffer;

constexpr int64_t kAlignedFloats = 16;

class DecoderRunner : public StepRunner {
 public:
  static absl::StatusOr<std::unique_ptr<StepRunner>> Create(Decoder& decoder, int64_t max_sequences,
                                                            int64_t pages,
                                                            kernels::DeviceSpan place) {
    auto runner = std::unique_ptr<DecoderRunner>(new DecoderRunner(decoder, max_sequences));
    kernels::Backend& backend = decoder.GetBackend();
    const Weights& weights = decoder.GetWeights();
    PONDER_ASSIGN_OR_RETURN(
        runner->cache_, KvCache::Create(backend, weights.Config(), weights.Dtype(), pages, place));
    const auto allocate = [&](DeviceBuffer& buffer, int64_t row_bytes) -> absl::Status {
      PONDER_ASSIGN_OR_RETURN(buffer, DeviceBuffer::Create(backend, runner->stride_ * row_bytes));
      return absl::OkStatus();
    };
    PONDER_RETURN_IF_ERROR(allocate(runner->params_, sizeof(kernels::SampleRow)));
    PONDER_RETURN_IF_ERROR(allocate(runner->drawn_, 3 * 4));
    for (Turn& turn : runner->turns_) {
      PONDER_ASSIGN_OR_RETURN(
          turn.params,
          HostBuffer::Create(backend, max_sequences * int64_t{sizeof(kernels::SampleRow)}));
      PONDER_ASSIGN_OR_RETURN(turn.drawn, HostBuffer::Create(backend, 3 * runner->stride_ * 4));
    }
    return runner;
  }

  StepRunnerInfo Info() const override {
    const Weights& weights = decoder_.GetWeights();
    return {.fingerprint = decoder_.GetBackend().Info().fingerprint,
            .vocabulary = weights.Config().vocabulary,
            .drawable_tokens = weights.DrawableTokens(),
            .max_positions = weights.Config().max_positions,
            .pages = cache_->Shape().pages,
            .version = weights.Version(),
            .runs_ahead = !decoder_.GetBackend().Info().is_host_memory};
  }

  absl::Status Launch(std::span<const StepInput> inputs) override {
    DecoderBatch batch;
    std::vector<int64_t> rows;
    Turn& turn = turns_[launched_ % turns_.size()];
    auto* const params = turn.params.As<kernels::SampleRow>();
    bool may_restrict = false;
    for (const StepInput& input : inputs) {
      batch.Add(input.ids, input.first_position, input.pages);
      if (input.follows >= 0) {
        batch.drawn = drawn_.As<int32_t>();
        batch.followers.push_back(
            {.row = batch.Rows() - 1, .source = input.follows, .stop_ids = input.stop_ids});
      }
      if (!input.samples) continue;
      PONDER_CHECK(std::ssize(rows) < max_sequences_);
      params[rows.size()] = input.sampling;
      rows.push_back(batch.Rows() - 1);
      may_restrict = may_restrict || input.sampling.top_p < 1 || input.sampling.top_k > 0;
    }
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_.Forward(batch, *cache_));
    if (!rows.empty()) {
      PONDER_ASSIGN_OR_RETURN(hidden, decoder_.GatherRows(hidden, rows));
      Sample(hidden, std::ssize(rows), may_restrict, turn);
    }
    turn.count = std::ssize(rows);
    turn.mark = decoder_.GetBackend().Mark();
    ++launched_;
    return absl::OkStatus();
  }

  std::vector<SampledToken> Collect() override {
    PONDER_CHECK(collected_ < launched_);
    const Turn& turn = turns_[collected_++ % turns_.size()];
    decoder_.GetBackend().Wait(turn.mark);
    const float* const drawn = turn.drawn.As<float>();
    std::vector<SampledToken> sampled(static_cast<size_t>(turn.count));
    for (int64_t i = 0; i < turn.count; ++i) {
      std::memcpy(&sampled[i].id, drawn + i, sizeof(int32_t));
      sampled[i].logprob = drawn[stride_ + i];
      sampled[i].entropy = drawn[2 * stride_ + i];
    }
    return sampled;
  }

 private:
  // The host's part of a step under way.
  struct Turn {
    HostBuffer params;  // [max_sequences]
    HostBuffer drawn;   // [3, stride]
    int64_t count = 0;
    int64_t mark = 0;
  };

  DecoderRunner(Decoder& decoder, int64_t max_sequences)
      : decoder_(decoder),
        max_sequences_(max_sequences),
        stride_((max_sequences + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats) {}

  void Sample(const void* hidden, int64_t count, bool may_restrict, const Turn& turn) {
    kernels::Backend& backend = decoder_.GetBackend();
    backend.CopyIn(params_.As<void>(), turn.params.As<void>(),
                   count * int64_t{sizeof(kernels::SampleRow)});
    float* const drawn = drawn_.As<float>();
    backend.Sample({.hidden = hidden,
                    .w = decoder_.GetWeights().Head(),
                    .params = params_.As<kernels::SampleRow>(),
                    .may_restrict = may_restrict,
                    .tokens = drawn_.As<int32_t>(),
                    .logprobs = drawn + stride_,
                    .entropies = drawn + 2 * stride_,
                    .rows = count});
    // One copy: each is as long as a small kernel.
    backend.CopyOutLater(turn.drawn.As<void>(), drawn,
                         (2 * stride_ + count) * int64_t{sizeof(float)});
  }

  Decoder& decoder_;
  const int64_t max_sequences_;
  const int64_t stride_;  // max_sequences, so rounded up that each array starts on 64 bytes
  std::unique_ptr<KvCache> cache_;
  DeviceBuffer params_;        // [stride]
  DeviceBuffer drawn_;         // [3, stride]: tokens, log-probs, entropies, of the last step
  std::array<Turn, 2> turns_;  // of the steps under way
  size_t launched_ = 0, collected_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepRunner>> CreateDecoderRunner(Decoder& decoder,
                                                                int64_t max_sequences,
                                                                int64_t pages,
                                                                kernels::DeviceSpan place) {
  return DecoderRunner::Create(decoder, max_sequences, pages, place);
}

absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateEngine(Decoder& decoder,
                                                            const Tokenizer& tokenizer,
                                                            const EngineOptions& options) {
  if (options.max_sequences < 1 || options.cache_tokens < 1) {
    return InvalidArgument("expected max_sequences and cache_tokens of 1 or more, found {} and {}",
                           options.max_sequences, options.cache_tokens);
  }
  PONDER_RETURN_IF_ERROR(decoder.ReserveRows(options.max_step_tokens));
  PONDER_ASSIGN_OR_RETURN(
      std::unique_ptr<StepRunner> runner,
      CreateDecoderRunner(decoder, options.max_sequences, kernels::KvPagesFor(options.cache_tokens),
                          options.place));
  return CreateEngineOver(std::move(runner), tokenizer, options);
}

}  // namespace ponder
