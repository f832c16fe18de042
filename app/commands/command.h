#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "app/session.h"
#include "base/status.h"

namespace ponder {

// A subcommand's work; runs after parsing. OK = exit 0, an error = exit 1 with its message.
using CommandBody = std::function<absl::Status()>;

// Where a subcommand leaves its work when the command line named it.
struct CommandLine {
  CLI::App app{"Ponder teaches a language model to reason by reinforcement learning."};
  CommandBody chosen;
};

// A subcommand with its example at the foot of --help.
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& example);

// --set, a key of the configuration that is overridden; may be repeated, one key each time.
void AddOverrides(CLI::App& command, std::vector<std::string>& overrides,
                  const std::string& description);

// --model, --dtype, --device, --numerics, --threads, --isa and --chat-template.
void AddSessionOptions(CLI::App& command, SessionOptions& options);

// JSON lines of standard input, one call a line with its number from 1; blank lines are passed
// over. A line over 64 MB is an error.
absl::Status ForEachInputLine(
    const std::function<absl::Status(const std::string& line, int64_t number)>& on_line);

// The same in batches of at most `max_lines`: what has come so far, without waiting for more, so
// that a program at the other end gets its answers while it thinks of the next question.
struct InputLine {
  std::string text;
  int64_t number = 0;
};
absl::Status ForEachInputBatch(
    size_t max_lines, const std::function<absl::Status(std::span<const InputLine>)>& on_batch);

// Ctrl-C and SIGTERM set a flag (a second one ends the process at once).
void WatchInterrupts();
bool Interrupted();

void AddModelCommands(CommandLine& line);      // model info / convert / download-sample
void AddTextCommands(CommandLine& line);       // tokenize, score
void AddGenerateCommands(CommandLine& line);   // generate, chat
void AddVerifyCommands(CommandLine& line);     // verify, verifier
void AddTaskCommands(CommandLine& line);       // tasks, eval
void AddBenchCommands(CommandLine& line);      // bench verify
void AddRunsCommands(CommandLine& line);       // runs, runs compare / export
void AddDoctorCommand(CommandLine& line);      // doctor
void AddCompletionCommand(CommandLine& line);  // completion
void AddInitCommand(CommandLine& line);        // init
void AddInspectCommand(CommandLine& line);     // inspect
void AddReplayCommand(CommandLine& line);      // replay
void AddDashboardCommand(CommandLine& line);   // dashboard
void AddTrainCommands(CommandLine& line);      // train, learner, rollout, sft, config

}  // namespace ponder
