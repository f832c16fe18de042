#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "verifiers/verifier.h"

namespace ponder {

enum class MemberRole {
  kJudge,  // gives the verdict on its tasks in place of the main verifier
  kPart,   // judges besides: its score is a part of the verdict under its name
  kAudit,  // judges a share besides, for comparison alone
};

struct CombinedMember {
  std::string name;  // of its part
  MemberRole role = MemberRole::kPart;
  std::vector<std::string> sources;  // tasks of these sources; empty: of all
  std::vector<std::string> kinds;    // tasks of these kinds; empty: of all
  double share = 1;                  // of the completions that an audit looks at, 0 to 1
  std::unique_ptr<Verifier> verifier;
};

// Several verifiers as one. An item's verdict is that of the first member with role kJudge whose
// sources and kinds fit it, else of `main`. Members with role kPart add "NAME" (their score) and
// "NAME/PART" (their own parts) to its parts. A member's failure is the item's: INTERNAL, or the
// status of the call. An audit's is not: where it looked it adds "audit/NAME" (its score) and
// "audit/NAME/disputed" (1 where only one of the two says CORRECT; the reason then tells what it
// says), or "audit/NAME/failed" = 1. Which completions it looks at hangs on task, text and name
// alone. Members judge at the same time. Thread-safe.
std::unique_ptr<Verifier> CombineVerifiers(std::unique_ptr<Verifier> main,
                                           std::vector<CombinedMember> members);

// Parts of audits: "audit/NAME".
inline constexpr char kAuditPrefix[] = "audit/";
inline constexpr char kAuditDisputedSuffix[] = "/disputed";
inline constexpr char kAuditFailedSuffix[] = "/failed";

}  // namespace ponder
