#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "app/config.h"

namespace ponder {

// Numbers from low to high; a bound that is `open` does not belong to the range.
struct ConfigRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;

  bool Contains(double value) const;
  std::string Words() const;  // "from 1 to 64", "above 0", "" where everything is allowed
};

// Where a key's value lives in a RunConfig; the type of the pointer is the type of the key.
using ConfigValue = std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*>;

struct ConfigKey {
  std::string name;  // "temperature"
  std::string help;
  ConfigRange range;                 // of numbers
  std::vector<std::string> choices;  // of strings; empty: any
  std::function<ConfigValue(RunConfig&)> find;
};

struct ConfigSection {
  std::string name;  // "rollout", "tasks.arithmetic"
  std::string help;
  std::vector<ConfigKey> keys;
};

// The sections that every configuration has, in the order of a dump.
const std::vector<ConfigSection>& ConfigSchema();

// The table [verifiers.NAME] of one verifier beside the main one; `find` of its keys makes it where
// it is not there.
ConfigSection AddedVerifierSection(const std::string& name);
inline constexpr size_t kMaxAddedVerifiers = 16;

// ConfigSchema and the tables of the verifiers that `config` has, behind [verifier].
std::vector<ConfigSection> ConfigSections(const RunConfig& config);

// "integer", "number", "string", "true or false", "list of strings".
std::string ConfigTypeName(const ConfigValue& value);

// What a key wants, in words: "a number above 0", "\"bf16\" or \"f32\"".
std::string ConfigExpectation(const ConfigKey& key, const ConfigValue& value);

// A value as TOML. Strings must be UTF-8.
std::string ConfigToml(const ConfigValue& value);

// Empty where the value is allowed; otherwise what was found, for "expected ..., found ...".
std::string ConfigViolation(const ConfigKey& key, const ConfigValue& value);

}  // namespace ponder
