#include "app/commands/verifier_choice.h"

#include <fmt/format.h>

#include <cstdio>

#include "verifiers/command_verifier.h"
#include "verifiers/plugin/plugin_verifier.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

void SayOnError(const std::string& line) { fmt::print(stderr, "{}\n", line); }

absl::StatusOr<VerifierSettings> ParseSettings(const std::vector<std::string>& settings) {
  VerifierSettings out;
  out.log = SayOnError;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    if (key == "extraction") {
      out.extraction = value;
    } else if (key == "anchors") {
      out.anchors = value;
    } else if (key == "decimal_places") {
      out.decimal_places = value;
    } else if (key == "percent") {
      out.percent = value;
    } else if (key == "units") {
      out.units = value;
    } else if (key == "allow_weak_sandbox" && (value == "true" || value == "false")) {
      out.allow_weak_sandbox = value == "true";
    } else {
      return InvalidArgument(
          "expected --set KEY=VALUE with extraction, anchors, decimal_places, percent, units or "
          "allow_weak_sandbox=true or false, found '{}'",
          setting);
    }
  }
  return out;
}

}  // namespace

void AddVerifierOptions(CLI::App& command, const std::string& name_flag, VerifierChoice& choice) {
  command.add_option(name_flag, choice.name,
                     "math, countdown, text, code, or auto: by each task's kind");
  command.add_option("--command", choice.command,
                     "a program that reads and writes JSON lines instead");
  command.add_option("--plugin", choice.plugin, "a shared object instead");
  command
      .add_option("--set", choice.settings,
                  "a setting of a built-in verifier: extraction=anywhere, anchors=box,tag, "
                  "decimal_places=4, "
                  "percent=exact, units=match, allow_weak_sandbox=true; may be repeated")
      ->allow_extra_args(false);
}

absl::StatusOr<std::unique_ptr<Verifier>> MakeVerifier(const VerifierChoice& choice,
                                                       const std::string& default_name) {
  const int given = !choice.name.empty() + !choice.address.empty() + !choice.command.empty() +
                    !choice.plugin.empty();
  if (given > 1) {
    return InvalidArgument(
        "expected one verifier: a name, --address, --command or --plugin, found {} of them", given);
  }
  const bool built_in = !choice.name.empty() || given == 0;
  if (!built_in && !choice.settings.empty()) {
    return InvalidArgument("--set is for built-in verifiers, found '{}' beside another one",
                           choice.settings[0]);
  }
  if (!choice.address.empty()) return ConnectVerifier({.address = choice.address});
  if (!choice.command.empty()) {
    return StartCommandVerifier(
        {.command = {"sh", "-c", "exec " + choice.command}, .on_event = SayOnError});
  }
  if (!choice.plugin.empty()) return LoadPluginVerifier(choice.plugin);
  PONDER_ASSIGN_OR_RETURN(const VerifierSettings settings, ParseSettings(choice.settings));
  return CreateVerifier(choice.name.empty() ? default_name : choice.name, settings);
}

}  // namespace ponder
