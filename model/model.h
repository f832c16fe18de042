#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/chat_template.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "model/weights.h"

namespace ponder {

// A model directory ready to run: configuration, tokenizer, working weights.
struct LoadedModel {
  std::string directory;
  ModelConfig config;
  std::unique_ptr<Tokenizer>
      tokenizer;  // null where there is no tokenizer.json: such a model can only be scored
  std::unique_ptr<Weights> weights;
};

// Hugging Face directory. With `flat` not null the fp32 values are left there too (master weights
// for a learner).
absl::StatusOr<LoadedModel> LoadModel(kernels::Backend& backend, const std::string& directory,
                                      kernels::DType dtype, std::vector<float>* flat = nullptr);

// Turns a GGUF file into a Hugging Face directory (bf16 safetensors, config.json, tokenizer.json,
// chat template), written aside and renamed into place.
absl::Status ConvertGguf(const std::string& gguf_path, const std::string& directory);

}  // namespace ponder
