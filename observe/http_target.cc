#include "observe/http_target.h"

#include <utility>

namespace ponder {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

enum class Plus { kItself, kBlank };

absl::StatusOr<std::string> Decode(std::string_view text, Plus plus) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus == Plus::kBlank) c = ' ';
    if (c == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return InvalidArgument("expected two hexadecimal digits behind each % of the address");
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (IsControl(c)) return InvalidArgument("the address holds a control character");
    decoded += c;
  }
  return decoded;
}

absl::Status AddParameter(std::string_view text, const HttpTargetLimits& limits,
                          HttpTarget& target) {
  const size_t equals = text.find('=');
  const std::string_view rest =
      equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
  PONDER_ASSIGN_OR_RETURN(std::string name, Decode(text.substr(0, equals), Plus::kBlank));
  PONDER_ASSIGN_OR_RETURN(std::string value, Decode(rest, Plus::kBlank));
  if (name.empty() || name.size() > limits.name_bytes) {
    return InvalidArgument("expected names of parameters of 1 to {} bytes, found one of {}",
                           limits.name_bytes, name.size());
  }
  if (value.size() > limits.value_bytes) {
    return InvalidArgument("expected values of parameters of at most {} bytes, found {} in {}",
                           limits.value_bytes, value.size(), name);
  }
  if (target.query.size() == limits.parameters) {
    return InvalidArgument("expected at most {} parameters", limits.parameters);
  }
  const auto [place, is_new] = target.query.emplace(std::move(name), std::move(value));
  if (!is_new) return InvalidArgument("the parameter {} comes twice", place->first);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HttpTarget> ParseHttpTarget(std::string_view target,
                                           const HttpTargetLimits& limits) {
  if (target.size() > limits.target_bytes) {
    return ResourceExhausted("expected an address of at most {} bytes, found {}",
                             limits.target_bytes, target.size());
  }
  if (!target.starts_with('/')) {
    return InvalidArgument("expected a path that begins with / in the request");
  }
  const size_t mark = target.find('?');
  HttpTarget parsed;
  PONDER_ASSIGN_OR_RETURN(parsed.path, Decode(target.substr(0, mark), Plus::kItself));
  if (mark == std::string_view::npos) return parsed;
  std::string_view query = target.substr(mark + 1);
  while (!query.empty()) {
    const size_t end = query.find('&');
    if (end != 0) PONDER_RETURN_IF_ERROR(AddParameter(query.substr(0, end), limits, parsed));
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
  return parsed;
}

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace ponder
