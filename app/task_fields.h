#pragma once

#include <string>

#include "app/config.h"
#include "base/status.h"

namespace ponder {

// How the fields of a file of JSON lines were read, guessed from their names and contents.
struct TaskFields {
  TaskFileKeys keys;     // path, fields, gold_after and verifier are filled in
  std::string why_gold;  // in words
  std::string why_verifier;
};

// Looks at the first lines of the file. INVALID_ARGUMENT says which fields were found where none is
// a question, or none an answer.
absl::StatusOr<TaskFields> DetectTaskFields(const std::string& path);

}  // namespace ponder
