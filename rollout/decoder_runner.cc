#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kv_cache.h"
#include "rollout/step_runner.h"

namespace ponder {
namespace {

using kernels::DeviceBuffer;

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
    return runner;
  }

  StepRunnerInfo Info() const override {
    const Weights& weights = decoder_.GetWeights();
    return {.fingerprint = decoder_.GetBackend().Info().fingerprint,
            .vocabulary = weights.Config().vocabulary,
            .drawable_tokens = weights.DrawableTokens(),
            .max_positions = weights.Config().max_positions,
            .pages = cache_->Shape().pages,
            .version = weights.Version()};
  }

  absl::StatusOr<std::vector<SampledToken>> Run(std::span<const StepInput> inputs) override {
    DecoderBatch batch;
    std::vector<int64_t> rows;
    std::vector<kernels::SampleRow> params;
    for (const StepInput& input : inputs) {
      batch.Add(input.ids, input.first_position, input.pages);
      if (!input.samples) continue;
      rows.push_back(batch.Rows() - 1);
      params.push_back(input.sampling);
    }
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_.Forward(batch, *cache_));
    if (rows.empty()) return std::vector<SampledToken>();
    PONDER_ASSIGN_OR_RETURN(hidden, decoder_.GatherRows(hidden, rows));
    return Sample(hidden, params);
  }

 private:
  DecoderRunner(Decoder& decoder, int64_t max_sequences)
      : decoder_(decoder),
        max_sequences_(max_sequences),
        stride_((max_sequences + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats) {}

  std::vector<SampledToken> Sample(const void* hidden,
                                   const std::vector<kernels::SampleRow>& params) {
    kernels::Backend& backend = decoder_.GetBackend();
    const int64_t count = std::ssize(params);
    PONDER_CHECK(count <= max_sequences_);
    const auto is_restricted = [](const kernels::SampleRow& row) {
      return row.top_p < 1 || row.top_k > 0;
    };
    backend.CopyIn(params_.As<void>(), params.data(), count * sizeof(kernels::SampleRow));
    float* const drawn = drawn_.As<float>();
    backend.Sample({.hidden = hidden,
                    .w = decoder_.GetWeights().Head(),
                    .params = params_.As<kernels::SampleRow>(),
                    .may_restrict = std::ranges::any_of(params, is_restricted),
                    .tokens = drawn_.As<int32_t>(),
                    .logprobs = drawn + stride_,
                    .entropies = drawn + 2 * stride_,
                    .rows = count});
    // One copy: each waits for the device.
    host_.resize(static_cast<size_t>(3 * stride_));
    backend.Synchronize();
    backend.CopyOut(host_.data(), drawn, (2 * stride_ + count) * int64_t{sizeof(float)});
    std::vector<SampledToken> sampled(count);
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(&sampled[i].id, &host_[i], sizeof(int32_t));
      sampled[i].logprob = host_[stride_ + i];
      sampled[i].entropy = host_[2 * stride_ + i];
    }
    return sampled;
  }

  Decoder& decoder_;
  const int64_t max_sequences_;
  const int64_t stride_;  // max_sequences, so rounded up that each array starts on 64 bytes
  std::unique_ptr<KvCache> cache_;
  DeviceBuffer params_;      // [stride]
  DeviceBuffer drawn_;       // [3, stride]: tokens, log-probs, entropies
  std::vector<float> host_;  // the same
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
