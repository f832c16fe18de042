#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ponder {

// `tokenizers` knows Unicode 16; the tables of PCRE2 and ICU are those of the system, 14.0 or
// later. A character that is newer than 14.0 is looked up there as an older one that is alike: the
// same general category, for ideographs and kana the same script, the same number of bytes.
char32_t StandIn(char32_t code_point);

// Valid UTF-8 with every such character replaced, at the same places; empty where there is none.
std::optional<std::string> WithStandIns(std::string_view text);

}  // namespace ponder
