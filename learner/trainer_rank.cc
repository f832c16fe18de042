#include "learner/trainer_rank.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "kernels/collective.h"
#include "learner/losses.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/tensor_source.h"
#include "model/tokenizer.h"

namespace ponder {
namespace {

using kernels::DeviceBuffer;

bool AllFinite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

// Notes what the clip did in a micro-batch whose groups begin at `first_group` of the step's.
void NoteClips(const MicroBatch& micro_batch, const PolicyLossResult& result, size_t first_group,
               PolicyStep& step) {
  if (result.clipped_low + result.clipped_high == 0) return;
  step.clips.resize(step.groups.size());
  for (size_t i = 0; i < result.clips.size(); ++i) {
    if (result.clips[i] == 0) continue;
    const TokenOrigin& origin = micro_batch.origins[i];
    const size_t group = first_group + static_cast<size_t>(origin.group);
    const auto& completions = step.groups[group].group.completions;
    const auto completion = static_cast<size_t>(origin.completion);
    step.clips[group].resize(completions.size());
    std::vector<int8_t>& tokens = step.clips[group][completion];
    tokens.resize(completions[completion].token_ids.size());
    tokens[static_cast<size_t>(origin.token)] = result.clips[i];
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerRank>> TrainerRank::Create(const TrainerDevice& device,
                                                                 const TrainerOptions& options) {
  std::unique_ptr<TrainerRank> rank(new TrainerRank(device, options));
  PONDER_RETURN_IF_ERROR(rank->Init());
  return rank;
}

absl::Status TrainerRank::Init() {
  const std::string& directory = options_.model_directory;
  PONDER_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(directory));
  PONDER_ASSIGN_OR_RETURN(weights_, Weights::Create(*backend_, config, options_.dtype));
  {
    PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<TensorSource> source, OpenSafetensors(directory));
    std::vector<float> flat(static_cast<size_t>(weights_->Layout().count));
    PONDER_RETURN_IF_ERROR(ReadFlat(*source, config, weights_->Layout(), flat.data()));
    PONDER_ASSIGN_OR_RETURN(
        optimizer_, Optimizer::Create(*backend_, *weights_, std::move(flat),
                                      {.moments = options_.moments, .offload = options_.offload}));
  }
  int64_t valid = options_.valid_vocabulary;
  if (valid == 0 && std::filesystem::exists(std::filesystem::path(directory) / "tokenizer.json")) {
    PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(directory));
    valid = tokenizer->Size();
  }
  weights_->SetDrawableTokens(valid == 0 ? config.vocabulary : std::min(valid, config.vocabulary));

  const int64_t rows = options_.micro_batch_tokens;
  const int64_t pages = MicroBatchPages(rows);
  decoder_ = std::make_unique<Decoder>(*backend_, *weights_);
  const auto [cache_place, activations_place] = DividePlace(config);
  PONDER_ASSIGN_OR_RETURN(cache_,
                          KvCache::Create(*backend_, config, options_.dtype, pages, cache_place));
  PONDER_ASSIGN_OR_RETURN(activations_, CreateActivations(*backend_, config, options_.dtype, rows,
                                                          pages, options_.keep, activations_place));
  for (DeviceBuffer* buffer :
       {&row_targets_, &row_inverse_temperatures_, &row_logsumexps_, &row_d_logprobs_}) {
    PONDER_ASSIGN_OR_RETURN(*buffer,
                            DeviceBuffer::Create(*backend_, rows * int64_t{sizeof(float)}));
  }
  PONDER_ASSIGN_OR_RETURN(
      d_hidden_, DeviceBuffer::Create(*backend_, rows * config.width * int64_t{sizeof(float)}));
  return absl::OkStatus();
}

// Of the cache and of the activations; null each where the rank has no place.
std::pair<kernels::DeviceSpan, kernels::DeviceSpan> TrainerRank::DividePlace(
    const ModelConfig& config) const {
  if (place_.data == nullptr) return {};
  const int64_t cache =
      std::min(place_.bytes,
               KvCache::Bytes(config, options_.dtype, MicroBatchPages(options_.micro_batch_tokens),
                              backend_->Info().can_record));
  return {{place_.data, cache}, {static_cast<char*>(place_.data) + cache, place_.bytes - cache}};
}

PackingLimits TrainerRank::Limits() const {
  return {.max_rows = options_.micro_batch_tokens,
          .max_pages = MicroBatchPages(options_.micro_batch_tokens),
          .max_positions = weights_->Config().max_positions,
          .vocabulary = weights_->Config().vocabulary,
          .valid_vocabulary = weights_->DrawableTokens()};
}

absl::StatusOr<Decoder::Scored> TrainerRank::Score(Decoder& decoder, const MicroBatch& micro_batch,
                                                   const void* hidden) {
  PONDER_ASSIGN_OR_RETURN(const void* target_rows, decoder.GatherRows(hidden, micro_batch.rows));
  return decoder.LogProbs(target_rows, micro_batch.targets, micro_batch.inverse_temperatures);
}

// Log-probs alone, nothing kept; overwrites the cache.
absl::StatusOr<std::vector<float>> TrainerRank::LogProbsOf(Decoder& decoder,
                                                           const MicroBatch& micro_batch) {
  PONDER_RETURN_IF_ERROR(decoder.ReserveRows(options_.micro_batch_tokens));
  PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder.Forward(micro_batch.batch, *cache_));
  PONDER_ASSIGN_OR_RETURN(Decoder::Scored scored, Score(decoder, micro_batch, hidden));
  return std::move(scored.logprobs);
}

absl::Status TrainerRank::Backward(const MicroBatch& micro_batch, const void* hidden,
                                   const Decoder::Scored& scored,
                                   const std::vector<float>& d_logprobs) {
  // All rows go in, since those with a gradient of 0 cost nothing: d_hidden needs no scattering.
  const int64_t rows = micro_batch.batch.Rows();
  std::vector<int32_t> targets(static_cast<size_t>(rows), 0);
  std::vector<float> inverse_temperatures(static_cast<size_t>(rows), 1);
  std::vector<float> logsumexps(static_cast<size_t>(rows), 0);
  std::vector<float> gradients(static_cast<size_t>(rows), 0);
  for (size_t i = 0; i < micro_batch.rows.size(); ++i) {
    const size_t row = static_cast<size_t>(micro_batch.rows[i]);
    targets[row] = micro_batch.targets[i];
    inverse_temperatures[row] = micro_batch.inverse_temperatures[i];
    logsumexps[row] = scored.logsumexps[i];
    gradients[row] = d_logprobs[i];
  }
  const int64_t bytes = rows * int64_t{sizeof(float)};
  backend_->CopyIn(row_targets_.As<int32_t>(), targets.data(), bytes);
  backend_->CopyIn(row_inverse_temperatures_.As<float>(), inverse_temperatures.data(), bytes);
  backend_->CopyIn(row_logsumexps_.As<float>(), logsumexps.data(), bytes);
  backend_->CopyIn(row_d_logprobs_.As<float>(), gradients.data(), bytes);

  const ParameterLayout& layout = weights_->Layout();
  const Parameter& head = layout.parameters[static_cast<size_t>(layout.head)];
  backend_->LogProbBackward({.hidden = hidden,
                             .w = weights_->Head(),
                             .targets = row_targets_.As<int32_t>(),
                             .inverse_temperatures = row_inverse_temperatures_.As<float>(),
                             .logsumexps = row_logsumexps_.As<float>(),
                             .d_logprobs = row_d_logprobs_.As<float>(),
                             .d_hidden = d_hidden_.As<float>(),
                             .d_w = optimizer_->Gradients() + head.offset,
                             .rows = rows});
  return decoder_->Backward(micro_batch.batch, *cache_, *activations_, d_hidden_.As<float>(),
                            optimizer_->Gradients());
}

absl::StatusOr<std::vector<std::vector<float>>> TrainerRank::ScoreTargets(const Packing& packing,
                                                                          PolicyStep& step) {
  std::vector<std::vector<float>> scores;
  for (const MicroBatch& micro_batch : packing.micro_batches) {
    PONDER_ASSIGN_OR_RETURN(std::vector<float> logprobs, LogProbsOf(*decoder_, micro_batch));
    step.sums.Compare(micro_batch, logprobs, step.start_version);
    scores.push_back(std::move(logprobs));
  }
  return scores;
}

absl::StatusOr<std::string> TrainerRank::AccumulatePolicy(
    const Packing& packing, std::span<const ScoredGroup> groups,
    const std::vector<std::vector<float>>& old_logprobs, PolicyStep& step) {
  const bool is_capped = step.loss.importance_cap > 0;
  // Log-probs of before the first update are those that the sampler's are compared with.
  const bool compares = weights_->Version() == step.start_version && old_logprobs.empty();
  for (size_t i = 0; i < packing.micro_batches.size(); ++i) {
    const MicroBatch& micro_batch = packing.micro_batches[i];
    std::vector<float> reference;
    // First, because the policy's keys and values must stay in the cache.
    if (step.loss.kl_weight > 0) {
      PONDER_ASSIGN_OR_RETURN(reference, LogProbsOf(*reference_decoder_, micro_batch));
    }
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_->ForwardForTraining(
                                                    micro_batch.batch, *cache_, *activations_));
    PONDER_ASSIGN_OR_RETURN(const Decoder::Scored scored, Score(*decoder_, micro_batch, hidden));
    if (compares) step.sums.Compare(micro_batch, scored.logprobs, step.start_version);

    const std::vector<float>& old = !is_capped             ? micro_batch.behaviour
                                    : old_logprobs.empty() ? scored.logprobs
                                                           : old_logprobs[i];
    const PolicyLossResult result = PolicyLoss(step.loss, {.logprobs = scored.logprobs,
                                                           .behaviour = micro_batch.behaviour,
                                                           .old = old,
                                                           .reference = reference,
                                                           .advantages = micro_batch.advantages,
                                                           .weights = micro_batch.weights});
    if (!std::isfinite(result.loss) || !AllFinite(result.d_logprobs))
      return NameBadLoss(micro_batch, groups, scored);
    step.sums.Add(micro_batch, result, scored, step.start_version);
    NoteClips(micro_batch, result, static_cast<size_t>(groups.data() - step.groups.data()), step);
    PONDER_RETURN_IF_ERROR(Backward(micro_batch, hidden, scored, result.d_logprobs));
  }
  return "";
}

absl::StatusOr<std::string> TrainerRank::AccumulateSupervised(const Packing& packing,
                                                              SupervisedSums& sums) {
  for (const MicroBatch& micro_batch : packing.micro_batches) {
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_->ForwardForTraining(
                                                    micro_batch.batch, *cache_, *activations_));
    PONDER_ASSIGN_OR_RETURN(const Decoder::Scored scored, Score(*decoder_, micro_batch, hidden));
    const SupervisedLossResult result = SupervisedLoss(scored.logprobs, micro_batch.weights);
    if (!std::isfinite(result.loss)) return NameBadLoss(micro_batch, {}, scored);
    sums.loss += result.loss;
    for (const float value : scored.entropies) sums.entropy += value;
    PONDER_RETURN_IF_ERROR(Backward(micro_batch, hidden, scored, result.d_logprobs));
  }
  return "";
}

std::string TrainerRank::NameBadLoss(const MicroBatch& micro_batch,
                                     std::span<const ScoredGroup> groups,
                                     const Decoder::Scored& scored) const {
  const auto describe = [&](size_t i, std::string_view what, float value) {
    const TokenOrigin& origin = micro_batch.origins[i];
    const std::string owner =
        groups.empty() ? fmt::format("example {}", origin.group)
                       : fmt::format("completion {} of task '{}'", origin.completion,
                                     groups[static_cast<size_t>(origin.group)].group.task.id);
    return fmt::format("the {} of token {} of {} is {}", what, origin.token, owner, value);
  };
  for (size_t i = 0; i < micro_batch.rows.size(); ++i) {
    if (!std::isfinite(micro_batch.advantages[i]))
      return describe(i, "advantage", micro_batch.advantages[i]);
    if (!std::isfinite(micro_batch.behaviour[i]))
      return describe(i, "behaviour log-prob", micro_batch.behaviour[i]);
  }
  if (const std::string tensor = optimizer_->FirstBadWeight(); !tensor.empty())
    return fmt::format("the weight {} is not finite", tensor);
  for (size_t i = 0; i < micro_batch.rows.size(); ++i) {
    if (!std::isfinite(scored.logprobs[i])) return describe(i, "log-prob", scored.logprobs[i]);
  }
  return "the loss is not finite, though log-probs, advantages and weights are";
}

absl::Status TrainerRank::SetReferenceFromCurrent() {
  if (reference_ == nullptr) {
    PONDER_ASSIGN_OR_RETURN(reference_, MakeReference(*backend_, *weights_));
    reference_decoder_ = std::make_unique<Decoder>(*backend_, *reference_);
  }
  for (int64_t i = 0; i < static_cast<int64_t>(weights_->Layout().parameters.size()); ++i)
    PONDER_RETURN_IF_ERROR(
        reference_->ImportWorking(i, weights_->ExportWorking(i), weights_->Order()));
  reference_->SetVersion(weights_->Version());
  return absl::OkStatus();
}

absl::StatusOr<double> TrainerRank::ReduceGradients() {
  if (collective_ != nullptr) {
    PONDER_RETURN_IF_ERROR(
        collective_->AllReduceSum(optimizer_->Gradients(), weights_->Layout().count));
  }
  return optimizer_->GradientNorm();
}

absl::Status TrainerRank::Load(const std::string& directory, TrainerCounters& counters) {
  std::unique_ptr<Weights> reference;
  PONDER_RETURN_IF_ERROR(
      LoadTrainer(directory, *backend_, *weights_, *optimizer_, reference, counters));
  reference_decoder_.reset();
  reference_ = std::move(reference);
  if (reference_ != nullptr) reference_decoder_ = std::make_unique<Decoder>(*backend_, *reference_);
  return absl::OkStatus();
}

}  // namespace ponder
