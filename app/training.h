#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/prompt_builder.h"
#include "base/records.h"
#include "base/status.h"
#include "tasks/task_source.h"

namespace ponder {

// What a command asks of a run.
struct TrainingRequest {
  RunConfig config;
  std::string run_directory;  // empty: of the configuration, else runs/<name>-<time>
  bool resume = false;
  bool supervised_only = false;  // `ponder sft`
  bool json = false;             // metrics as JSON lines on standard output
};

// Puts a run together from its configuration (model, trainer, engine or worker server, verifier,
// store, console) and runs it to its end or to Ctrl-C. Says on standard error what it does.
absl::Status RunTraining(TrainingRequest request);

// `count` tasks of a configuration's split, from the first on; all where it has fewer.
absl::StatusOr<std::vector<Task>> CollectTasks(const RunConfig& config, Split split, int64_t count);

// The examples of a configuration's cold start, in their order; none where it wants none.
absl::StatusOr<std::vector<SftExample>> ColdStartExamples(const RunConfig& config,
                                                          const PromptBuilder& prompts);

// The prompt builder a configuration asks for, for a loaded tokenizer.
absl::StatusOr<PromptBuilder> MakePromptBuilder(const RunConfig& config, const ModelConfig& model,
                                                const Tokenizer& tokenizer);

// What each token id stands for, special tokens by their names.
std::vector<std::string> Vocabulary(const Tokenizer& tokenizer);

}  // namespace ponder
