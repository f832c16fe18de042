#include "app/commands/usage_error.h"

#include <fmt/format.h>

#include <vector>

#include "base/nearest_name.h"
#include "observe/terminal_text.h"

namespace ponder {
namespace {

// "train", "runs compare": the words behind the program's name.
struct Deepest {
  const CLI::App* app = nullptr;
  std::string path;
};
Deepest DeepestParsed(const CLI::App& app) {
  Deepest deepest{&app, "ponder"};
  while (!deepest.app->get_subcommands().empty()) {
    deepest.app = deepest.app->get_subcommands().front();
    deepest.path += " " + deepest.app->get_name();
  }
  return deepest;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> OptionNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known) {
  const std::string nearest = NearestName(word, known);
  if (nearest.empty() || !IsNear(word, nearest)) return "";
  return fmt::format("; did you mean '{}'?", nearest);
}

// The nearest of the names in a message that ends with "VALUE not in {a,b,c}".
std::string NearestChoice(const std::string& message) {
  const size_t at = message.find(" not in {");
  const size_t end = message.rfind('}');
  if (at == std::string::npos || end == std::string::npos || end < at) return "";
  const size_t colon = message.rfind(": ", at);
  const std::string value = message.substr(colon == std::string::npos ? 0 : colon + 2,
                                           at - (colon == std::string::npos ? 0 : colon + 2));
  std::vector<std::string> known;
  std::string list = message.substr(at + 9, end - at - 9);
  for (size_t comma; (comma = list.find(',')) != std::string::npos; list.erase(0, comma + 1)) {
    known.push_back(list.substr(0, comma));
  }
  known.push_back(list);
  return DidYouMean(value, known);
}

}  // namespace

std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error) {
  const Deepest deepest = DeepestParsed(app);
  std::string message;
  // A mistyped command is found missing before the words that are left over are looked at.
  const std::vector<std::string> left = app.remaining(/*recurse=*/true);
  const std::vector<std::string> commands = CommandNames(*deepest.app);
  if (!left.empty() && left[0].starts_with("-")) {
    const std::string name = left[0].substr(0, left[0].find('='));
    message = fmt::format("no option {}{}", name, DidYouMean(name, OptionNames(*deepest.app)));
  } else if (!left.empty() && !commands.empty()) {
    message = fmt::format("no command '{}'{}", left[0], DidYouMean(left[0], commands));
  } else if (!left.empty()) {
    message = fmt::format("no further argument was expected, found '{}'", left[0]);
  } else {
    message = error.what() + NearestChoice(error.what());
    // "Could not convert: --step = x": all that is converted are numbers.
    constexpr std::string_view kConvert = "Could not convert: ";
    const size_t equals = message.find(" = ");
    if (message.starts_with(kConvert) && equals != std::string::npos) {
      message = fmt::format("{}: expected a number, found '{}'",
                            message.substr(kConvert.size(), equals - kConvert.size()),
                            message.substr(equals + 3));
    }
  }
  return fmt::format("{0}: {1}\n`{0} --help` shows what is possible\n", deepest.path,
                     WithoutControls(message));
}

}  // namespace ponder
