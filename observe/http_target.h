#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ponder {

struct HttpTargetLimits {
  size_t target_bytes = 4096;
  size_t parameters = 32;
  size_t name_bytes = 64;  // decoded, as is the next
  size_t value_bytes = 2048;
};

// What a request asks for: "/api/runs/a%20b/steps?phase=train".
struct HttpTarget {
  std::string path;
  std::map<std::string, std::string, std::less<>> query;  // "+" is a blank; "a" alone is "a="
};

// RESOURCE_EXHAUSTED where the whole is too long; INVALID_ARGUMENT where it is no path, an escape
// is broken, a character is a control character, a parameter comes twice or is over a limit.
absl::StatusOr<HttpTarget> ParseHttpTarget(std::string_view target,
                                           const HttpTargetLimits& limits = {});

// Text with everything but letters, digits and "-._~" as %XX.
std::string PercentEncode(std::string_view text);

}  // namespace ponder
