// completion: scripts for shells.
#include <fmt/format.h>

#include "app/commands/command.h"
#include "app/completion.h"

namespace ponder {

void AddCompletionCommand(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(line.app, "completion", "A script that completes commands in a shell",
                 "source <(ponder completion bash)");
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->callback([&line, shell] {
    line.chosen = [&line, shell]() -> absl::Status {
      fmt::print("{}", *shell == "bash" ? BashCompletion(line.app) : ZshCompletion(line.app));
      return absl::OkStatus();
    };
  });
}

}  // namespace ponder
