#pragma once

#include <string>
#include <vector>

namespace ponder {

std::string RunStorePath(const std::string& run_directory);

// Whether a folder is a run's: it holds a store.
bool HoldsRun(const std::string& folder);

// The folders of runs: `folder` itself where it is one, else those right below it, by name.
std::vector<std::string> RunsIn(const std::string& folder);

}  // namespace ponder
