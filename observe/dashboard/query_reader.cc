#include "observe/dashboard/query_reader.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/nearest_name.h"

namespace ponder {
namespace {

template <typename T>
std::optional<T> Parse(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || last != end) return std::nullopt;
  return value;
}

}  // namespace

void QueryReader::Fail(absl::Status status) { status_.Update(status); }

std::string QueryReader::Text(std::string_view name) {
  known_.emplace_back(name);
  const auto found = query_.find(name);
  return found == query_.end() ? std::string() : found->second;
}

std::optional<int64_t> QueryReader::Integer(std::string_view name, int64_t low, int64_t high) {
  const std::string text = Text(name);
  if (text.empty()) return std::nullopt;
  const std::optional<int64_t> value = Parse<int64_t>(text);
  if (value && *value >= low && *value <= high) return value;
  Fail(InvalidArgument("{}: expected a whole number from {} to {}, found \"{}\"", name, low, high,
                       text));
  return std::nullopt;
}

std::optional<double> QueryReader::Number(std::string_view name) {
  const std::string text = Text(name);
  if (text.empty()) return std::nullopt;
  const std::optional<double> value = Parse<double>(text);
  if (value && std::isfinite(*value)) return value;
  Fail(InvalidArgument("{}: expected a number, found \"{}\"", name, text));
  return std::nullopt;
}

std::vector<std::string> QueryReader::List(std::string_view name, size_t most) {
  std::vector<std::string> items;
  const std::string text = Text(name);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    if (comma != 0) items.emplace_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  if (items.size() > most) {
    Fail(InvalidArgument("{}: expected at most {} names, found {}", name, most, items.size()));
  }
  return items;
}

std::optional<size_t> QueryReader::Choice(std::string_view name,
                                          const std::vector<std::string>& choices) {
  const std::string text = Text(name);
  if (text.empty()) return std::nullopt;
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  Fail(InvalidArgument("{}: expected {}, found \"{}\"", name, absl::StrJoin(choices, ", "), text));
  return std::nullopt;
}

absl::Status QueryReader::Check() const {
  for (const auto& [name, value] : query_) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    if (known_.empty()) return InvalidArgument("{}: this address takes no parameters", name);
    return InvalidArgument("{}: there is no such parameter here; the nearest is {}", name,
                           NearestName(name, known_));
  }
  return status_;
}

}  // namespace ponder
