// doctor: what this machine is like for a run.
#include <fmt/format.h>

#include <iostream>

#include "app/commands/command.h"
#include "app/machine_report.h"
#include "observe/terminal_text.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

std::string_view ColourOf(Finding::Level level) {
  switch (level) {
    case Finding::Level::kOk:
      return "\033[32m";
    case Finding::Level::kNote:
      return "\033[33m";
    case Finding::Level::kWarning:
      return "\033[31m";
  }
  return "";
}

void Print(const Finding& finding) {
  constexpr int64_t kMargin = 23;
  const bool colours = WantsColour(stdout);
  const int64_t room = std::max<int64_t>(SizeOfTerminal(stdout).columns - 1 - kMargin, 20);
  const std::string level = fmt::format("{:<8}", ToString(finding.level));
  std::string head = fmt::format("{}{}{} {:<14}", colours ? ColourOf(finding.level) : "", level,
                                 colours ? "\033[0m" : "", finding.name);
  for (const std::string& line : WrapLines(WithoutControls(finding.text), room)) {
    fmt::print("{}{}\n", head, line);
    head = std::string(kMargin, ' ');
  }
  if (finding.advice.empty()) return;
  for (const std::string& line : WrapLines("-> " + finding.advice, room)) {
    fmt::print("{}{}\n", head, line);
  }
}

}  // namespace

void AddDoctorCommand(CommandLine& line) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(line.app, "doctor",
                 "What this machine is like for a run, and what would make it faster or safer",
                 "ponder doctor");
  command->add_flag("--json", *as_json, "a JSON line a finding");
  command->callback([&line, as_json] {
    line.chosen = [as_json]() -> absl::Status {
      for (const Finding& finding : ExamineMachine(".", PONDER_VERSION)) {
        if (*as_json) {
          std::cout << Dump({{"name", finding.name},
                             {"level", ToString(finding.level)},
                             {"text", finding.text},
                             {"advice", finding.advice}})
                    << '\n';
        } else {
          Print(finding);
        }
      }
      return absl::OkStatus();
    };
  });
}

}  // namespace ponder
