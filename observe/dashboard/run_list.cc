#include "observe/dashboard/run_list.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

namespace ponder {
namespace {

namespace fs = std::filesystem;

std::string Normal(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(folder, error);
  return (error ? folder : absolute).string();
}

}  // namespace

std::vector<ServedRun> RunList::Runs() {
  std::set<std::string> paths;
  for (const std::string& folder : folders_) {
    for (const std::string& path : RunsIn(folder)) {
      if (paths.size() < kMostRuns) paths.insert(Normal(path));
    }
  }
  std::vector<ServedRun> runs;
  absl::MutexLock lock(&mutex_);
  for (const std::string& path : paths) {
    auto known = by_path_.find(path);
    if (known == by_path_.end()) {
      const std::string name = fs::path(path).filename().string();
      const auto is_taken = [&](const std::string& id) {
        return std::any_of(by_path_.begin(), by_path_.end(),
                           [&](const auto& entry) { return entry.second.id == id; });
      };
      std::string id = name;
      for (int number = 2; is_taken(id); ++number) id = fmt::format("{}~{}", name, number);
      known = by_path_.emplace(path, ServedRun{.id = id, .name = name, .path = path}).first;
    }
    runs.push_back(known->second);
  }
  return runs;
}

std::optional<ServedRun> RunList::FindKnown(std::string_view id) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(by_path_.begin(), by_path_.end(),
                                  [&](const auto& entry) { return entry.second.id == id; });
  if (found == by_path_.end()) return std::nullopt;
  return found->second;
}

absl::StatusOr<ServedRun> RunList::Find(std::string_view id) {
  std::optional<ServedRun> run = FindKnown(id);
  if (!run) {
    Runs();
    run = FindKnown(id);
  }
  if (!run || !HoldsRun(run->path)) return NotFound("there is no run \"{}\" here", id);
  return *std::move(run);
}

absl::StatusOr<ReaderPool::Loan> RunList::OpenReader(const ServedRun& run) {
  return readers_.Open(run.StorePath());
}

}  // namespace ponder
