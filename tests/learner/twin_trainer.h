#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "learner/trainer.h"
#include "model/config.h"
#include "tests/reference/torch_decoder.h"

namespace ponder::reference {

// One sequence as the twin trains on it: no packing, no sharing, no chunks.
struct TwinSequence {
  std::vector<int32_t> ids;  // prompt and completion
  double inverse_temperature = 1;
};

// A trainer in double precision: LibTorch's autograd through torch_decoder, torch::optim::AdamW.
// Knows nothing of the learner but its settings.
class TwinTrainer {
 public:
  TwinTrainer(const ModelConfig& config, NamedTensors tensors, const OptimizerSettings& settings,
              int64_t drawable_tokens = -1);
  ~TwinTrainer();

  // Of token t + 1 after token t, one array a sequence.
  std::vector<std::vector<double>> LogProbs(const std::vector<TwinSequence>& sequences) const;

  // One update along the loss whose derivatives by those log-probs are given; returns the gradient
  // norm before clipping.
  double Step(const std::vector<TwinSequence>& sequences,
              const std::vector<std::vector<double>>& d_logprobs);

  NamedTensors Tensors() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ponder::reference
