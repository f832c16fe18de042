#include "app/commands/command.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <iostream>

namespace ponder {
namespace {

constexpr size_t kMaxLineBytes = size_t{64} << 20;

std::atomic<int> interrupts{0};

extern "C" void OnInterrupt(int signal) {
  if (interrupts.fetch_add(1) > 0) _exit(128 + signal);
}

}  // namespace

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& example) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  return command;
}

void AddSessionOptions(CLI::App& command, SessionOptions& options) {
  command.add_option("--model", options.model_directory, "Hugging Face directory of the model")
      ->required();
  command.add_option("--dtype", options.dtype, "type of the working weights: bf16 or f32")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "compute threads; 0 = one a core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command
      .add_option("--isa", options.isa,
                  "instruction set: best, portable, avx2, avx512 or avx512_bf16")
      ->capture_default_str();
  command
      .add_option("--chat-template", options.chat_template,
                  "auto (the directory's) or a name: chatml, smollm2, qwen2, qwen3, llama3")
      ->capture_default_str();
}

absl::Status ForEachInputLine(
    const std::function<absl::Status(const std::string& line, int64_t number)>& on_line) {
  std::string line;
  int64_t number = 0;
  while (std::getline(std::cin, line)) {
    ++number;
    if (line.size() > kMaxLineBytes) {
      return InvalidArgument("line {} of standard input is longer than the {} bytes that are read",
                             number, kMaxLineBytes);
    }
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    PONDER_RETURN_IF_ERROR(on_line(line, number));
  }
  return absl::OkStatus();
}

void WatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool Interrupted() { return interrupts.load() > 0; }

}  // namespace ponder
