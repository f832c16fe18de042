// init: a configuration to begin with.
#include <fmt/format.h>

#include <filesystem>
#include <thread>

#include "app/commands/command.h"
#include "app/machine_memory.h"
#include "app/starter_config.h"
#include "base/file.h"

namespace ponder {
namespace {

// What a run may take of the memory that is free: the rest is for the verifier and the system.
constexpr double kMemoryShare = 0.8;

struct InitOptions {
  StarterRequest request{.model = "models/smollm2-135m-instruct"};
  std::string output = "ponder.toml";
  bool force = false;
};

absl::Status RunInit(InitOptions options) {
  const std::filesystem::path output(options.output);
  std::error_code ignored;
  if (std::filesystem::is_directory(output, ignored)) {
    return InvalidArgument("--output: expected a file, found the folder {}; try {}", options.output,
                           (output / "ponder.toml").lexically_normal().string());
  }
  if (output.has_parent_path() && !std::filesystem::is_directory(output.parent_path(), ignored)) {
    return NotFound("--output: there is no folder {}", output.parent_path().string());
  }
  if (!options.force && std::filesystem::exists(options.output)) {
    return FailedPrecondition("{} is there already; --force writes over it, --output names another",
                              options.output);
  }
  PONDER_ASSIGN_OR_RETURN(const MachineMemory memory, ReadMachineMemory());
  options.request.memory_bytes =
      static_cast<int64_t>(kMemoryShare * static_cast<double>(memory.available));
  options.request.cores = std::thread::hardware_concurrency();
  PONDER_ASSIGN_OR_RETURN(const StarterConfig starter, MakeStarterConfig(options.request));
  const std::string text = fmt::format(
      "# Written by `ponder init`. Begin the run: ponder train {0}\n"
      "# Every other key with its meaning: ponder config {0}\n\n{1}",
      options.output, DumpChosenKeys(starter.config, starter.why));
  // What is written must be what was meant.
  PONDER_RETURN_IF_ERROR(ParseConfig(text, options.output).status());
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(options.output, text));
  for (const std::string& line : starter.said) fmt::print("{}\n", line);
  fmt::print("\nwrote {0}; look at it, then\n  ponder train {0}\n", options.output);
  return absl::OkStatus();
}

}  // namespace

void AddInitCommand(CommandLine& line) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = AddCommand(
      line.app, "init", "Write a commented configuration for a model, a task and this machine",
      "ponder init --model models/smollm2-135m-instruct --task my_tasks.jsonl");
  command->add_option("--model", options->request.model, "Hugging Face directory of the model")
      ->capture_default_str();
  command
      ->add_option("--task", options->request.task,
                   "arithmetic, countdown, or a file of JSON lines whose fields are recognised")
      ->capture_default_str();
  command->add_option("--output", options->output, "the file to write")->capture_default_str();
  command->add_flag("--force", options->force, "write over a file that is there");
  command->callback([&line, options] { line.chosen = [options] { return RunInit(*options); }; });
}

}  // namespace ponder
