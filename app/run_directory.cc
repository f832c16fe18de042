#include "app/run_directory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "base/file.h"

namespace ponder {

namespace fs = std::filesystem;

std::string CheckpointName::ToString() const { return fmt::format("{}-{:06}", phase, step); }

std::optional<CheckpointName> ParseCheckpointName(const std::string& name) {
  const size_t dash = name.find('-');
  if (dash == std::string::npos) return std::nullopt;
  CheckpointName parsed{.phase = name.substr(0, dash)};
  if (parsed.phase != "sft" && parsed.phase != "step") return std::nullopt;
  const char* begin = name.data() + dash + 1;
  const char* end = name.data() + name.size();
  const auto [last, error] = std::from_chars(begin, end, parsed.step);
  if (error != std::errc() || last != end || end - begin < 6 || parsed.step < 0)
    return std::nullopt;
  return parsed;
}

std::string CheckpointPath(const std::string& run, const CheckpointName& name) {
  return run + "/checkpoints/" + name.ToString();
}

std::vector<CheckpointName> ListCheckpoints(const std::string& run) {
  std::vector<CheckpointName> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(run + "/checkpoints", error)) {
    if (const auto name = ParseCheckpointName(entry.path().filename().string()))
      names.push_back(*name);
  }
  std::sort(names.begin(), names.end(), [](const CheckpointName& a, const CheckpointName& b) {
    return std::pair(a.phase, a.step) < std::pair(b.phase, b.step);
  });
  return names;
}

absl::StatusOr<RunDirectory> RunDirectory::Create(const std::string& path,
                                                  const std::string& config_toml) {
  if (fs::exists(path + "/config.toml")) {
    return absl::AlreadyExistsError(fmt::format(
        "{} already holds a run; go on with it by --resume --run {}, or name another folder", path,
        path));
  }
  PONDER_RETURN_IF_ERROR(MakeDirectories(path + "/checkpoints"));
  PONDER_ASSIGN_OR_RETURN(RunLock lock, RunLock::Take(path));
  RunDirectory directory(path, std::move(lock));
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(directory.ConfigPath(), config_toml));
  return directory;
}

absl::StatusOr<RunDirectory> RunDirectory::Open(const std::string& path) {
  if (!fs::exists(path + "/config.toml")) {
    return NotFound("{} holds no run (no config.toml); begin one without --resume", path);
  }
  PONDER_ASSIGN_OR_RETURN(RunLock lock, RunLock::Take(path));
  PONDER_RETURN_IF_ERROR(MakeDirectories(path + "/checkpoints"));
  return RunDirectory(path, std::move(lock));
}

std::vector<CheckpointName> RunDirectory::Checkpoints() const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_ + "/checkpoints", error)) {
    if (entry.path().filename().string().find(".tmp-") == std::string::npos) continue;
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
  }
  return ListCheckpoints(path_);
}

void RunDirectory::PruneCheckpoints(int64_t keep) const {
  const std::vector<CheckpointName> names = Checkpoints();
  for (size_t i = 0; i + static_cast<size_t>(keep) < names.size(); ++i) {
    std::error_code ignored;
    fs::remove_all(CheckpointPath(names[i]), ignored);
  }
}

}  // namespace ponder
