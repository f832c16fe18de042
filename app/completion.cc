#include "app/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "app/config_schema.h"

namespace ponder {
namespace {

// What may stand for a value.
struct Value {
  enum class Kind { kNone, kFile, kFolder, kConfig, kRun, kKey, kWords };
  Kind kind = Kind::kNone;
  std::vector<std::string> words;
};

struct OptionWords {
  std::string name;  // "--run"
  std::string help;
  Value value;
};

struct CommandWords {
  std::string path;                                           // "runs compare", "" for the program
  std::vector<std::pair<std::string, std::string>> commands;  // name, help
  std::vector<OptionWords> options;
  Value argument;  // the first positional
};

// The choices in a type's name: "TEXT:{csv,jsonl}".
std::vector<std::string> Choices(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.rfind('}');
  std::vector<std::string> words;
  if (begin == std::string::npos || end == std::string::npos || end < begin) return words;
  std::string list = type.substr(begin + 1, end - begin - 1);
  for (size_t comma; (comma = list.find(',')) != std::string::npos; list.erase(0, comma + 1)) {
    words.push_back(list.substr(0, comma));
  }
  words.push_back(list);
  return words;
}

const std::set<std::string>& Verifiers() {
  static const auto* const names =
      new std::set<std::string>{"auto", "code", "countdown", "math", "text"};
  return *names;
}

Value ValueOf(const std::string& path, const CLI::Option& option) {
  using Kind = Value::Kind;
  const std::string name =
      option.get_lnames().empty() ? option.get_name() : option.get_lnames().front();
  if (option.get_items_expected_max() == 0) return {};
  if (const std::vector<std::string> words = Choices(option); !words.empty()) {
    return {Kind::kWords, words};
  }
  const bool verifies = path == "verify" || path == "verifier";
  if (name == "verifier" || (path == "verifier" && name == "name")) {
    return {Kind::kWords, {Verifiers().begin(), Verifiers().end()}};
  }
  if (name == "set") return verifies ? Value{Kind::kFile, {}} : Value{Kind::kKey, {}};
  for (const ConfigSection& section : ConfigSchema()) {
    for (const ConfigKey& key : section.keys) {
      // Those that are options of commands too: --isa, --dtype.
      if (key.name == name && (section.name == "machine" || section.name == "model") &&
          !key.choices.empty()) {
        return {Kind::kWords, key.choices};
      }
    }
  }
  if (name == "config" || name == "plan") return {Kind::kConfig, {}};
  if (name == "run" || name == "on" || name == "folders" || path == "runs compare") {
    return {Kind::kRun, {}};
  }
  if (name == "model" || name == "directory") return {Kind::kFolder, {}};
  return {Kind::kFile, {}};
}

void Collect(const CLI::App& app, const std::string& path, std::vector<CommandWords>& all) {
  CommandWords words{.path = path};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() && words.argument.kind == Value::Kind::kNone) {
      words.argument = ValueOf(path, *option);
    }
    for (const std::string& name : option->get_lnames()) {
      words.options.push_back({"--" + name, option->get_description(), ValueOf(path, *option)});
    }
  }
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) {
    words.commands.emplace_back(command->get_name(), command->get_description());
  }
  all.push_back(std::move(words));
  for (const CLI::App* command : commands) {
    Collect(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), all);
  }
}

std::vector<CommandWords> Collect(const CLI::App& app) {
  std::vector<CommandWords> all;
  Collect(app, "", all);
  return all;
}

std::string Quote(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// The paths of all commands as patterns of a case: "train" | "runs compare".
std::string Paths(const std::vector<CommandWords>& all) {
  std::vector<std::string> patterns;
  for (const CommandWords& command : all) {
    if (!command.path.empty()) patterns.push_back("\"" + command.path + "\"");
  }
  return fmt::format("{}", fmt::join(patterns, " | "));
}

struct KeyWords {
  std::string name;
  std::string help;
  std::vector<std::string> values;  // those that it can have, where they are few
};
std::vector<KeyWords> Keys() {
  std::vector<KeyWords> keys;
  RunConfig defaults;
  for (const ConfigSection& section : ConfigSchema()) {
    for (const ConfigKey& key : section.keys) {
      KeyWords words{section.name + "." + key.name, key.help, key.choices};
      if (std::holds_alternative<bool*>(key.find(defaults))) words.values = {"true", "false"};
      keys.push_back(std::move(words));
    }
  }
  return keys;
}

const char* KindName(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kNone:
      return "none";
    case Value::Kind::kFile:
      return "file";
    case Value::Kind::kFolder:
      return "folder";
    case Value::Kind::kConfig:
      return "config";
    case Value::Kind::kRun:
      return "run";
    case Value::Kind::kKey:
      return "key";
    case Value::Kind::kWords:
      return "words";
  }
  return "none";
}

// "words 'a b'", "file": the arguments of the function _ponder_value of both scripts.
std::string ValueCall(const Value& value) {
  std::string call = KindName(value.kind);
  if (value.kind == Value::Kind::kWords) {
    call += " " + Quote(fmt::format("{}", fmt::join(value.words, " ")));
  }
  return call;
}

constexpr char kBashHead[] = R"(# Completion of ponder for bash: source <(ponder completion bash)
_ponder_value() {
  local folder
  case "$1" in
    words) COMPREPLY=($(compgen -W "$2" -- "$cur")) ;;
    key)
      COMPREPLY=($(compgen -S = -W "$_ponder_keys" -- "$cur"))
      compopt -o nospace 2>/dev/null
      ;;
    run)
      for folder in "$cur"*/ runs/"$cur"*/; do
        [[ -e $folder/run.db ]] && COMPREPLY+=("${folder%/}")
      done
      if [[ ${#COMPREPLY[@]} == 0 ]]; then _ponder_value folder; fi
      ;;
    folder)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      ;;
    config)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$cur"; compgen -f -X '!*.toml' -- "$cur")
      ;;
    file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      ;;
  esac
}
)";

constexpr char kBashBody[] = R"(_ponder() {
  local cur=${COMP_WORDS[COMP_CWORD]} command="" before="" key="" i commands="" options=""
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if _ponder_is_command "${command:+$command }${COMP_WORDS[i]}"; then
      command="${command:+$command }${COMP_WORDS[i]}"
    fi
  done
  # bash splits words at "=": --run=x is three, --set key=x too.
  i=$((COMP_CWORD - 1))
  if [[ $cur == "=" ]]; then
    cur=""
    i=$COMP_CWORD
  fi
  if [[ ${COMP_WORDS[i]} == "=" ]]; then
    ((i--))
    key=${COMP_WORDS[i]}
  fi
  before=${COMP_WORDS[i]}
  if [[ -n $key && $key != --* ]] && _ponder_key_values "$key"; then return; fi
  if _ponder_option_value "$command" "$before"; then return; fi
  _ponder_words "$command"
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
    return
  fi
  COMPREPLY=($(compgen -W "$commands" -- "$cur"))
  if [[ ${#COMPREPLY[@]} == 0 ]]; then _ponder_argument "$command"; fi
}
complete -F _ponder ponder
)";

constexpr char kZshHead[] = R"(#compdef ponder
# Completion of ponder for zsh: source <(ponder completion zsh), or as a file _ponder in $fpath
_ponder_value() {
  local -a found
  case "$1" in
    words) compadd -- ${=2} ;;
    key) compadd -S '=' -a _ponder_keys ;;
    run)
      found=(*/run.db(N:h) runs/*/run.db(N:h))
      compadd -f -- $found
      _path_files -/
      ;;
    folder) _path_files -/ ;;
    config) _files -g '*.toml' ;;
    file) _files ;;
  esac
}
)";

constexpr char kZshBody[] = R"(_ponder() {
  local command="" before="${words[CURRENT-1]}" cur="${words[CURRENT]}" i
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    if _ponder_is_command "${command:+$command }${words[i]}"; then
      command="${command:+$command }${words[i]}"
    fi
  done
  if [[ $before == --set && $cur == *=* ]]; then
    compset -P '*='
    _ponder_key_values "${cur%%=*}"
    return
  fi
  if _ponder_option_value "$command" "$before"; then return; fi
  _ponder_words "$command"
  if [[ $cur == -* ]]; then
    _describe 'option' options
    return
  fi
  (( ${#commands} )) && _describe 'command' commands
  _ponder_argument "$command"
}
if [[ ${funcstack[1]} == _ponder ]]; then _ponder "$@"; else compdef _ponder ponder; fi
)";

// The functions that both scripts share: they differ in how words are described.
std::string SharedFunctions(
    const std::vector<CommandWords>& all,
    const std::function<std::string(const CommandWords&)>& words_of_command) {
  std::string text = fmt::format(
      "_ponder_is_command() {{\n  case \"$1\" in\n    {}) return 0 ;;\n  esac\n  return 1\n}}\n",
      Paths(all));
  text += "_ponder_words() {\n  case \"$1\" in\n";
  for (const CommandWords& command : all) {
    text += fmt::format("    \"{}\")\n{}      ;;\n", command.path, words_of_command(command));
  }
  text += "  esac\n}\n_ponder_option_value() {\n  case \"$1 $2\" in\n";
  for (const CommandWords& command : all) {
    for (const OptionWords& option : command.options) {
      if (option.value.kind == Value::Kind::kNone) continue;
      text += fmt::format("    \"{} {}\") _ponder_value {} ;;\n", command.path, option.name,
                          ValueCall(option.value));
    }
  }
  text += "    *) return 1 ;;\n  esac\n  return 0\n}\n_ponder_argument() {\n  case \"$1\" in\n";
  for (const CommandWords& command : all) {
    if (command.argument.kind == Value::Kind::kNone) continue;
    text +=
        fmt::format("    \"{}\") _ponder_value {} ;;\n", command.path, ValueCall(command.argument));
  }
  text += "  esac\n}\n_ponder_key_values() {\n  case \"$1\" in\n";
  for (const KeyWords& key : Keys()) {
    if (key.values.empty()) continue;
    text += fmt::format("    \"{}\") _ponder_value {} ;;\n", key.name,
                        ValueCall({Value::Kind::kWords, key.values}));
  }
  return text + "    *) return 1 ;;\n  esac\n  return 0\n}\n";
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::string keys;
  for (const KeyWords& key : Keys()) keys += (keys.empty() ? "" : " ") + key.name;
  const auto words = [](const CommandWords& command) {
    std::string commands, options;
    for (const auto& [name, help] : command.commands) commands += name + " ";
    for (const OptionWords& option : command.options) options += option.name + " ";
    return fmt::format("      commands={}\n      options={}\n", Quote(commands), Quote(options));
  };
  return std::string(kBashHead) + "_ponder_keys=" + Quote(keys) + "\n" +
         SharedFunctions(Collect(app), words) + kBashBody;
}

std::string ZshCompletion(const CLI::App& app) {
  // In what _describe takes, a colon divides word and description.
  const auto described = [](const std::string& name, std::string help) {
    for (size_t i = help.find('\n'); i != std::string::npos; i = help.find('\n')) help[i] = ' ';
    return Quote(name + ":" + help);
  };
  std::string keys;
  for (const KeyWords& key : Keys()) keys += (keys.empty() ? "" : " ") + key.name;
  const auto words = [&](const CommandWords& command) {
    std::string commands, options;
    for (const auto& [name, help] : command.commands) commands += described(name, help) + " ";
    for (const OptionWords& option : command.options) {
      options += described(option.name, option.help) + " ";
    }
    return fmt::format("      commands=({})\n      options=({})\n", commands, options);
  };
  return std::string(kZshHead) + "_ponder_keys=(" + keys + ")\n" +
         SharedFunctions(Collect(app), words) + kZshBody;
}

}  // namespace ponder
