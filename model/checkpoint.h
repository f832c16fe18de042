#pragma once

#include "base/status.h"
#include "model/tensor_source.h"
#include "model/weights.h"

namespace ponder {

// What ReadFlat and ReadWeights ask of a checkpoint's names and shapes. Called before memory is
// taken, it finds a config.json that asks for more than the files hold.
absl::Status CheckTensors(const TensorSource& source, const ModelConfig& config,
                          const ParameterLayout& layout);

}  // namespace ponder
