#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/rank_threads.h"
#include "kernels/collective.h"
#include "learner/create_trainer.h"
#include "learner/losses.h"
#include "learner/optimizer.h"
#include "learner/trainer_rank.h"
#include "learner/trainer_state.h"

namespace ponder {
namespace {

// One packing a rank: of the same groups or examples.
using Shares = std::vector<Packing>;

// Over the devices of this machine, a rank on each. All ranks hold the same weights, moments and
// counters, bit for bit: each adds the gradients of its share of an update, their sum goes to all,
// and all take the same step.
class LocalTrainer : public Trainer {
 public:
  LocalTrainer(std::span<const TrainerDevice> devices, const TrainerOptions& options)
      : devices_(devices.begin(), devices.end()),
        options_(options),
        optimizer_settings_(options.optimizer),
        loss_settings_(options.loss),
        threads_(std::ssize(devices)) {}

  absl::Status Init();

  const Weights& GetWeights() const override { return First().GetWeights(); }
  const Weights& WeightsOn(int64_t rank) const override {
    return ranks_.at(static_cast<size_t>(rank))->GetWeights();
  }
  int64_t PolicyVersion() const override { return GetWeights().Version(); }
  absl::StatusOr<UpdateReport> Update(std::span<const ScoredGroup> groups,
                                      SamplerNumerics numerics) override;
  absl::StatusOr<UpdateReport> Supervise(std::span<const SftExample> examples) override;
  absl::Status BeginPhase(const OptimizerSettings& optimizer,
                          const PolicyLossSettings& loss) override;
  absl::Status SetReferenceFromCurrent() override;
  absl::Status SaveCheckpoint(const std::string& directory) override;
  absl::Status LoadCheckpoint(const std::string& directory) override;

 private:
  TrainerRank& First() const { return *ranks_.front(); }
  // body(rank, the rank's number) on all ranks at once, each in its own thread.
  absl::Status OnEach(const std::function<absl::Status(TrainerRank&, size_t)>& body);
  // One packing a rank; `pack` makes a share's.
  absl::StatusOr<Shares> Pack(
      const std::function<absl::StatusOr<Packing>(PackingShare)>& pack) const;
  // Sums the gradients of an update, which `accumulate` adds, clips them and takes the step; counts
  // the update where something is not finite. `accumulate` is called on each rank and returns what
  // is not finite there, or an empty text.
  absl::Status TakeStep(
      const std::function<absl::StatusOr<std::string>(TrainerRank&, size_t)>& accumulate,
      UpdateReport& report);
  absl::StatusOr<std::string> FinishUpdate(UpdateReport& report);
  absl::Status CountBadUpdate(const std::string& reason, UpdateReport& report);
  // Before the weights of a rank are written.
  absl::Status SettleFeed(size_t rank) const {
    return devices_[rank].feed == nullptr ? absl::OkStatus() : devices_[rank].feed->Settle();
  }
  void EndReport(int64_t start_version, UpdateReport& report) const;

  const std::vector<TrainerDevice> devices_;
  const TrainerOptions options_;
  OptimizerSettings optimizer_settings_;
  PolicyLossSettings loss_settings_;
  std::vector<std::unique_ptr<TrainerRank>> ranks_;
  int64_t bad_updates_in_row_ = 0;
  RankThreads threads_;
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
  for (const TrainerDevice& device : devices_) {
    PONDER_CHECK(devices_.size() == 1 || device.collective != nullptr);
    // Else the ranks' weights would go apart, and what one samples another could not score.
    const std::string& first = devices_.front().backend->Info().fingerprint;
    if (const std::string& found = device.backend->Info().fingerprint; found != first)
      return FailedPrecondition(
          "the devices compute other bits: {} and {}; choose devices of one kind", first, found);
  }
  // One after the other: each takes a copy of the model in the host's memory on the way.
  for (const TrainerDevice& device : devices_) {
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<TrainerRank> rank,
                            TrainerRank::Create(device, options_));
    ranks_.push_back(std::move(rank));
  }
  return absl::OkStatus();
}

absl::Status LocalTrainer::OnEach(const std::function<absl::Status(TrainerRank&, size_t)>& body) {
  return threads_.Run(
      [&](int64_t rank) {
        const auto at = static_cast<size_t>(rank);
        return body(*ranks_[at], at);
      },
      [&](const absl::Status& why) {
        for (const TrainerDevice& device : devices_) {
          if (device.collective != nullptr) device.collective->Abort(why);
        }
      });
}

absl::StatusOr<Shares> LocalTrainer::Pack(
    const std::function<absl::StatusOr<Packing>(PackingShare)>& pack) const {
  Shares shares;
  for (int64_t rank = 0; rank < std::ssize(ranks_); ++rank) {
    PONDER_ASSIGN_OR_RETURN(Packing packing, pack({.rank = rank, .ranks = std::ssize(ranks_)}));
    shares.push_back(std::move(packing));
  }
  return shares;
}

absl::StatusOr<UpdateReport> LocalTrainer::Update(std::span<const ScoredGroup> groups,
                                                  SamplerNumerics numerics) {
  if (loss_settings_.kl_weight > 0 && First().Reference() == nullptr)
    return FailedPrecondition(
        "loss.kl_weight is {}, but there is no reference policy; set one from the current weights "
        "first",
        loss_settings_.kl_weight);
  const int64_t count = static_cast<int64_t>(groups.size());
  const int64_t parts = std::min(options_.updates_per_step, count);
  const int64_t start_version = PolicyVersion();
  UpdateReport report;
  PolicyLossSettings loss = loss_settings_;
  if (numerics == SamplerNumerics::kDiffer && loss.importance_cap == 0)
    loss.importance_cap = kDefaultImportanceCap;

  // Packed before anything is computed, so that bad data is refused before the first update changes
  // the weights.
  std::vector<std::span<const ScoredGroup>> mini_batches;
  std::vector<Shares> packings;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = part * count / parts, end = (part + 1) * count / parts;
    mini_batches.push_back(
        groups.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    PONDER_ASSIGN_OR_RETURN(Shares shares, Pack([&](PackingShare share) {
                              return PackGroups(mini_batches.back(), loss.aggregation,
                                                options_.max_new_tokens, First().Limits(), share);
                            }));
    ReportPacking(shares, report.metrics);
    packings.push_back(std::move(shares));
  }
  std::vector<PolicyStep> steps(ranks_.size(),
                                {.loss = loss, .start_version = start_version, .groups = groups});
  // Later mini-batches need the log-probs from before the first update only where the behaviour
  // policy is another one: of other numerics, or of an older version.
  using Scores = std::vector<std::vector<float>>;  // [micro-batches][targets]
  std::vector<std::vector<Scores>> old_logprobs(packings.size(),
                                                std::vector<Scores>(ranks_.size()));
  if (loss.importance_cap > 0 && packings.size() > 1) {
    PONDER_RETURN_IF_ERROR(OnEach([&](TrainerRank& rank, size_t r) -> absl::Status {
      for (size_t part = 1; part < packings.size(); ++part) {
        PONDER_ASSIGN_OR_RETURN(old_logprobs[part][r],
                                rank.ScoreTargets(packings[part][r], steps[r]));
      }
      return absl::OkStatus();
    }));
  }

  int64_t updates_with_signal = 0;
  for (size_t part = 0; part < packings.size(); ++part) {
    if (packings[part].front().all_target_tokens == 0) continue;
    ++updates_with_signal;
    PONDER_RETURN_IF_ERROR(TakeStep(
        [&](TrainerRank& rank, size_t r) {
          return rank.AccumulatePolicy(packings[part][r], mini_batches[part], old_logprobs[part][r],
                                       steps[r]);
        },
        report));
  }

  PolicySums sums;
  for (PolicyStep& step : steps) {
    sums.Merge(step.sums);
    // A group is one rank's alone.
    if (step.clips.empty()) continue;
    report.clips.resize(groups.size());
    for (size_t group = 0; group < groups.size(); ++group) {
      if (!step.clips[group].empty()) report.clips[group] = std::move(step.clips[group]);
    }
  }
  sums.Report(loss, updates_with_signal, report.metrics);
  EndReport(start_version, report);
  return report;
}

absl::StatusOr<UpdateReport> LocalTrainer::Supervise(std::span<const SftExample> examples) {
  UpdateReport report;
  PONDER_ASSIGN_OR_RETURN(const Shares shares, Pack([&](PackingShare share) {
                            return PackExamples(examples, First().Limits(), share);
                          }));
  const int64_t targets = shares.front().all_target_tokens;
  if (targets == 0)
    return InvalidArgument(
        "{} examples without a completion token between them, expected at least one",
        examples.size());
  ReportPacking(shares, report.metrics);

  const int64_t start_version = PolicyVersion();
  std::vector<SupervisedSums> sums(ranks_.size());
  PONDER_RETURN_IF_ERROR(TakeStep(
      [&](TrainerRank& rank, size_t r) { return rank.AccumulateSupervised(shares[r], sums[r]); },
      report));
  if (report.skipped_updates == 0) {
    for (const SupervisedSums& share : sums) {
      report.metrics["loss/supervised"] += share.loss;
      report.metrics["policy/entropy"] += share.entropy / static_cast<double>(targets);
    }
  }
  EndReport(start_version, report);
  return report;
}

absl::Status LocalTrainer::TakeStep(
    const std::function<absl::StatusOr<std::string>(TrainerRank&, size_t)>& accumulate,
    UpdateReport& report) {
  std::vector<std::string> bad(ranks_.size());
  PONDER_RETURN_IF_ERROR(OnEach([&](TrainerRank& rank, size_t r) -> absl::Status {
    rank.GetOptimizer().ZeroGradients();
    PONDER_ASSIGN_OR_RETURN(bad[r], accumulate(rank, r));
    return absl::OkStatus();
  }));
  const auto first =
      std::ranges::find_if(bad, [](const std::string& text) { return !text.empty(); });
  if (first != bad.end()) return CountBadUpdate(*first, report);
  PONDER_ASSIGN_OR_RETURN(const std::string reason, FinishUpdate(report));
  return CountBadUpdate(reason, report);
}

// Sums, clips and applies the accumulated gradients; returns what is not finite, or an empty text.
absl::StatusOr<std::string> LocalTrainer::FinishUpdate(UpdateReport& report) {
  std::vector<double> norms(ranks_.size());
  PONDER_RETURN_IF_ERROR(OnEach([&](TrainerRank& rank, size_t r) -> absl::Status {
    PONDER_ASSIGN_OR_RETURN(norms[r], rank.ReduceGradients());
    return absl::OkStatus();
  }));
  const double norm = norms.front();
  if (!std::isfinite(norm))
    return fmt::format("the gradient of {} is not finite",
                       First().GetOptimizer().FirstBadGradient());
  for (size_t r = 1; r < norms.size(); ++r) {
    if (std::bit_cast<uint64_t>(norms[r]) != std::bit_cast<uint64_t>(norm))
      return Internal(
          "the summed gradients of rank 0 and rank {} have norms {} and {}, expected the same "
          "bits: {} gave the ranks different sums",
          r, norm, norms[r], devices_[r].collective->Describe());
  }
  const double limit = optimizer_settings_.max_gradient_norm;
  const double scale = limit > 0 && norm > limit ? limit / norm : 1;
  const double learning_rate = LearningRate(optimizer_settings_, First().GetOptimizer().Updates());
  PONDER_RETURN_IF_ERROR(OnEach([&](TrainerRank& rank, size_t r) -> absl::Status {
    PONDER_RETURN_IF_ERROR(SettleFeed(r));
    rank.GetOptimizer().Step(optimizer_settings_, learning_rate, scale);
    return absl::OkStatus();
  }));
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
      bad_updates_in_row_, reason, PolicyVersion());
}

void LocalTrainer::EndReport(int64_t start_version, UpdateReport& report) const {
  report.policy_version = PolicyVersion();
  report.metrics["optimizer/updates"] = static_cast<double>(report.policy_version - start_version);
  report.metrics["optimizer/skipped"] = static_cast<double>(report.skipped_updates);
}

absl::Status LocalTrainer::BeginPhase(const OptimizerSettings& optimizer,
                                      const PolicyLossSettings& loss) {
  PONDER_RETURN_IF_ERROR(CheckOptimizerSettings(optimizer));
  PONDER_RETURN_IF_ERROR(CheckPolicyLossSettings(loss));
  optimizer_settings_ = optimizer;
  loss_settings_ = loss;
  for (const auto& rank : ranks_) rank->GetOptimizer().Reset();
  bad_updates_in_row_ = 0;
  return absl::OkStatus();
}

absl::Status LocalTrainer::SetReferenceFromCurrent() {
  return OnEach([](TrainerRank& rank, size_t) { return rank.SetReferenceFromCurrent(); });
}

absl::Status LocalTrainer::SaveCheckpoint(const std::string& directory) {
  return SaveTrainer({.weights = First().GetWeights(),
                      .optimizer = First().GetOptimizer(),
                      .reference = First().Reference(),
                      .bad_updates_in_row = bad_updates_in_row_},
                     options_.model_directory, directory);
}

absl::Status LocalTrainer::LoadCheckpoint(const std::string& directory) {
  TrainerCounters counters;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    PONDER_RETURN_IF_ERROR(SettleFeed(r));
    PONDER_RETURN_IF_ERROR(ranks_[r]->Load(directory, counters));
  }
  bad_updates_in_row_ = counters.bad_updates_in_row;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> CreateLocalTrainer(std::span<const TrainerDevice> devices,
                                                            const TrainerOptions& options) {
  PONDER_CHECK(!devices.empty());
  auto trainer = std::make_unique<LocalTrainer>(devices, options);
  PONDER_RETURN_IF_ERROR(trainer->Init());
  return trainer;
}

}  // namespace ponder
