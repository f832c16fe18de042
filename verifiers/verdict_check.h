#pragma once

#include <string>

#include "base/records.h"

namespace ponder {

// A verdict as it came over a border (gRPC, a command, a shared object). What cannot be one (no
// status; a score outside 0 to 1; a part that is no finite number; too many parts) becomes INTERNAL
// with the reason, so that it is never a reward. Long texts are cut between characters.
Verdict CheckedVerdict(Verdict verdict);

// The verifier's own failure.
Verdict InternalVerdict(std::string reason);

// Whether the verifier failed: the item has to be judged again and is never scored.
bool IsFailure(const Verdict& verdict);

}  // namespace ponder
