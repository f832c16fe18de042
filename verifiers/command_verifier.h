#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "verifiers/verifier.h"

namespace ponder {

struct CommandVerifierOptions {
  std::vector<std::string> command;  // the program (found on PATH) and its arguments
  int64_t max_restarts = 10;         // in the object's life
  // A process may take so long for its first answer (imports, models), whatever the deadline says.
  absl::Duration start_timeout = absl::Seconds(60);
  // A process has started; may be empty.
  std::function<void(pid_t)> on_start;
  // "verifier restarted (1 of 10): ...", with the last words of the one before; may be empty.
  std::function<void(const std::string& event)> on_event;
};

// A verifier that is any program reading items and writing verdicts as JSON lines
// (verifiers/item_json.h): one answer a line, with the item's "id", in any order. The process lives
// on over calls. Where it dies, the item it owed first is INTERNAL and the others go to a new
// process; where it does not answer by the deadline, it is killed and what it owed is INTERNAL.
// FAILED_PRECONDITION once max_restarts are used up. Thread-safe; calls run one after another.
absl::StatusOr<std::unique_ptr<Verifier>> StartCommandVerifier(CommandVerifierOptions options);

}  // namespace ponder
