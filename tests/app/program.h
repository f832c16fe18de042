#pragma once

#include <string>
#include <vector>

#include "base/child_process.h"

namespace ponder {

// What a finished program left.
struct ProgramResult {
  int exit_code = -1;
  std::string output;  // standard output and standard error together
};

// Runs the built `ponder` with these arguments and `input` on its standard input.
ProgramResult RunPonder(const std::vector<std::string>& arguments, const std::string& input = "");

// Starts it with both streams readable line by line, for tests that kill it.
absl::StatusOr<ChildProcess> StartPonder(const std::vector<std::string>& arguments);

// A folder of the test's own, empty at the start.
std::string TestFolder(const std::string& name);

}  // namespace ponder
