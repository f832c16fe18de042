#pragma once

#include <optional>
#include <string_view>

namespace ponder {

// The text of a member's value in the text of a JSON object, as it stands there: parsers that hold
// numbers in 64 bits would change long ones. A view into `object`, without blanks around it; empty
// where there is no such member. Names are compared as they are written, escapes and all. `object`
// must be valid JSON that a parser has accepted.
std::optional<std::string_view> JsonMember(std::string_view object, std::string_view name);

}  // namespace ponder
