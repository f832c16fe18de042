#include "observe/settings_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace ponder {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 20;

// Numbers as short as they are exact, texts bare; in a list quoted, so that one sees where each
// ends.
std::string Value(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_floating_point()) {
    const std::string digits = fmt::format("{}", number->get());
    const bool whole = digits.find_first_not_of("-0123456789") == std::string::npos;
    return whole ? digits + ".0" : digits;
  }
  if (const toml::array* list = node.as_array()) {
    std::string items;
    for (const toml::node& item : *list) {
      const std::string value = Value(item);
      items += fmt::format("{}{}", items.empty() ? "" : ", ",
                           item.is_string() ? fmt::format("\"{}\"", value) : value);
    }
    return fmt::format("[{}]", items);
  }
  std::ostringstream text;
  text << toml::node_view<const toml::node>(node);
  return text.str();
}

void Flatten(const toml::table& table, const std::string& prefix,
             std::map<std::string, std::string>& keys) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const toml::table* inner = node.as_table()) {
      Flatten(*inner, name + ".", keys);
    } else {
      keys[name] = Value(node);
    }
  }
}

absl::StatusOr<toml::table> Parse(const std::string& path, const std::string& text) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return InvalidArgument("{}:{}: {}", path, error.source().begin.line, error.description());
  }
}

std::string SettingsPath(const std::string& run_directory) {
  return run_directory + "/config.toml";
}

}  // namespace

absl::StatusOr<SettingsFile> ReadSettingsFile(const std::string& run_directory) {
  const std::string path = SettingsPath(run_directory);
  SettingsFile settings;
  PONDER_ASSIGN_OR_RETURN(settings.toml, ReadFile(path, kMostBytes));
  PONDER_ASSIGN_OR_RETURN(const toml::table table, Parse(path, settings.toml));
  Flatten(table, "", settings.keys);
  return settings;
}

int64_t ConfiguredSteps(const std::string& run_directory) {
  const absl::StatusOr<SettingsFile> settings = ReadSettingsFile(run_directory);
  if (!settings.ok()) return 0;
  const auto steps = settings->keys.find("run.steps");
  if (steps == settings->keys.end()) return 0;
  int64_t value = 0;
  std::istringstream(steps->second) >> value;
  return std::max<int64_t>(value, 0);
}

std::vector<SettingDifference> SettingDifferences(std::span<const SettingsFile> files) {
  std::set<std::string> keys;
  for (const SettingsFile& file : files) {
    for (const auto& [key, value] : file.keys) keys.insert(key);
  }
  keys.erase("run.name");
  keys.erase("run.directory");
  std::vector<SettingDifference> differences;
  for (const std::string& key : keys) {
    SettingDifference setting{.key = key};
    bool differs = false;
    for (const SettingsFile& file : files) {
      const auto found = file.keys.find(key);
      setting.values.push_back(found == file.keys.end() ? std::nullopt
                                                        : std::optional(found->second));
      differs |= setting.values.back() != setting.values.front();
    }
    if (differs) differences.push_back(std::move(setting));
  }
  return differences;
}

}  // namespace ponder
