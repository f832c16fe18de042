#include "base/json_member.h"

#include <algorithm>
#include <cstdint>

namespace ponder {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

void SkipBlanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

// Takes a string with its quotes.
std::string_view TakeString(std::string_view& text) {
  size_t end = 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  const std::string_view string = text.substr(0, std::min(end + 1, text.size()));
  text.remove_prefix(string.size());
  return string;
}

// Takes a value of any kind: up to the comma or bracket that ends it.
std::string_view TakeValue(std::string_view& text) {
  std::string_view rest = text;
  int64_t depth = 0;
  while (!rest.empty()) {
    const char c = rest.front();
    if (c == '"') {
      TakeString(rest);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    rest.remove_prefix(1);
  }
  std::string_view value = text.substr(0, text.size() - rest.size());
  text = rest;
  value.remove_suffix(value.size() - (value.find_last_not_of(kBlanks) + 1));
  return value;
}

}  // namespace

std::optional<std::string_view> JsonMember(std::string_view object, std::string_view name) {
  SkipBlanks(object);
  if (!object.starts_with('{')) return std::nullopt;
  object.remove_prefix(1);
  std::optional<std::string_view> found;
  for (;;) {
    SkipBlanks(object);
    if (!object.starts_with('"')) return found;
    const std::string_view key = TakeString(object);
    SkipBlanks(object);
    if (!object.starts_with(':')) return found;
    object.remove_prefix(1);
    SkipBlanks(object);
    const std::string_view value = TakeValue(object);
    // The last one counts, as parsers have it.
    if (key.size() == name.size() + 2 && key.substr(1, name.size()) == name) found = value;
    if (!object.starts_with(',')) return found;
    object.remove_prefix(1);
  }
}

}  // namespace ponder
