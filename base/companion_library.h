#pragma once

#include <string>

#include "base/status.h"

// Shared libraries that lie beside the program and are loaded when a command needs them, so that
// the others start without them.
namespace ponder {

struct CompanionLibrary {
  std::string file;    // "libponder_learner.so"
  std::string entry;   // the one symbol it exports
  std::string remedy;  // what to do where it is missing: "build the target ponder_learner"
};

// Where it lies: beside the program or, since a test's program lies in a folder of the build tree,
// up to two folders above. NOT_FOUND says where it was expected.
absl::StatusOr<std::string> FindCompanion(const CompanionLibrary& library);

// Loads it and returns its entry; it stays loaded. FAILED_PRECONDITION where it cannot be loaded or
// is of another build. Thread-safe.
absl::StatusOr<void*> LoadCompanionEntry(const CompanionLibrary& library);

}  // namespace ponder
