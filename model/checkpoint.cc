#include "model/checkpoint.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "model/json_text.h"
#include "model/safetensors.h"
#include "model/tensor_names.h"
#include "model/weights.h"

namespace ponder {
namespace {

constexpr int64_t kMaxShardBytes = int64_t{4} << 30;

// Index of the first value that is NaN or infinite, or -1.
int64_t FirstNonFinite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000u;
  constexpr int64_t kBlock =
      4096;  // looked through without a branch, so that the compiler can vectorise
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
    uint32_t found = 0;
    for (int64_t i = begin; i < end; ++i) {
      found |= (std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent;
    }
    if (found == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (!std::isfinite(values[i])) return i;
    }
  }
  return -1;
}

absl::Status ReadTensor(const TensorSource& source, const TensorView& view, float* out) {
  PONDER_RETURN_IF_ERROR(source.Read(view.name, out, view.Count()));
  if (const int64_t bad = FirstNonFinite(out, view.Count()); bad >= 0) {
    return DataLoss("tensor {}: expected finite values, found {} at element {}", view.name,
                    out[bad], bad);
  }
  return absl::OkStatus();
}

// Whether a tensor without a place in the layout may be passed over: derived tables that old
// checkpoints carry, and a head that is tied.
bool IsIgnored(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") ||
         (config.tied_embeddings && name == "lm_head.weight");
}

// transformers ties what config.json says is tied; a checkpoint with a head of its own then means
// something else.
absl::Status CheckTiedHead(const TensorSource& source, const ModelConfig& config,
                           const TensorView& embedding, const float* values) {
  const std::string head = "lm_head.weight";
  if (!config.tied_embeddings || !source.Has(head)) return absl::OkStatus();
  PONDER_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, source.Shape(head));
  std::vector<float> head_values;
  if (shape == embedding.shape) {
    head_values.resize(static_cast<size_t>(embedding.Count()));
    PONDER_RETURN_IF_ERROR(source.Read(head, head_values.data(), embedding.Count()));
  }
  if (head_values.empty() || !std::equal(head_values.begin(), head_values.end(), values)) {
    return InvalidArgument(
        "{} differs from {}, but config.json sets tie_word_embeddings; set it to false to use both",
        head, embedding.name);
  }
  return absl::OkStatus();
}

// Reads all tensors in order; `place` gives the memory of one.
template <typename Place, typename Done>
absl::Status ReadAll(const TensorSource& source, const ModelConfig& config,
                     const ParameterLayout& layout, const Place& place, const Done& done) {
  PONDER_RETURN_IF_ERROR(CheckTensors(source, config, layout));
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    const TensorView& view = layout.tensors[i];
    float* out = place(view);
    PONDER_RETURN_IF_ERROR(ReadTensor(source, view, out));
    if (view.parameter == layout.embedding) {
      PONDER_RETURN_IF_ERROR(CheckTiedHead(source, config, view, out));
    }
    const bool last =
        i + 1 == layout.tensors.size() || layout.tensors[i + 1].parameter != view.parameter;
    if (last) done(view.parameter);
  }
  return absl::OkStatus();
}

std::string ConfigText(const ModelConfig& config, kernels::DType stored) {
  // What was read has passed ParseModelConfig, so it is a JSON object.
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(config.json);
  const char* type = stored == kernels::DType::kF32 ? "float32" : "bfloat16";
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = type;
  return json.dump(2) + "\n";
}

std::string GenerationText(const ModelConfig& config) {
  if (!config.generation_json.empty()) return config.generation_json;
  if (config.eos_ids.empty()) return "";
  nlohmann::ordered_json json;
  if (config.bos_id >= 0) json["bos_token_id"] = config.bos_id;
  json["eos_token_id"] = config.eos_ids;
  return json.dump(2) + "\n";
}

}  // namespace

absl::Status CheckTensors(const TensorSource& source, const ModelConfig& config,
                          const ParameterLayout& layout) {
  absl::flat_hash_set<std::string> expected;
  for (const TensorView& view : layout.tensors) {
    expected.insert(view.name);
    PONDER_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, source.Shape(view.name));
    if (shape != view.shape) {
      return InvalidArgument("tensor {}: config.json asks for shape {}, found {}", view.name,
                             ShapeText(view.shape), ShapeText(shape));
    }
  }
  // A tensor too many means that the model computes something else than config.json says (a bias
  // without attention_bias, an adapter, scales of a quantisation): refused rather than dropped.
  for (const std::string& name : source.Names()) {
    if (expected.contains(name) || IsIgnored(name, config)) continue;
    return InvalidArgument("tensor {} has no place in the {} model that config.json describes",
                           name, ToString(config.family));
  }
  return absl::OkStatus();
}

absl::Status ReadFlat(const TensorSource& source, const ModelConfig& config,
                      const ParameterLayout& layout, float* flat) {
  std::fill(flat, flat + layout.count, 0.0f);  // the gaps between parameters
  return ReadAll(
      source, config, layout, [&](const TensorView& view) { return flat + view.offset; },
      [](int64_t) {});
}

absl::Status ReadWeights(const TensorSource& source, Weights& weights) {
  const ParameterLayout& layout = weights.Layout();
  std::vector<float> values;
  return ReadAll(
      source, weights.Config(), layout,
      [&](const TensorView& view) {
        const Parameter& parameter = layout.parameters[view.parameter];
        values.resize(static_cast<size_t>(parameter.Count()));
        return values.data() + (view.offset - parameter.offset);
      },
      [&](int64_t parameter) { weights.SetParameter(parameter, values.data()); });
}

absl::Status WriteModel(const std::string& directory, const ModelConfig& config,
                        const ParameterLayout& layout, const float* flat, kernels::DType stored) {
  PONDER_CHECK(!config.json.empty(), "the configuration was not read from a config.json");
  PONDER_RETURN_IF_ERROR(MakeDirectories(directory));
  PONDER_RETURN_IF_ERROR(
      WriteFileAtomically(directory + "/config.json", ConfigText(config, stored)));
  if (const std::string generation = GenerationText(config); !generation.empty()) {
    PONDER_RETURN_IF_ERROR(WriteFileAtomically(directory + "/generation_config.json", generation));
  }
  std::vector<TensorToWrite> tensors;
  for (const TensorView& view : layout.tensors) {
    tensors.push_back({view.name, view.shape, flat + view.offset});
  }
  return WriteSafetensorsDirectory(directory, tensors, stored, kMaxShardBytes);
}

}  // namespace ponder
