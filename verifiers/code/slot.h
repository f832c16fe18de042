#pragma once

#include <absl/time/time.h>

#include <memory>
#include <string>

#include "base/records.h"
#include "verifiers/code/check.h"
#include "verifiers/code/judge_process.h"
#include "verifiers/code/sandbox.h"
#include "verifiers/code/zygote.h"

namespace ponder {

// One place where a program can run: its boxes, made when they are first needed and again when one
// was lost. Not thread-safe; different slots run side by side.
class Slot {
 public:
  // The sandbox outlives the slot.
  Slot(const Sandbox& sandbox, int64_t number, bool anywhere)
      : sandbox_(sandbox), number_(number), anywhere_(anywhere) {}

  // Judges one item; never fails, what is wrong with the sandbox is an INTERNAL verdict.
  Verdict Check(const VerifyItem& item, absl::Time deadline);

  // Starts the interpreter's box and tries its limits from within: the answer of probe.py, JSON.
  absl::StatusOr<std::string> Probe();
  // What the box's limits rest on, after Probe.
  std::string DescribeLimits() const;

 private:
  absl::StatusOr<CodeFinding> Run(const CodeTask& task, const std::string& source,
                                  absl::Time deadline);
  absl::StatusOr<CodeFinding> RunModule(const CodeTask& task, const std::string& source,
                                        absl::Time deadline);
  absl::StatusOr<CodeFinding> RunPythonProgram(const CodeTask& task, const std::string& source,
                                               absl::Time deadline);
  absl::StatusOr<CodeFinding> RunCppProgram(const CodeTask& task, const std::string& source,
                                            absl::Time deadline);

  const Sandbox& sandbox_;
  const int64_t number_;
  const bool anywhere_;
  std::unique_ptr<Zygote> python_, cpp_;
  std::unique_ptr<JudgeProcess> judge_;
};

}  // namespace ponder
