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

// Elements [begin, begin + count) of a tensor.
absl::Status ReadFinite(const TensorSource& source, const TensorView& view, int64_t begin,
                        int64_t count, float* out) {
  PONDER_RETURN_IF_ERROR(source.ReadPart(view.name, begin, count, out));
  if (const int64_t bad = FirstNonFinite(out, count); bad >= 0) {
    return DataLoss("tensor {}: expected finite values, found {} at element {}", view.name,
                    out[bad], begin + bad);
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
                           const ParameterLayout& layout) {
  const std::string head = "lm_head.weight";
  if (!config.tied_embeddings || !source.Has(head)) return absl::OkStatus();
  const auto embedding =
      std::ranges::find(layout.tensors, layout.embedding, &TensorView::parameter);
  PONDER_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, source.Shape(head));
  bool equal = shape == embedding->shape;
  if (equal) {
    std::vector<float> values(static_cast<size_t>(embedding->Count()));
    std::vector<float> head_values(values.size());
    PONDER_RETURN_IF_ERROR(source.Read(embedding->name, values.data(), embedding->Count()));
    PONDER_RETURN_IF_ERROR(source.Read(head, head_values.data(), embedding->Count()));
    equal = values == head_values;
  }
  if (equal) return absl::OkStatus();
  return InvalidArgument(
      "{} differs from {}, but config.json sets tie_word_embeddings; set it to false to use both",
      head, embedding->name);
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
  PONDER_RETURN_IF_ERROR(CheckTensors(source, config, layout));
  for (const TensorView& view : layout.tensors) {
    PONDER_RETURN_IF_ERROR(ReadFinite(source, view, 0, view.Count(), flat + view.offset));
  }
  return CheckTiedHead(source, config, layout);
}

absl::Status ReadWeights(const TensorSource& source, Weights& weights) {
  const ParameterLayout& layout = weights.Layout();
  PONDER_RETURN_IF_ERROR(CheckTensors(source, weights.Config(), layout));
  PONDER_RETURN_IF_ERROR(CheckTiedHead(source, weights.Config(), layout));
  std::vector<float> values;
  // Elements [begin, end) of a parameter, which may lie in several tensors.
  const auto read = [&](int64_t parameter, int64_t begin, int64_t end) -> absl::Status {
    values.resize(static_cast<size_t>(end - begin));
    for (const TensorView& view : layout.tensors) {
      if (view.parameter != parameter) continue;
      const int64_t first = view.offset - layout.parameters[parameter].offset;
      const int64_t from = std::max(begin, first);
      const int64_t to = std::min(end, first + view.Count());
      if (from >= to) continue;
      PONDER_RETURN_IF_ERROR(
          ReadFinite(source, view, from - first, to - from, values.data() + (from - begin)));
    }
    return absl::OkStatus();
  };
  for (int64_t p = 0; p < std::ssize(layout.parameters); ++p) {
    const Parameter& parameter = layout.parameters[p];
    if (parameter.role == Parameter::Role::kVector) {
      PONDER_RETURN_IF_ERROR(read(p, 0, parameter.columns));
      weights.SetParameter(p, values.data());
      continue;
    }
    // Some rows at a time: they are packed while they are still in a cache.
    const int64_t step = weights.RowsAtOnce(p);
    for (int64_t row = 0; row < parameter.rows; row += step) {
      const int64_t count = std::min(step, parameter.rows - row);
      PONDER_RETURN_IF_ERROR(read(p, row * parameter.columns, (row + count) * parameter.columns));
      weights.SetRows(p, row, count, values.data());
    }
  }
  return absl::OkStatus();
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
