#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ponder {

enum class HintSeverity { kNote, kWarning };

// Something about a run that a person should know, in words.
struct Hint {
  std::string kind;  // "entropy_collapse", "truncation", ...: docs/runs.md has them all
  HintSeverity severity = HintSeverity::kWarning;
  std::string text;                  // what is wrong, with the evidence
  std::vector<std::string> metrics;  // the curves that show it
  int64_t first_step = 0;
  int64_t last_step = 0;
  std::string remedy;  // what to try, with configuration keys
};

}  // namespace ponder
