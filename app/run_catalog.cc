#include "app/run_catalog.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/nearest_name.h"
#include "observe/run_folders.h"
#include "observe/run_state_text.h"
#include "observe/settings_file.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;

uint64_t FolderBytes(const std::string& path) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    if (!it->is_regular_file(gone)) continue;
    const uint64_t size = it->file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

std::optional<absl::Time> ModifiedAt(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return absl::TimeFromTimespec(status.st_mtim);
}

absl::Status ReadAccuracy(RunReader& reader, RunSummary& summary) {
  for (const std::string mode : {"greedy", "sampled"}) {
    const std::string name = "eval/" + mode + "_accuracy";
    PONDER_ASSIGN_OR_RETURN(
        const MetricTable table,
        reader.Metrics("eval/train", -1, {name, name + "_low", name + "_high"}));
    const auto values = table.values.find(name);
    if (table.steps.empty() || values == table.values.end()) continue;
    const size_t last = table.steps.size() - 1;
    const auto bound = [&](const std::string& of) {
      const auto found = table.values.find(name + of);
      return found == table.values.end() ? NAN : found->second[last];
    };
    summary.accuracy = {values->second[last], bound("_low"), bound("_high")};
    summary.accuracy_step = table.steps[last];
    break;
  }
  return absl::OkStatus();
}

absl::Status Fill(RunSummary& summary) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader, OpenRun(summary.path));
  PONDER_ASSIGN_OR_RETURN(RunState state, reader->State());
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader->Steps());
  PONDER_ASSIGN_OR_RETURN(MetricSeries rewards, ReadSeries(*reader, "train", "reward/mean"));
  summary.rewards = std::move(rewards.values);
  summary.activity = state.activity;
  for (const StepInfo& step : steps) {
    if (step.phase == "train") summary.step = std::max(summary.step, step.step);
  }
  if (state.steps == 0) state.steps = ConfiguredSteps(summary.path);
  summary.steps = state.steps;
  absl::Time written;
  std::string ignored;
  if (!steps.empty() &&
      absl::ParseTime(absl::RFC3339_full, steps.back().written_at, &written, &ignored)) {
    summary.written_at = written;
  }
  summary.status = RunStatus(summary.path, state, summary.step);
  return ReadAccuracy(*reader, summary);
}

}  // namespace

RunSummary SummarizeRun(const std::string& path) {
  RunSummary summary{.path = path};
  summary.bytes = FolderBytes(path);
  summary.written_at = ModifiedAt(path + "/config.toml");
  if (const absl::Status status = Fill(summary); !status.ok()) {
    summary.status = "unreadable";
    summary.fault = std::string(status.message());
  }
  return summary;
}

absl::StatusOr<std::unique_ptr<RunReader>> OpenRun(const std::string& path) {
  if (HoldsRun(path)) return RunReader::Open(RunStorePath(path));
  std::error_code error;
  if (const std::vector<std::string> below = RunsIn(path); !below.empty()) {
    return NotFound("{} holds no run itself, but runs: {}", path, fmt::join(below, ", "));
  }
  // Runs beside it, and those of the usual folder.
  const fs::path asked = fs::path(path).lexically_normal();
  const fs::path name = asked.has_filename() ? asked.filename() : asked.parent_path().filename();
  fs::path parent = asked.has_filename() ? asked.parent_path() : asked.parent_path().parent_path();
  if (parent.empty()) parent = ".";
  std::vector<std::string> known = RunsIn(parent.string());
  for (const std::string& run : RunsIn("runs")) known.push_back(run);
  std::vector<std::string> names;
  for (const std::string& run : known) names.push_back(fs::path(run).filename().string());
  std::string advice = "a run's folder has a file run.db, as `ponder train` leaves it";
  if (!known.empty()) advice = fmt::format("`ponder runs {}` lists runs", parent.string());
  const std::string nearest = NearestName(name.string(), names);
  if (!nearest.empty() && IsNear(name.string(), nearest)) {
    const size_t at = std::ranges::find(names, nearest) - names.begin();
    advice = fmt::format("did you mean {}?", known[at]);
  }
  return NotFound("{} {}; {}", path, fs::exists(path, error) ? "holds no run" : "is not there",
                  advice);
}

absl::StatusOr<StoredCompletion> ReadSample(RunReader& reader, const std::string& path,
                                            int64_t sample) {
  absl::StatusOr<StoredCompletion> stored = reader.ReadCompletion(sample);
  if (!absl::IsNotFound(stored.status())) return stored;
  return NotFound("the run has no sample {}; `ponder inspect {}` shows some with their numbers",
                  sample, path);
}

absl::Status CheckPhase(const std::vector<StepInfo>& steps, const std::string& phase) {
  std::vector<std::string> phases;
  for (const StepInfo& step : steps) {
    if (step.phase == phase) return absl::OkStatus();
    if (std::ranges::find(phases, step.phase) == phases.end()) phases.push_back(step.phase);
  }
  if (phases.empty()) return NotFound("the run has no steps yet");
  const std::string nearest = NearestName(phase, phases);
  return NotFound("the run has no steps of phase '{}'{}; it has {}", phase,
                  IsNear(phase, nearest) ? fmt::format("; did you mean '{}'?", nearest) : "",
                  fmt::join(phases, ", "));
}

absl::StatusOr<MetricSeries> ReadSeries(RunReader& reader, const std::string& phase,
                                        const std::string& name) {
  PONDER_ASSIGN_OR_RETURN(const MetricTable table, reader.Metrics(phase, -1, {name}));
  MetricSeries series;
  const auto found = table.values.find(name);
  if (found == table.values.end()) return series;
  for (size_t i = 0; i < table.steps.size(); ++i) {
    if (std::isnan(found->second[i])) continue;
    series.steps.push_back(table.steps[i]);
    series.values.push_back(found->second[i]);
  }
  return series;
}

}  // namespace ponder
