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

struct SupervisedVerifierOptions {
  std::vector<std::string> command;  // starts a process that prints "listening on HOST:PORT" and
                                     // ends when its input closes
  int64_t max_restarts = 10;         // in the object's life
  absl::Duration start_timeout = absl::Seconds(30);
  // A child has started; may be empty.
  std::function<void(pid_t)> on_start;
  // "verifier restarted (1 of 10): ...", with the last words of the one before; may be empty.
  std::function<void(const std::string& event)> on_event;
};

// A verifier in a child process over gRPC. Where the child died or a call failed or ran out of
// time, the child is killed, started again, and the call reports the failure: the caller judges the
// batch again. FAILED_PRECONDITION once max_restarts are used up. Thread-safe; calls run one after
// another.
absl::StatusOr<std::unique_ptr<Verifier>> StartSupervisedVerifier(
    SupervisedVerifierOptions options);

}  // namespace ponder
