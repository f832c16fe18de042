#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ponder {

// JSON from files nobody vouches for: refuses nesting deeper than `max_depth` before anything is
// built. `what` names the file in messages.
absl::StatusOr<nlohmann::json> ParseJsonText(std::string_view text, const std::string& what,
                                             int64_t max_depth = 64);

}  // namespace ponder
