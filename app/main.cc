#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "app/commands/command.h"
#include "app/commands/usage_error.h"
#include "observe/terminal_text.h"

int main(int argc, char** argv) {
  ponder::CommandLine line;
  line.app.require_subcommand(1);
  line.app.set_version_flag("--version", std::string("ponder ") + PONDER_VERSION);
  line.app.footer("`ponder COMMAND --help` shows a command's options and an example.");
  ponder::AddInitCommand(line);
  ponder::AddTrainCommands(line);
  ponder::AddReplayCommand(line);
  ponder::AddDashboardCommand(line);
  ponder::AddTaskCommands(line);
  ponder::AddGenerateCommands(line);
  ponder::AddTextCommands(line);
  ponder::AddVerifyCommands(line);
  ponder::AddRunsCommands(line);
  ponder::AddInspectCommand(line);
  ponder::AddModelCommands(line);
  ponder::AddBenchCommands(line);
  ponder::AddDoctorCommand(line);
  ponder::AddCompletionCommand(line);
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return line.app.exit(error);  // --help, --version
    fmt::print(stderr, "{}", ponder::ExplainUsage(line.app, error));
    return 2;
  }
  if (!line.chosen) return 2;
  try {
    const absl::Status status = line.chosen();
    if (status.ok()) return 0;
    // It may hold what stands in a file.
    fmt::print(stderr, "ponder: {}\n", ponder::WithoutControls(std::string(status.message())));
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ponder: {}\n", error.what());
    return 1;
  }
}
