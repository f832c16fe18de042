#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

struct VerifierDescription {
  std::string name;
  std::string version;
  std::vector<std::string> task_kinds;  // empty: any
  int64_t max_batch = 0;                // items a call may hold; 0 = no limit of its own
  int64_t max_completion_bytes = 0;     // 0 = no limit of its own
};

// The seam behind which every judge stands: built-in, over gRPC, plugin. Duties of an
// implementation:
//   1. one verdict an item, in order;
//   2. never crash, hang or throw on any text: bad input is a status (NO_ANSWER, UNPARSEABLE,
//   INVALID_GOLD);
//   3. its own failures are INTERNAL, never WRONG;
//   4. after `deadline` it returns what it has; items it did not reach are INTERNAL with the
//   reason.
// A non-OK return means the whole batch was not judged. Thread-safe.
class Verifier {
 public:
  virtual ~Verifier() = default;
  virtual VerifierDescription Describe() const = 0;
  virtual absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                                      absl::Time deadline) = 0;
};

struct VerifierSettings {
  std::string extraction =
      "strict";  // "strict": what a reward needs; "anywhere": as graders for evaluation do
  std::string anchors = "box,tag,hashes,phrase";  // the marks that count; not of "code"
  // Of "math"; a task's data may override them, see docs/verifiers/mathematics.md.
  std::string decimal_places;       // "exact" or a count; empty: exact, or 6 with "anywhere"
  std::string percent = "either";   // "either": 28% equals 28 and 0.28; "exact": 0.28 alone
  std::string units = "ignore";     // "ignore", or "match" where both sides have one
  bool allow_weak_sandbox = false;  // "code": see CodeVerifierOptions
  std::function<void(const std::string&)> log;  // takes a line where there is news; may be empty
};

// "math", "countdown", "text", "code"; "auto" picks by each task's kind. INVALID_ARGUMENT names the
// known ones.
absl::StatusOr<std::unique_ptr<Verifier>> CreateVerifier(const std::string& name,
                                                         const VerifierSettings& settings = {});

}  // namespace ponder
