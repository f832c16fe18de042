#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"

namespace ponder::reference {

// A plain LibTorch twin of the decoder, written from the Hugging Face definition of the models and
// from nothing of ours but ModelConfig: one sequence at a time, whole score matrices, autograd for
// the gradients.

struct NamedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using NamedTensors = std::map<std::string, NamedTensor>;  // by Hugging Face names

struct TorchSequence {
  std::vector<int32_t> ids;        // [T]
  std::vector<double> d_logprobs;  // [T - 1]: the loss is the sum of d_logprobs * logprobs; empty =
                                   // none of this sequence
};

enum class Precision { kF32, kF64 };

struct TorchOptions {
  Precision precision = Precision::kF64;
  double inverse_temperature = 1;
  int64_t drawable_tokens = -1;  // logits beyond are left out; -1: all are tokens
  bool gradients = false;
};

struct TorchResult {
  // One a sequence, [T - 1]: of token t + 1 after token t, in nats.
  std::vector<std::vector<double>> logprobs, entropies;
  std::map<std::string, std::vector<double>> gradients;  // of the loss, by Hugging Face names
};

TorchResult RunTorchDecoder(const ModelConfig& config, const NamedTensors& tensors,
                            const std::vector<TorchSequence>& sequences,
                            const TorchOptions& options);

}  // namespace ponder::reference
