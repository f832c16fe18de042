#include "app/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>

#include "app/config_schema.h"
#include "base/file.h"
#include "base/nearest_name.h"
#include "learner/trainer.h"

namespace ponder {
namespace {

constexpr size_t kMaxProblems = 10;
constexpr size_t kShownBytes = 80;  // of a name or value from a file, in a message

struct Problem {
  int64_t line = 0;  // 0: not of a file
  // Only called for the few that are shown: finding the nearest name of each of a hundred thousand
  // keys would take long.
  std::function<std::string()> text;
};

// A foreign text on one line of a message: clipped between characters, quoted, escaped.
std::string Shown(std::string_view text) {
  std::string clipped(text.substr(0, kShownBytes));
  if (text.size() <= kShownBytes) return ConfigToml(&clipped);
  while (!clipped.empty() && (text[clipped.size()] & 0xc0) == 0x80) clipped.pop_back();
  return ConfigToml(&clipped) + "...";
}

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= kShownBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

std::string ShownName(std::string_view name) {
  return IsPlainName(name) ? std::string(name) : Shown(name);
}

std::string FullName(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : fmt::format("{}.{}", section, name);
}

// A name that stands in metrics and on the command line.
bool IsVerifierName(std::string_view name) {
  constexpr size_t kLongest = 32;
  return !name.empty() && name.size() <= kLongest &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

std::optional<ConfigSection> FindSection(std::string_view name) {
  for (const ConfigSection& section : ConfigSchema()) {
    if (section.name == name) return section;
  }
  constexpr std::string_view kPrefix = "verifiers.";
  if (name.starts_with(kPrefix) && IsVerifierName(name.substr(kPrefix.size()))) {
    return AddedVerifierSection(std::string(name.substr(kPrefix.size())));
  }
  return std::nullopt;
}

std::optional<ConfigKey> FindKey(std::string_view section, std::string_view name) {
  const std::optional<ConfigSection> found = FindSection(section);
  if (!found) return std::nullopt;
  for (const ConfigKey& key : found->keys) {
    if (key.name == name) return key;
  }
  return std::nullopt;
}

// The key's own name weighs most: a right name in the wrong table is the likelier slip.
std::string NearestKey(std::string_view section, std::string_view name) {
  constexpr int64_t kOtherTable = 3;
  std::string nearest;
  int64_t least = std::numeric_limits<int64_t>::max();
  RunConfig with_added;
  if (const std::optional<ConfigSection> added = FindSection(section);
      added && added->name.starts_with("verifiers.")) {
    added->keys.front().find(with_added);  // its table is one of the candidates
  }
  for (const ConfigSection& candidate : ConfigSections(with_added)) {
    const int64_t table_cost = std::min(EditDistance(section, candidate.name), kOtherTable);
    for (const ConfigKey& key : candidate.keys) {
      const int64_t cost = 2 * EditDistance(name, key.name) + table_cost;
      if (cost < least) {
        least = cost;
        nearest = FullName(candidate.name, key.name);
      }
    }
  }
  return nearest;
}

std::string UnknownKey(std::string_view section, std::string_view name) {
  return fmt::format("unknown key {}; the nearest known key is {}",
                     ShownName(FullName(section, name)), NearestKey(section, name));
}

std::string UnknownTable(std::string_view name) {
  std::vector<std::string> known;
  for (const ConfigSection& section : ConfigSchema()) known.push_back(section.name);
  known.push_back("verifiers.NAME");
  return fmt::format("unknown table [{}]; the nearest known one is [{}]", ShownName(name),
                     NearestName(name, known));
}

std::string Found(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return fmt::format("the string {}", Shown(**node.as_string()));
    case toml::node_type::integer:
      return fmt::format("the integer {}", **node.as_integer());
    case toml::node_type::floating_point:
      return fmt::format("the number {}", **node.as_floating_point());
    case toml::node_type::boolean:
      return **node.as_boolean() ? "true" : "false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

// Puts a TOML value where a key's value lives; false where the type is wrong.
struct Assign {
  const toml::node& node;

  template <typename T>
  bool Exactly(T* out) const {
    const std::optional<T> value = node.value_exact<T>();
    if (value) *out = *value;
    return value.has_value();
  }
  bool operator()(bool* out) const { return Exactly(out); }
  bool operator()(int64_t* out) const { return Exactly(out); }
  bool operator()(std::string* out) const { return Exactly(out); }
  bool operator()(double* out) const {
    if (const std::optional<int64_t> whole = node.value_exact<int64_t>()) {
      *out = static_cast<double>(*whole);
      return true;
    }
    return Exactly(out);
  }
  bool operator()(std::vector<std::string>* out) const {
    const toml::array* const array = node.as_array();
    if (array == nullptr) return false;
    std::vector<std::string> items;
    for (const toml::node& item : *array) {
      const std::optional<std::string> text = item.value_exact<std::string>();
      if (!text) return false;
      items.push_back(*text);
    }
    *out = std::move(items);
    return true;
  }
};

// Empty where all went well, otherwise what is wrong.
std::string SetKey(const std::string& full_name, const ConfigKey& key, const toml::node& node,
                   RunConfig& config) {
  const ConfigValue value = key.find(config);
  std::string found;
  if (!std::visit(Assign{node}, value)) {
    found = Found(node);
  } else if (found = ConfigViolation(key, value); found.empty()) {
    return "";
  }
  return fmt::format("{}: expected {}, found {}", full_name, ConfigExpectation(key, value), found);
}

void ApplyTable(const toml::table& table, const std::string& name, RunConfig& config,
                std::vector<Problem>& problems);

void ApplyAddedVerifiers(const toml::table& table, RunConfig& config,
                         std::vector<Problem>& problems) {
  for (const auto& [toml_key, node] : table) {
    const std::string name(toml_key.str());
    const int64_t line = toml_key.source().begin.line;
    if (!node.is_table() || !IsVerifierName(name)) {
      const std::string text = fmt::format(
          "expected tables [verifiers.NAME] whose names have 1 to 32 of a-z 0-9 _ -, found {} {}",
          ShownName(FullName(kAddedVerifiers, name)), node.is_table() ? "" : Found(node));
      problems.push_back({line, [text] { return text; }});
      continue;
    }
    if (config.verifiers.size() == kMaxAddedVerifiers && !config.verifiers.contains(name)) {
      problems.push_back({line, [] {
                            return fmt::format("expected at most {} tables [verifiers.NAME]",
                                               kMaxAddedVerifiers);
                          }});
      return;
    }
    config.verifiers[name];
    ApplyTable(*node.as_table(), FullName(kAddedVerifiers, name), config, problems);
  }
}

void ApplyTable(const toml::table& table, const std::string& name, RunConfig& config,
                std::vector<Problem>& problems) {
  for (const auto& [toml_key, node] : table) {
    const std::string_view key_name = toml_key.str();
    const std::string full_name = FullName(name, key_name);
    const int64_t line = toml_key.source().begin.line;
    if (full_name == kAddedVerifiers && node.is_table()) {
      ApplyAddedVerifiers(*node.as_table(), config, problems);
    } else if (FindSection(full_name)) {
      if (node.is_table()) {
        ApplyTable(*node.as_table(), full_name, config, problems);
        continue;
      }
      const std::string text =
          fmt::format("{}: expected the table [{}], found {}", full_name, full_name, Found(node));
      problems.push_back({line, [text] { return text; }});
    } else if (const std::optional<ConfigKey> key = FindKey(name, key_name)) {
      const std::string text = SetKey(full_name, *key, node, config);
      if (!text.empty()) problems.push_back({line, [text] { return text; }});
    } else if (node.is_table() || node.is_array_of_tables()) {
      problems.push_back({line, [full_name] { return UnknownTable(full_name); }});
    } else {
      problems.push_back(
          {line, [name, key_name = std::string(key_name)] { return UnknownKey(name, key_name); }});
    }
  }
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Empty where all went well, otherwise what is wrong.
std::string ApplyOverride(std::string_view text, RunConfig& config) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return "expected KEY=VALUE, found no \"=\"";
  const std::string_view name = Trim(text.substr(0, equals));
  const std::string_view value = Trim(text.substr(equals + 1));
  const size_t dot = name.rfind('.');
  const std::string_view section = dot == std::string_view::npos ? "" : name.substr(0, dot);
  const std::string_view key_name = dot == std::string_view::npos ? name : name.substr(dot + 1);
  const std::optional<ConfigKey> key = FindKey(section, key_name);
  if (!key) return UnknownKey(section, key_name);

  const ConfigValue target = key->find(config);
  const bool quoted = !value.empty() && (value.front() == '"' || value.front() == '\'');
  if (std::holds_alternative<std::string*>(target) && !quoted) {
    return SetKey(std::string(name), *key, toml::value<std::string>(std::string(value)), config);
  }
  try {
    const toml::table table = toml::parse(fmt::format("value = {}", value));
    // More than one entry means that the text went on behind the value.
    if (const toml::node* const node = table.get("value"); node != nullptr && table.size() == 1) {
      return SetKey(std::string(name), *key, *node, config);
    }
  } catch (const toml::parse_error&) {
    // Said below: a TOML parser's view of a few characters would not help.
  }
  return fmt::format("{}: expected {}, found {}", name, ConfigExpectation(*key, target),
                     value.empty() ? "nothing" : Shown(value));
}

absl::Status ProblemStatus(const std::vector<Problem>& problems, const std::string& origin) {
  std::string message;
  for (size_t i = 0; i < std::min(problems.size(), kMaxProblems); ++i) {
    if (i > 0) message += '\n';
    if (problems[i].line > 0) message += fmt::format("{}:{}: ", origin, problems[i].line);
    message += problems[i].text();
  }
  if (problems.size() > kMaxProblems) {
    message += fmt::format("\nand {} more", problems.size() - kMaxProblems);
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<RunConfig> ParseConfig(std::string_view text, const std::string& origin,
                                      std::span<const std::string> overrides) {
  if (text.size() > kMaxConfigBytes) {
    return InvalidArgument("{}: expected at most {} bytes of configuration, found {}", origin,
                           kMaxConfigBytes, text.size());
  }
  RunConfig config;
  std::vector<Problem> problems;
  try {
    ApplyTable(toml::parse(text), "", config, problems);
  } catch (const toml::parse_error& error) {
    return InvalidArgument("{}:{}: not valid TOML: {}", origin, error.source().begin.line,
                           error.description());
  }
  // TOML tables come in the order of their names; people read from the top.
  std::stable_sort(problems.begin(), problems.end(),
                   [](const Problem& a, const Problem& b) { return a.line < b.line; });
  for (const std::string& item : overrides) {
    if (std::string problem = ApplyOverride(item, config); !problem.empty()) {
      problem = fmt::format("--set {}: {}", Shown(item), problem);
      problems.push_back({0, [problem] { return problem; }});
    }
  }
  if (!problems.empty()) return ProblemStatus(problems, origin);
  const bool samples_differ = config.rollout.max_staleness > 0 || config.machine.numerics == "fast";
  if (samples_differ && config.learner.importance_cap == 0)
    config.learner.importance_cap = kDefaultImportanceCap;
  PONDER_RETURN_IF_ERROR(CheckConfig(config, origin));
  return config;
}

absl::StatusOr<RunConfig> LoadConfig(const std::string& path,
                                     std::span<const std::string> overrides) {
  PONDER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  return ParseConfig(text, path, overrides);
}

}  // namespace ponder
