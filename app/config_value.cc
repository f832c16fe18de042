#include <cmath>
#include <string_view>
#include <type_traits>

#include "app/config_schema.h"

namespace ponder {
namespace {

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
          out += fmt::format("\\u{:04X}", byte);
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

// The shortest digits that read back to the same double; TOML wants a point or an exponent.
std::string TomlNumber(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string BoundText(double bound) {
  constexpr double kExactDigits = 1e10;  // counts up to here are written out
  if (std::floor(bound) == bound && std::abs(bound) < kExactDigits) {
    return fmt::format("{}", static_cast<int64_t>(bound));
  }
  return fmt::format("{:g}", bound);
}

// Well-formed UTF-8 as TOML wants it: no surrogates, no overlong forms, at most U+10FFFF. NUL is
// refused as well: it would cut a path short.
bool IsText(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return false;
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xc2 && lead <= 0xdf   ? 1
                     : lead >= 0xe0 && lead <= 0xef ? 2
                     : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                    : 0;
    if (more == 0 || text.size() - i < static_cast<size_t>(more)) return false;
    const auto second = static_cast<unsigned char>(text[i]);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    for (int k = 0; k < more; ++k) {
      if ((static_cast<unsigned char>(text[i++]) & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

}  // namespace

bool ConfigRange::Contains(double value) const {
  // Written so that NaN is in no range, not even in an unlimited one.
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string ConfigRange::Words() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (!has_low && !has_high) return "";
  const std::string low_text = BoundText(low), high_text = BoundText(high);
  if (!has_high) return (low_open ? "above " : "at least ") + low_text;
  if (!has_low) return (high_open ? "below " : "at most ") + high_text;
  return fmt::format("{} {} {} {}", low_open ? "above" : "from", low_text,
                     high_open  ? "to below"
                     : low_open ? "and at most"
                                : "to",
                     high_text);
}

std::string ConfigTypeName(const ConfigValue& value) {
  struct Namer {
    std::string operator()(const bool*) { return "true or false"; }
    std::string operator()(const int64_t*) { return "integer"; }
    std::string operator()(const double*) { return "number"; }
    std::string operator()(const std::string*) { return "string"; }
    std::string operator()(const std::vector<std::string>*) { return "list of strings"; }
  };
  return std::visit(Namer(), value);
}

std::string ConfigExpectation(const ConfigKey& key, const ConfigValue& value) {
  if (!key.choices.empty()) {
    std::string words;
    for (size_t i = 0; i < key.choices.size(); ++i) {
      if (i > 0) words += i + 1 == key.choices.size() ? " or " : ", ";
      words += Quoted(key.choices[i]);
    }
    return words;
  }
  const std::string type = ConfigTypeName(value);
  if (std::holds_alternative<bool*>(value)) return type;
  const std::string article = std::holds_alternative<int64_t*>(value) ? "an" : "a";
  const std::string range = key.range.Words();
  return fmt::format("{} {}{}{}", article, type, range.empty() ? "" : " ", range);
}

std::string ConfigToml(const ConfigValue& value) {
  struct Writer {
    std::string operator()(const bool* v) { return *v ? "true" : "false"; }
    std::string operator()(const int64_t* v) { return fmt::format("{}", *v); }
    std::string operator()(const double* v) { return TomlNumber(*v); }
    std::string operator()(const std::string* v) { return Quoted(*v); }
    std::string operator()(const std::vector<std::string>* v) {
      std::string out = "[";
      for (size_t i = 0; i < v->size(); ++i) out += (i == 0 ? "" : ", ") + Quoted((*v)[i]);
      return out + "]";
    }
  };
  return std::visit(Writer(), value);
}

std::string ConfigViolation(const ConfigKey& key, const ConfigValue& value) {
  struct Checker {
    const ConfigKey& key;
    std::string operator()(const bool*) { return ""; }
    std::string operator()(const int64_t* v) {
      return key.range.Contains(static_cast<double>(*v)) ? "" : fmt::format("{}", *v);
    }
    std::string operator()(const double* v) {
      return key.range.Contains(*v) ? "" : fmt::format("{}", *v);
    }
    std::string operator()(const std::string* v) {
      if (!IsText(*v)) return "bytes that are not UTF-8 text";
      if (key.choices.empty()) return "";
      for (const std::string& choice : key.choices) {
        if (choice == *v) return "";
      }
      return Quoted(*v);
    }
    std::string operator()(const std::vector<std::string>* v) {
      for (const std::string& item : *v) {
        if (!IsText(item)) return "bytes that are not UTF-8 text";
      }
      return "";
    }
  };
  return std::visit(Checker{key}, value);
}

}  // namespace ponder
