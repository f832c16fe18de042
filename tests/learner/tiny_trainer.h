#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/records.h"
#include "kernels/backend.h"
#include "learner/trainer.h"
#include "model/config.h"
#include "model/weights.h"

namespace ponder {

// A folder of the test's own, removed at the end.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  std::string Path(const std::string& name = "") const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

// Writes a Hugging Face directory with random weights: "llama" (tied embeddings) or "qwen3"
// (untied, QK norm). No tokenizer.
ModelConfig WriteTinyModel(const std::string& family, const std::string& directory);

inline constexpr int64_t kTinyVocabulary = 75;
// Ids of prompts are below, so that a test may leave the rest without probability.
inline constexpr int64_t kTinyDrawable = 70;

// A trainer on a tiny model with everything it needs.
struct TinyTrainer {
  TinyTrainer(const std::string& directory, TrainerOptions options, int64_t threads = 2);

  std::unique_ptr<kernels::Backend> backend;
  std::unique_ptr<Trainer> trainer;
};

// Prompts of 5, 16 and 37 tokens with 4 completions each of 1 to 40 tokens at temperatures 1, 0.7
// and greedy, sampled token by token, one sequence at a time, with `weights`. Advantages sum to 0
// in the first two groups and are 0 in the third, if `third_has_signal` is not set.
struct SampleOptions {
  bool third_has_signal = true;
};
std::vector<ScoredGroup> SampleGroups(kernels::Backend& backend, const Weights& weights,
                                      const SampleOptions& options = {});

// XXH3 of the working weights' bytes, all parameters.
uint64_t WorkingHash(const Weights& weights);

// Prompts of 1 to 20 tokens, completions of 1 to 30.
std::vector<SftExample> RandomExamples(int64_t count);

}  // namespace ponder
