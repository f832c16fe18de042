#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ponder {

// The text of each token, so that joined they are the text: a character whose bytes lie in several
// tokens stands at the last of them, and the others are empty. Bytes that no later token makes
// whole stay where they are. Ids that the vocabulary does not have are empty.
std::vector<std::string> TokenTexts(std::span<const int32_t> ids,
                                    const std::vector<std::string>& vocabulary);

}  // namespace ponder
