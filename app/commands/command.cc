#include "app/commands/command.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

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

void AddOverrides(CLI::App& command, std::vector<std::string>& overrides,
                  const std::string& description) {
  // What follows the key is an argument of its own: the configuration file may come behind.
  command.add_option("--set", overrides, description)->allow_extra_args(false);
}

void AddSessionOptions(CLI::App& command, SessionOptions& options) {
  command.add_option("--model", options.model_directory, "Hugging Face directory of the model")
      ->required();
  command.add_option("--dtype", options.dtype, "type of the working weights: bf16 or f32")
      ->capture_default_str();
  command.add_option("--device", options.device, "cpu, cuda or cuda:N (a GPU's number)")
      ->capture_default_str();
  command
      .add_option("--numerics", options.numerics,
                  "exact, or fast on a GPU: last digits depend on the batch")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "compute threads; 0 = one a core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command
      .add_option("--isa", options.isa,
                  "instruction set: best, portable, avx2, avx512, avx512_bf16 or amx")
      ->capture_default_str();
  command
      .add_option("--chat-template", options.chat_template,
                  "auto (the directory's) or a name: chatml, smollm2, qwen2, qwen3, llama3")
      ->capture_default_str();
}

absl::Status ForEachInputLine(
    const std::function<absl::Status(const std::string& line, int64_t number)>& on_line) {
  return ForEachInputBatch(
      1, [&](std::span<const InputLine> lines) { return on_line(lines[0].text, lines[0].number); });
}

absl::Status ForEachInputBatch(
    size_t max_lines, const std::function<absl::Status(std::span<const InputLine>)>& on_batch) {
  constexpr size_t kReadBytes = size_t{1} << 20;
  std::vector<char> bytes(kReadBytes);
  std::vector<InputLine> lines;
  std::string rest;  // a line without its end so far
  int64_t number = 0;
  const auto deliver = [&]() -> absl::Status {
    for (size_t begin = 0; begin < lines.size(); begin += max_lines) {
      const size_t count = std::min(max_lines, lines.size() - begin);
      PONDER_RETURN_IF_ERROR(on_batch(std::span(lines).subspan(begin, count)));
    }
    lines.clear();
    return absl::OkStatus();
  };
  const auto end_line = [&] {
    ++number;
    if (rest.find_first_not_of(" \t\r") != std::string::npos) lines.push_back({rest, number});
    rest.clear();
  };
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unavailable("cannot read standard input: {}", std::strerror(errno));
    if (got == 0) break;
    std::string_view text(bytes.data(), static_cast<size_t>(got));
    for (size_t end; (end = text.find('\n')) != std::string_view::npos;) {
      rest += text.substr(0, end);
      text.remove_prefix(end + 1);
      end_line();
    }
    rest += text;
    if (rest.size() > kMaxLineBytes) {
      PONDER_RETURN_IF_ERROR(deliver());
      return InvalidArgument("line {} of standard input is longer than the {} bytes that are read",
                             number + 1, kMaxLineBytes);
    }
    PONDER_RETURN_IF_ERROR(deliver());
  }
  if (!rest.empty()) end_line();
  return deliver();
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
