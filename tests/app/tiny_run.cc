#include "tests/app/tiny_run.h"

#include <filesystem>

#include "base/file.h"
#include "tests/app/program.h"
#include "tests/app/tiny_model_directory.h"

namespace ponder {
namespace {

constexpr char kRun[] = R"(
[run]
steps = {}
checkpoint_every = 2
keep_checkpoints = 10
[model]
directory = "{}/model"
dtype = "f32"
[chat]
template = "chatml"
[tasks]
kind = "file"
[tasks.file]
path = "{}/tasks.jsonl"
[prompt]
template = "plain"
[rollout]
prompts_per_step = 6
completions_per_prompt = 8
max_new_tokens = 12
max_sequences = 48
cache_tokens = 4096
[verifier]
extraction = "anywhere"
[learner]
micro_batch_tokens = 256
[optimizer]
learning_rate = 1e-3
[sft]
path = "{}/sft.jsonl"
batch = 2
epochs = 2
[eval]
tasks = 3
[machine]
threads = 1
)";

}  // namespace

absl::Status WriteTinyRun(const std::string& folder, int64_t steps) {
  PONDER_RETURN_IF_ERROR(WriteTinyModelDirectory(folder + "/model"));
  // Right answers must come up by chance: the last number anywhere in a random text, against
  // one-digit golds.
  std::string tasks;
  for (int i = 0; i < 40; ++i)
    tasks += fmt::format("{{\"question\":\"say {}\",\"answer\":\"{}\"}}\n", i, i % 3 + 1);
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(folder + "/tasks.jsonl", tasks));
  PONDER_RETURN_IF_ERROR(
      WriteFileAtomically(folder + "/sft.jsonl",
                          "{\"prompt\":\"say 1\",\"completion\":\"1 1 2\"}\n"
                          "{\"prompt\":\"say 2\",\"completion\":\"2 3 1\"}\n"
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"say 3\"},"
                          "{\"role\":\"assistant\",\"content\":\"3 2 1\"}]}\n"));
  return WriteFileAtomically(folder + "/run.toml",
                             fmt::format(kRun, steps, folder, folder, folder));
}

void TinyRunTest::SetUp() {
  folder_ = TestFolder("run");
  ASSERT_TRUE(WriteTinyRun(folder_, steps_).ok());
}

void TinyRunTest::TearDown() { std::filesystem::remove_all(folder_); }

std::vector<std::string> TinyRunTest::Train(const std::string& name,
                                            const std::vector<std::string>& settings) const {
  std::vector<std::string> command = {"train", folder_ + "/run.toml", "--run", Run(name)};
  for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
  return command;
}

std::vector<std::string> TinyRunTest::Resume(const std::string& name) const {
  return {"train", "--resume", "--run", Run(name)};
}

absl::StatusOr<TinyRunTest::Learner> TinyRunTest::StartLearner(
    const std::string& name, const std::vector<std::string>& settings) const {
  std::vector<std::string> command = Train(name, settings);
  command[0] = "learner";
  command.insert(command.end(), {"--listen", "127.0.0.1:0"});
  PONDER_ASSIGN_OR_RETURN(ChildProcess process, StartPonder(command));
  constexpr std::string_view kBefore = "--learner ";
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const std::string line, process.ReadLine(absl::Seconds(60)));
    const size_t at = line.find(kBefore);
    if (at == std::string::npos) continue;
    return Learner{std::move(process), line.substr(at + kBefore.size())};
  }
}

std::vector<std::string> TinyRunTest::Worker(const std::string& address,
                                             const std::vector<std::string>& options) const {
  std::vector<std::string> command = {"rollout",   "--model", folder_ + "/model", "--dtype", "f32",
                                      "--threads", "1",       "--learner",        address};
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

}  // namespace ponder
