#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ponder {

// How many single-character insertions, deletions, replacements and swaps of neighbours turn one
// name into the other (optimal string alignment), ignoring case.
int64_t EditDistance(std::string_view a, std::string_view b);

// The known name nearest to a mistyped one; the first of equals, empty where `known` is empty.
std::string NearestName(std::string_view name, std::span<const std::string> known);

// Whether one may be meant by the other: at most a third of it is mistyped.
bool IsNear(std::string_view name, std::string_view known);

}  // namespace ponder
