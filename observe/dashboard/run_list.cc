#include "observe/dashboard/run_list.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace ponder {
namespace {

namespace fs = std::filesystem;

bool IsRun(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "run.db", error);
}

std::string Normal(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(folder, error);
  return (error ? folder : absolute).string();
}

}  // namespace

std::vector<ServedRun> RunList::Runs() {
  std::set<std::string> paths;
  for (const std::string& folder : folders_) {
    if (IsRun(folder)) {
      paths.insert(Normal(folder));
      continue;
    }
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (paths.size() < kMostRuns && IsRun(it->path())) paths.insert(Normal(it->path()));
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

absl::StatusOr<ServedRun> RunList::Find(std::string_view id) {
  const std::vector<ServedRun> runs = Runs();
  const auto found =
      std::find_if(runs.begin(), runs.end(), [&](const ServedRun& run) { return run.id == id; });
  if (found == runs.end()) return NotFound("there is no run \"{}\" here", id);
  return *found;
}

absl::StatusOr<ReaderPool::Loan> RunList::OpenReader(const ServedRun& run) {
  return readers_.Open(run.StorePath());
}

}  // namespace ponder
