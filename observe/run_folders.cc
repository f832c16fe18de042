#include "observe/run_folders.h"

#include <algorithm>
#include <filesystem>

namespace ponder {

namespace fs = std::filesystem;

std::string RunStorePath(const std::string& run_directory) { return run_directory + "/run.db"; }

bool HoldsRun(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(RunStorePath(folder), ignored);
}

std::vector<std::string> RunsIn(const std::string& folder) {
  if (HoldsRun(folder)) return {folder};
  std::vector<std::string> runs;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (HoldsRun(it->path().string())) runs.push_back(it->path().string());
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

}  // namespace ponder
