#include "learner/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "learner/create_trainer.h"
#include "learner/losses.h"
#include "learner/optimizer.h"
#include "learner/packing.h"
#include "learner/policy_sums.h"
#include "learner/trainer_state.h"
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

// What the updates of one step share.
struct PolicyStep {
  PolicyLossSettings loss;
  int64_t start_version = 0;
  PolicySums sums;
  std::span<const ScoredGroup> groups;
  decltype(UpdateReport::clips) clips;
};

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

class LocalTrainer : public Trainer {
 public:
  LocalTrainer(kernels::Backend& backend, const TrainerOptions& options)
      : backend_(&backend),
        options_(options),
        optimizer_settings_(options.optimizer),
        loss_settings_(options.loss) {}

  absl::Status Init();

  const Weights& GetWeights() const override { return *weights_; }
  int64_t PolicyVersion() const override { return weights_->Version(); }
  absl::StatusOr<UpdateReport> Update(std::span<const ScoredGroup> groups,
                                      SamplerNumerics numerics) override;
  absl::StatusOr<UpdateReport> Supervise(std::span<const SftExample> examples) override;
  absl::Status BeginPhase(const OptimizerSettings& optimizer,
                          const PolicyLossSettings& loss) override;
  absl::Status SetReferenceFromCurrent() override;
  absl::Status SaveCheckpoint(const std::string& directory) override;
  absl::Status LoadCheckpoint(const std::string& directory) override;

 private:
  std::pair<kernels::DeviceSpan, kernels::DeviceSpan> DividePlace(const ModelConfig& config) const;
  PackingLimits Limits() const;
  absl::StatusOr<Decoder::Scored> Score(Decoder& decoder, const MicroBatch& micro_batch,
                                        const void* hidden);
  absl::StatusOr<std::vector<float>> LogProbsOf(Decoder& decoder, const MicroBatch& micro_batch);
  absl::Status Backward(const MicroBatch& micro_batch, const void* hidden,
                        const Decoder::Scored& scored, const std::vector<float>& d_logprobs);
  absl::StatusOr<std::string> AccumulatePolicy(const Packing& packing,
                                               std::span<const ScoredGroup> groups,
                                               const std::vector<std::vector<float>>& old_logprobs,
                                               PolicyStep& step);
  absl::StatusOr<std::string> AccumulateSupervised(const Packing& packing, UpdateReport& report);
  std::string FinishUpdate(UpdateReport& report);
  absl::Status CountBadUpdate(const std::string& reason, UpdateReport& report);
  std::string NameBadLoss(const MicroBatch& micro_batch, std::span<const ScoredGroup> groups,
                          const Decoder::Scored& scored) const;

  kernels::Backend* backend_;
  TrainerOptions options_;
  OptimizerSettings optimizer_settings_;
  PolicyLossSettings loss_settings_;

  std::unique_ptr<Weights> weights_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Activations> activations_;
  std::unique_ptr<Weights> reference_;  // null: none
  std::unique_ptr<Decoder> reference_decoder_;

  // Inputs of the head's backward: every row of the batch, those that are no target rows with a
  // gradient of 0.
  DeviceBuffer row_targets_, row_inverse_temperatures_, row_logsumexps_,
      row_d_logprobs_;     // [micro_batch_tokens]
  DeviceBuffer d_hidden_;  // [micro_batch_tokens, D]

  int64_t bad_updates_in_row_ = 0;
};

absl::Status LocalTrainer::Init() {
  if (options_.micro_batch_tokens < 1)
    return InvalidArgument("micro_batch_tokens must be at least 1, found {}",
                           options_.micro_batch_tokens);
  if (options_.updates_per_step < 1)
    return InvalidArgument("updates_per_step must be at least 1, found {}",
                           options_.updates_per_step);
  if (options_.max_new_tokens < 1)
    return InvalidArgument("max_new_tokens must be at least 1, found {}", options_.max_new_tokens);
  if (options_.max_bad_updates < 1)
    return InvalidArgument("max_bad_updates must be at least 1, found {}",
                           options_.max_bad_updates);
  PONDER_RETURN_IF_ERROR(CheckOptimizerSettings(optimizer_settings_));
  PONDER_RETURN_IF_ERROR(CheckPolicyLossSettings(loss_settings_));

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

// Of the cache and of the activations; null each where the trainer has no place.
std::pair<kernels::DeviceSpan, kernels::DeviceSpan> LocalTrainer::DividePlace(
    const ModelConfig& config) const {
  const kernels::DeviceSpan place = options_.place;
  if (place.data == nullptr) return {};
  const int64_t cache =
      std::min(place.bytes, KvCache::Bytes(*backend_, config, options_.dtype,
                                           MicroBatchPages(options_.micro_batch_tokens)));
  return {{place.data, cache}, {static_cast<char*>(place.data) + cache, place.bytes - cache}};
}

PackingLimits LocalTrainer::Limits() const {
  return {.max_rows = options_.micro_batch_tokens,
          .max_pages = MicroBatchPages(options_.micro_batch_tokens),
          .max_positions = weights_->Config().max_positions,
          .vocabulary = weights_->Config().vocabulary,
          .valid_vocabulary = weights_->DrawableTokens()};
}

absl::StatusOr<Decoder::Scored> LocalTrainer::Score(Decoder& decoder, const MicroBatch& micro_batch,
                                                    const void* hidden) {
  PONDER_ASSIGN_OR_RETURN(const void* target_rows, decoder.GatherRows(hidden, micro_batch.rows));
  return decoder.LogProbs(target_rows, micro_batch.targets, micro_batch.inverse_temperatures);
}

// Log-probs alone, nothing kept; overwrites the cache.
absl::StatusOr<std::vector<float>> LocalTrainer::LogProbsOf(Decoder& decoder,
                                                            const MicroBatch& micro_batch) {
  PONDER_RETURN_IF_ERROR(decoder.ReserveRows(options_.micro_batch_tokens));
  PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder.Forward(micro_batch.batch, *cache_));
  PONDER_ASSIGN_OR_RETURN(Decoder::Scored scored, Score(decoder, micro_batch, hidden));
  return std::move(scored.logprobs);
}

absl::Status LocalTrainer::Backward(const MicroBatch& micro_batch, const void* hidden,
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

// Adds the gradients of one update; returns what is not finite, or an empty text. `old_logprobs`,
// one array a micro-batch, is empty where the log-probs of before the step's first update are those
// computed here.
absl::StatusOr<std::string> LocalTrainer::AccumulatePolicy(
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

absl::StatusOr<UpdateReport> LocalTrainer::Update(std::span<const ScoredGroup> groups,
                                                  SamplerNumerics numerics) {
  if (loss_settings_.kl_weight > 0 && reference_ == nullptr)
    return FailedPrecondition(
        "loss.kl_weight is {}, but there is no reference policy; set one from the current weights "
        "first",
        loss_settings_.kl_weight);
  const int64_t count = static_cast<int64_t>(groups.size());
  const int64_t parts = std::min(options_.updates_per_step, count);
  UpdateReport report;
  PolicyStep step = {
      .loss = loss_settings_, .start_version = weights_->Version(), .groups = groups};
  if (numerics == SamplerNumerics::kDiffer && step.loss.importance_cap == 0)
    step.loss.importance_cap = kDefaultImportanceCap;

  // Packed before anything is computed, so that bad data is refused before the first update changes
  // the weights.
  std::vector<std::span<const ScoredGroup>> mini_batches;
  std::vector<Packing> packings;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = part * count / parts, end = (part + 1) * count / parts;
    mini_batches.push_back(
        groups.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    PONDER_ASSIGN_OR_RETURN(Packing packing,
                            PackGroups(mini_batches.back(), loss_settings_.aggregation,
                                       options_.max_new_tokens, Limits()));
    ReportPacking(packing, report.metrics);
    packings.push_back(std::move(packing));
  }
  // Later mini-batches need the log-probs from before the first update only where the behaviour
  // policy is another one: of other numerics, or of an older version.
  std::vector<std::vector<std::vector<float>>> old_logprobs(packings.size());
  if (step.loss.importance_cap > 0) {
    for (size_t part = 1; part < packings.size(); ++part) {
      for (const MicroBatch& micro_batch : packings[part].micro_batches) {
        PONDER_ASSIGN_OR_RETURN(std::vector<float> logprobs, LogProbsOf(*decoder_, micro_batch));
        step.sums.Compare(micro_batch, logprobs, step.start_version);
        old_logprobs[part].push_back(std::move(logprobs));
      }
    }
  }

  int64_t updates_with_signal = 0;
  for (size_t part = 0; part < packings.size(); ++part) {
    if (packings[part].micro_batches.empty()) continue;
    ++updates_with_signal;
    optimizer_->ZeroGradients();
    PONDER_ASSIGN_OR_RETURN(std::string bad, AccumulatePolicy(packings[part], mini_batches[part],
                                                              old_logprobs[part], step));
    if (bad.empty()) bad = FinishUpdate(report);
    PONDER_RETURN_IF_ERROR(CountBadUpdate(bad, report));
  }

  step.sums.Report(step.loss, updates_with_signal, report.metrics);
  report.clips = std::move(step.clips);
  report.policy_version = weights_->Version();
  report.metrics["optimizer/updates"] =
      static_cast<double>(report.policy_version - step.start_version);
  report.metrics["optimizer/skipped"] = static_cast<double>(report.skipped_updates);
  return report;
}

absl::StatusOr<std::string> LocalTrainer::AccumulateSupervised(const Packing& packing,
                                                               UpdateReport& report) {
  double loss = 0, entropy = 0;
  for (const MicroBatch& micro_batch : packing.micro_batches) {
    PONDER_ASSIGN_OR_RETURN(const void* hidden, decoder_->ForwardForTraining(
                                                    micro_batch.batch, *cache_, *activations_));
    PONDER_ASSIGN_OR_RETURN(const Decoder::Scored scored, Score(*decoder_, micro_batch, hidden));
    const SupervisedLossResult result = SupervisedLoss(scored.logprobs, micro_batch.weights);
    if (!std::isfinite(result.loss)) return NameBadLoss(micro_batch, {}, scored);
    loss += result.loss;
    for (const float value : scored.entropies) entropy += value;
    PONDER_RETURN_IF_ERROR(Backward(micro_batch, hidden, scored, result.d_logprobs));
  }
  report.metrics["loss/supervised"] = loss;
  report.metrics["policy/entropy"] = entropy / static_cast<double>(packing.target_tokens);
  return "";
}

absl::StatusOr<UpdateReport> LocalTrainer::Supervise(std::span<const SftExample> examples) {
  UpdateReport report;
  PONDER_ASSIGN_OR_RETURN(const Packing packing, PackExamples(examples, Limits()));
  if (packing.target_tokens == 0)
    return InvalidArgument(
        "{} examples without a completion token between them, expected at least one",
        examples.size());
  ReportPacking(packing, report.metrics);

  const int64_t start_version = weights_->Version();
  optimizer_->ZeroGradients();
  PONDER_ASSIGN_OR_RETURN(std::string bad, AccumulateSupervised(packing, report));
  if (bad.empty()) bad = FinishUpdate(report);
  PONDER_RETURN_IF_ERROR(CountBadUpdate(bad, report));
  report.policy_version = weights_->Version();
  report.metrics["optimizer/updates"] = static_cast<double>(report.policy_version - start_version);
  report.metrics["optimizer/skipped"] = static_cast<double>(report.skipped_updates);
  return report;
}

// Clips and applies the accumulated gradients; returns what is not finite, or an empty text.
std::string LocalTrainer::FinishUpdate(UpdateReport& report) {
  const double norm = optimizer_->GradientNorm();
  if (!std::isfinite(norm))
    return fmt::format("the gradient of {} is not finite", optimizer_->FirstBadGradient());
  const double limit = optimizer_settings_.max_gradient_norm;
  const double scale = limit > 0 && norm > limit ? limit / norm : 1;
  const double learning_rate = LearningRate(optimizer_settings_, optimizer_->Updates());
  optimizer_->Step(optimizer_settings_, learning_rate, scale);
  report.metrics["optimizer/gradient_norm"] =
      std::max(report.metrics["optimizer/gradient_norm"], norm);
  report.metrics["optimizer/learning_rate"] = learning_rate;
  return "";
}

absl::Status LocalTrainer::CountBadUpdate(const std::string& reason, UpdateReport& report) {
  if (reason.empty()) {
    bad_updates_in_row_ = 0;
    return absl::OkStatus();
  }
  ++bad_updates_in_row_;
  ++report.skipped_updates;
  if (report.skip_reason.empty()) report.skip_reason = reason;
  if (bad_updates_in_row_ < options_.max_bad_updates) return absl::OkStatus();
  return FailedPrecondition(
      "{} updates in a row were skipped, the last because {}; the weights are those of version {}",
      bad_updates_in_row_, reason, weights_->Version());
}

std::string LocalTrainer::NameBadLoss(const MicroBatch& micro_batch,
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

absl::Status LocalTrainer::BeginPhase(const OptimizerSettings& optimizer,
                                      const PolicyLossSettings& loss) {
  PONDER_RETURN_IF_ERROR(CheckOptimizerSettings(optimizer));
  PONDER_RETURN_IF_ERROR(CheckPolicyLossSettings(loss));
  optimizer_settings_ = optimizer;
  loss_settings_ = loss;
  optimizer_->Reset();
  bad_updates_in_row_ = 0;
  return absl::OkStatus();
}

absl::Status LocalTrainer::SetReferenceFromCurrent() {
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

absl::Status LocalTrainer::SaveCheckpoint(const std::string& directory) {
  return SaveTrainer({.weights = *weights_,
                      .optimizer = *optimizer_,
                      .reference = reference_.get(),
                      .bad_updates_in_row = bad_updates_in_row_},
                     options_.model_directory, directory);
}

absl::Status LocalTrainer::LoadCheckpoint(const std::string& directory) {
  TrainerCounters counters;
  std::unique_ptr<Weights> reference;
  PONDER_RETURN_IF_ERROR(
      LoadTrainer(directory, *backend_, *weights_, *optimizer_, reference, counters));
  bad_updates_in_row_ = counters.bad_updates_in_row;
  reference_decoder_.reset();
  reference_ = std::move(reference);
  if (reference_ != nullptr) reference_decoder_ = std::make_unique<Decoder>(*backend_, *reference_);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> CreateLocalTrainer(kernels::Backend& backend,
                                                            const TrainerOptions& options) {
  auto trainer = std::make_unique<LocalTrainer>(backend, options);
  PONDER_RETURN_IF_ERROR(trainer->Init());
  return trainer;
}

}  // namespace ponder
