#include "app/relearner.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "app/train_phases.h"
#include "base/check.h"

namespace ponder {
namespace {

// What an update says of itself that shows whether it was the run's: any other bit in weights,
// tokens or advantages changes one of them.
constexpr std::array kTelling = {"exactness/logprob_max_abs_diff", "loss/policy", "loss/supervised",
                                 "optimizer/gradient_norm", "optimizer/updates"};
// Reported only where the loss had a cap, which the settings or other numerics bring.
constexpr char kCapped[] = "policy/importance_mean";

// All that the trainer depends on, as text.
std::string LearningOf(const RunConfig& config) {
  RunConfig only;
  only.model = config.model;
  only.learner = config.learner;
  only.optimizer = config.optimizer;
  only.sft = config.sft;
  only.rollout.max_new_tokens = config.rollout.max_new_tokens;
  only.run.seed = config.run.seed;
  only.machine.device = config.machine.device;  // gradients are summed device by device
  if (config.optimizer.schedule != "constant") only.run.steps = config.run.steps;
  return DumpConfig(only);
}

// A folder that nobody else may look into, removed at the end of its life.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    path_ = std::filesystem::temp_directory_path().string() + "/ponder-replay-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;

  // Empty where it could not be made.
  const std::string& Path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<ScoredGroup> GroupsOf(std::vector<StoredCompletion> rows) {
  std::vector<ScoredGroup> groups;
  int64_t last = -1;
  for (StoredCompletion& row : rows) {
    if (groups.empty() || row.group != last) {
      last = row.group;
      groups.push_back({.group = {.task = std::move(row.task),
                                  .prompt = std::move(row.prompt),
                                  .prompt_ids = std::move(row.prompt_ids),
                                  .seed = row.seed,
                                  .temperature = row.temperature}});
    }
    ScoredGroup& scored = groups.back();
    scored.group.completions.push_back(std::move(row.completion));
    scored.verdicts.push_back(std::move(row.verdict));
    scored.rewards.push_back(std::move(row.reward));
    scored.advantages.push_back(row.advantage);
  }
  return groups;
}

const RunConfig& Relearner::ConfigAt(RunPoint point) const {
  const RunSettings* found = &parts_.settings.front();
  for (const RunSettings& settings : parts_.settings) {
    if (parts_.timeline.Of(settings.behind) <= point) found = &settings;
  }
  return found->config;
}

// A trainer that learns as `config` has it, in the state of the one that is there.
absl::Status Relearner::TakeUp(const RunConfig& config) {
  if (config_ == &config || LearningOf(*config_) == LearningOf(config)) return absl::OkStatus();
  // As the resumed run did it: through a checkpoint.
  const TemporaryFolder folder;
  if (folder.Path().empty()) {
    return Unavailable(
        "cannot make a temporary folder for a checkpoint: {}; TMPDIR names another "
        "place",
        std::strerror(errno));
  }
  const std::string checkpoint = folder.Path() + "/checkpoint";
  PONDER_RETURN_IF_ERROR(trainer_->SaveCheckpoint(checkpoint));
  trainer_ = nullptr;
  PONDER_ASSIGN_OR_RETURN(trainer_, parts_.create_trainer(config));
  config_ = &config;
  return Load(config, *here_, checkpoint);
}

absl::Status Relearner::Load(const RunConfig& config, RunPoint point, const std::string& path) {
  const CheckpointName name = parts_.timeline.NameOf(point);
  int64_t updates = 0;  // behind the last one its schedule is over
  if (point < parts_.timeline.supervised) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<SftExample>* examples, Examples(config));
    updates = SupervisedUpdates(config, std::ssize(*examples));
  }
  return LoadRunCheckpoint(config, name, path, updates, *trainer_);
}

absl::Status Relearner::Begin(const RunLeg& leg) {
  if (leg.from == RunLeg::From::kHere) {
    PONDER_CHECK(here_ == leg.begin);
    return absl::OkStatus();
  }
  here_ = std::nullopt;
  difference_.clear();
  const RunConfig& config = ConfigAt(leg.begin);
  if (leg.from == RunLeg::From::kBase || trainer_ == nullptr ||
      LearningOf(*config_) != LearningOf(config)) {
    trainer_ = nullptr;  // two of them may not fit
    PONDER_ASSIGN_OR_RETURN(trainer_, parts_.create_trainer(config));
    config_ = &config;
  }
  if (leg.from == RunLeg::From::kCheckpoint) {
    PONDER_RETURN_IF_ERROR(
        Load(config, leg.begin, CheckpointPath(parts_.run, parts_.timeline.NameOf(leg.begin))));
  }
  here_ = leg.begin;
  return absl::OkStatus();
}

absl::Status Relearner::Advance() {
  const RunPoint here = *here_;
  const int64_t supervised = parts_.timeline.supervised;
  const RunConfig& config = ConfigAt(here);
  PONDER_RETURN_IF_ERROR(TakeUp(config));
  if (here < supervised) {
    PONDER_RETURN_IF_ERROR(Supervise(config, here + 1));
  } else if (here == supervised) {
    PONDER_RETURN_IF_ERROR(BeginReinforcement(config, *trainer_));
  } else {
    PONDER_RETURN_IF_ERROR(Step(config, here - supervised));
  }
  here_ = here + 1;
  return absl::OkStatus();
}

absl::StatusOr<const std::vector<SftExample>*> Relearner::Examples(const RunConfig& config) {
  if (examples_of_ != &config) {
    PONDER_ASSIGN_OR_RETURN(examples_, parts_.read_examples(config));
    if (examples_.empty()) {
      return DataLoss("the run made {} updates of a cold start, but its settings have no examples",
                      parts_.timeline.supervised);
    }
    examples_of_ = &config;
  }
  return &examples_;
}

absl::Status Relearner::Supervise(const RunConfig& config, int64_t update) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<SftExample>* examples, Examples(config));
  if (update == 1) {
    PONDER_RETURN_IF_ERROR(
        BeginSupervised(config, SupervisedUpdates(config, std::ssize(*examples)), *trainer_));
  }
  PONDER_ASSIGN_OR_RETURN(const UpdateReport report,
                          trainer_->Supervise(SupervisedBatch(config, *examples, update)));
  PONDER_ASSIGN_OR_RETURN(const auto was, Metrics("sft", update));
  Compare(fmt::format("update {} of the cold start", update), was, report);
  return absl::OkStatus();
}

absl::Status Relearner::Step(const RunConfig& config, int64_t step) {
  PONDER_ASSIGN_OR_RETURN(std::vector<StoredCompletion> rows,
                          parts_.store->ReadCompletions("train", step));
  if (rows.empty()) return DataLoss("the store holds no completions of step {}", step);
  PONDER_ASSIGN_OR_RETURN(const auto was, Metrics("train", step));
  PONDER_RETURN_IF_ERROR(RenewReference(config, step, *trainer_));
  // With a cap in the settings the samplers' numerics make no difference to an update; without one
  // it is other numerics that bring a cap.
  const SamplerNumerics numerics =
      was.contains(kCapped) ? SamplerNumerics::kDiffer : SamplerNumerics::kSame;
  const std::vector<ScoredGroup> groups = GroupsOf(std::move(rows));
  absl::StatusOr<UpdateReport> report = trainer_->Update(groups, numerics);
  if (!report.ok()) return Annotate(report.status(), fmt::format("learning step {} again", step));
  Compare(fmt::format("step {}", step), was, *report);
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, double>> Relearner::Metrics(const std::string& phase,
                                                                 int64_t step) {
  if (!metrics_.contains(phase)) {
    PONDER_ASSIGN_OR_RETURN(const std::vector<StoredMetric> all, parts_.store->ReadMetrics(phase));
    auto& steps = metrics_[phase];
    for (const StoredMetric& metric : all) {
      if (metric.name == kCapped || std::ranges::count(kTelling, metric.name) > 0)
        steps[metric.step][metric.name] = metric.value;
    }
  }
  return metrics_[phase][step];
}

void Relearner::Compare(const std::string& what, const std::map<std::string, double>& was,
                        const UpdateReport& report) {
  if (!difference_.empty()) return;
  for (const char* name : kTelling) {
    const auto then = was.find(name), now = report.metrics.find(name);
    if (then == was.end()) continue;  // an older program did not say it
    if (now != report.metrics.end() && now->second == then->second) continue;
    difference_ = fmt::format(
        "{}, learnt again, is not what the run learnt: {} was {}, now it is {}", what, name,
        then->second, now == report.metrics.end() ? "missing" : fmt::to_string(now->second));
    return;
  }
}

}  // namespace ponder
