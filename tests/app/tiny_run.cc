#include "tests/app/tiny_run.h"

#include "base/file.h"
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

}  // namespace ponder
