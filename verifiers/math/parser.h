#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "verifiers/math/syntax.h"

namespace ponder::math {

// What a comma between digits means where nothing else tells: "1,234".
enum class CommaReading { kThousands, kList, kDecimal };

// Reads one answer: LaTeX or plain text, cleaned or not. INVALID_ARGUMENT says what could not be
// read. Nothing is computed; time and memory are linear in the text, which is at most kMaxTextBytes
// long, and a tree is at most kMaxDepth deep.
absl::StatusOr<NodePtr> Parse(std::string_view text, CommaReading comma = CommaReading::kThousands);

// The readings under which this text may mean different things, the likeliest first.
std::vector<CommaReading> CommaReadings(std::string_view text);

}  // namespace ponder::math
