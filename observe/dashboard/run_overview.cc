#include "observe/dashboard/run_overview.h"

#include <absl/time/time.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "observe/run_lock.h"
#include "observe/run_state_text.h"
#include "observe/settings_file.h"

namespace ponder {
namespace {

struct FileLook {
  bool there = false;
  uint64_t bytes = 0;
  absl::Time changed_at;
};

FileLook LookAt(const std::string& path) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return {};
  return {.there = true,
          .bytes = static_cast<uint64_t>(file.st_size),
          .changed_at = absl::TimeFromTimespec(file.st_mtim)};
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

// Means of runs of neighbouring values, so that there are at most `most`.
std::vector<double> Thin(const std::vector<double>& values, size_t most) {
  std::vector<double> known;
  std::copy_if(values.begin(), values.end(), std::back_inserter(known),
               [](double value) { return std::isfinite(value); });
  if (known.size() <= most) return known;
  std::vector<double> thin;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * known.size() / most, end = (i + 1) * known.size() / most;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += known[j];
    thin.push_back(sum / static_cast<double>(end - begin));
  }
  return thin;
}

absl::Status AddRewards(RunReader& reader, RunOverview& overview) {
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, reader.Metrics("train", 0, {"reward/mean"}));
  const auto rewards = table.values.find("reward/mean");
  if (rewards == table.values.end()) return absl::OkStatus();
  overview.rewards = Thin(rewards->second, RunOverview::kMostRewards);
  overview.last_reward = rewards->second.back();
  return absl::OkStatus();
}

// What the run's files tell by themselves.
void AddFiles(const ServedRun& run, RunOverview& overview) {
  const FileLook store = LookAt(run.StorePath());
  const FileLook log = LookAt(run.StorePath() + "-wal");
  overview.store_bytes = store.bytes + log.bytes;
  // The configuration is written when a run begins.
  const FileLook config = LookAt(run.path + "/config.toml");
  if (config.there) overview.started_at = TimeText(config.changed_at);
  if (store.there) {
    const bool log_newer = log.bytes > 0 && log.changed_at > store.changed_at;
    overview.written_at = TimeText(log_newer ? log.changed_at : store.changed_at);
  }
}

}  // namespace

absl::StatusOr<RunOverview> ReadRunState(const ServedRun& run, RunReader& reader) {
  RunOverview overview;
  PONDER_ASSIGN_OR_RETURN(overview.state, reader.State());
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader.Steps());
  for (const StepInfo& step : steps) {
    if (step.phase == "train") overview.last_step = std::max(overview.last_step, step.step);
  }
  RunState& state = overview.state;
  if (state.steps == 0) state.steps = ConfiguredSteps(run.path);
  overview.status = RunStatus(run.path, state, overview.last_step);
  overview.text = RunStateText(overview.status, state, overview.last_step);
  return overview;
}

absl::StatusOr<RunOverview> ReadRunOverview(RunList& runs, const ServedRun& run) {
  PONDER_ASSIGN_OR_RETURN(const ReaderPool::Loan reader, runs.OpenReader(run));
  PONDER_ASSIGN_OR_RETURN(RunOverview overview, ReadRunState(run, *reader));
  PONDER_RETURN_IF_ERROR(AddRewards(*reader, overview));
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> model, reader->GetInfo("model"));
  overview.model = model.value_or("");
  AddFiles(run, overview);
  return overview;
}

RunOverview UnreadRun(const ServedRun& run, const absl::Status& why) {
  RunOverview overview{.status = RunLock::IsHeld(run.path) ? "running" : "stopped",
                       .text = std::string(why.message())};
  AddFiles(run, overview);
  return overview;
}

}  // namespace ponder
