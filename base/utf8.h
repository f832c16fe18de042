#pragma once

#include <string>
#include <string_view>

namespace ponder {

// Every maximal ill-formed part becomes one U+FFFD: what Python's bytes.decode("utf-8",
// errors="replace") does.
std::string ToValidUtf8(std::string_view text);

}  // namespace ponder
