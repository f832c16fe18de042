#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

enum class CodeLanguage { kPython, kCpp };
std::string_view ToString(CodeLanguage language);

// A run of a whole program.
struct ProgramRun {
  std::string input;   // its standard input
  std::string output;  // what it is to print
};

// What a task of kind "code" asks, read from Task::data.
struct CodeTask {
  CodeLanguage language = CodeLanguage::kPython;
  std::string prompt;            // code that the answer continues (HumanEval), or empty
  std::string entry_point;       // the function asked for; empty where the tests name it
  std::string tests;             // for judge.py, JSON; empty where `runs` are the tests
  std::vector<ProgramRun> runs;  // empty where `tests` are the tests
};

// Reads the forms of docs/verifiers/code.md. INVALID_ARGUMENT says what is missing: the task is at
// fault. What the tests' own code says is left to judge.py.
absl::StatusOr<CodeTask> ParseCodeTask(const Task& task);

}  // namespace ponder
