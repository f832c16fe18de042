#include "model/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ponder {
namespace {

// How deep arrays and objects nest; strings are stepped over. Says nothing about whether the text
// is JSON at all.
int64_t NestingDepth(std::string_view text) {
  int64_t depth = 0;
  int64_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonText(std::string_view text, const std::string& what,
                                             int64_t max_depth) {
  if (const int64_t depth = NestingDepth(text); depth > max_depth) {
    return InvalidArgument("{}: nested {} deep, expected at most {}", what, depth, max_depth);
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument("{}: not JSON: {}", what, error.what());
  }
}

}  // namespace ponder
