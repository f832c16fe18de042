#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "app/bench_report.h"
#include "base/status.h"

namespace ponder {

// Checks of Python programs with all limits on, beside two executors without any sandbox that take
// turns with them: rows code_bare_fork, code_python (its limit is the former), and
// code_process_per_check, code_over_process. The executors run one program a core at a time, the
// verifier as many as it does by itself.
// FAILED_PRECONDITION where this machine allows no sandbox.
absl::Status BenchCode(int64_t repeats, const std::function<void(const BenchRow&)>& print);

// The executors' Python file, name and content; written by the build.
const std::vector<std::pair<std::string_view, std::string_view>>& BenchPythonSources();

}  // namespace ponder
