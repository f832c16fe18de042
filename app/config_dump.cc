#include <string_view>

#include "app/config_schema.h"
#include "base/check.h"

namespace ponder {
namespace {

// "integer at least 0", "number above 0": ConfigExpectation without its article.
std::string Kind(const ConfigKey& key, const ConfigValue& value) {
  std::string words = ConfigExpectation(key, value);
  for (const std::string_view article : {"an ", "a "}) {
    if (words.starts_with(article)) return words.substr(article.size());
  }
  return words;
}

// The text as comment lines of at most 100 columns.
std::string Comment(std::string_view text) {
  constexpr size_t kColumns = 98;  // behind "# "
  std::string out;
  while (text.size() > kColumns) {
    const size_t space = text.rfind(' ', kColumns);
    if (space == std::string_view::npos) break;
    out += fmt::format("# {}\n", text.substr(0, space));
    text.remove_prefix(space + 1);
  }
  return out + fmt::format("# {}\n", text);
}

std::string Cell(std::string text) {
  for (size_t i = text.find('|'); i != std::string::npos; i = text.find('|', i + 2)) {
    text.insert(i, "\\");
  }
  return text;
}

}  // namespace

std::string DumpConfig(const RunConfig& config) {
  const absl::Status status = CheckConfig(config, "configuration");
  PONDER_CHECK(status.ok(), std::string(status.message()));
  RunConfig values = config, defaults;
  std::string out;
  for (const ConfigSection& section : ConfigSections(config)) {
    if (!out.empty()) out += "\n";
    out += fmt::format("{}[{}]\n", Comment(section.help), section.name);
    for (const ConfigKey& key : section.keys) {
      const ConfigValue value = key.find(values);
      out += Comment(fmt::format("{}: {} ({}; default {})", key.name, key.help, Kind(key, value),
                                 ConfigToml(key.find(defaults))));
      out += fmt::format("{} = {}\n", key.name, ConfigToml(value));
    }
  }
  return out;
}

std::string DumpChosenKeys(const RunConfig& config, const std::map<std::string, std::string>& why) {
  const absl::Status status = CheckConfig(config, "configuration");
  PONDER_CHECK(status.ok(), std::string(status.message()));
  RunConfig values = config;
  std::string out;
  for (const ConfigSection& section : ConfigSections(config)) {
    std::string keys;
    for (const ConfigKey& key : section.keys) {
      const auto chosen = why.find(section.name + "." + key.name);
      if (chosen == why.end()) continue;
      const ConfigValue value = key.find(values);
      keys += Comment(fmt::format("{}: {}{}{}", key.name, key.help,
                                  chosen->second.empty() ? "" : "; here: ", chosen->second));
      keys += fmt::format("{} = {}\n", key.name, ConfigToml(value));
    }
    if (keys.empty()) continue;
    if (!out.empty()) out += "\n";
    out += fmt::format("{}[{}]\n{}", Comment(section.help), section.name, keys);
  }
  return out;
}

std::string ConfigReference() {
  RunConfig defaults;
  defaults.verifiers["NAME"];
  std::string out =
      "# Configuration\n\nA run is a TOML file with these keys; those that are left out have their "
      "default. `--set section.key=value` "
      "overrides one. `ponder config FILE` prints what a file comes to, `ponder init` writes one. "
      "This page is what `ponder config "
      "--reference` prints.\n";
  for (const ConfigSection& section : ConfigSections(defaults)) {
    out +=
        fmt::format("\n## [{}]\n{}\n\n| Key | What it is | Value | Default |\n|---|---|---|---|\n",
                    section.name, section.help);
    for (const ConfigKey& key : section.keys) {
      const ConfigValue value = key.find(defaults);
      out += fmt::format("| `{}` | {} | {} | `{}` |\n", key.name, Cell(key.help),
                         Cell(Kind(key, value)), ConfigToml(value));
    }
  }
  return out;
}

}  // namespace ponder
