#pragma once

#include <absl/time/time.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "verifiers/code/code_task.h"
#include "verifiers/code/judge_process.h"
#include "verifiers/code/zygote.h"

namespace ponder {

// What a check says. An absl::Status in its place says nothing about the candidate, and the boxes
// must be made anew.
struct CodeFinding {
  VerdictStatus status = VerdictStatus::kInternal;
  std::string reason;
  bool zygote_lost = false;  // it must be made anew; what the check found holds all the same
  bool judge_lost = false;   // likewise
};

// Loads the source as a module and runs the task's tests against it.
absl::StatusOr<CodeFinding> CheckModule(Zygote& zygote, JudgeProcess& judge,
                                        const CodeLimits& limits, const CodeTask& task,
                                        std::string_view source, absl::Time deadline);

// Runs the source once for each of the task's inputs and compares what it prints. Ends of lines and
// of the text may differ in white space; nothing else may.
absl::StatusOr<CodeFinding> CheckPythonProgram(Zygote& zygote, const CodeLimits& limits,
                                               const CodeTask& task, std::string_view source,
                                               absl::Time deadline);

// The same for C++: compiled once, then run.
absl::StatusOr<CodeFinding> CheckCppProgram(Zygote& zygote, const CodeLimits& limits,
                                            const CodeTask& task, std::string_view source,
                                            absl::Time deadline);

// What a program prints for an input, for the sandbox's own probe.
absl::StatusOr<std::string> PrintedBy(Zygote& zygote, const CodeLimits& limits,
                                      std::string_view source, absl::Time deadline);

}  // namespace ponder
