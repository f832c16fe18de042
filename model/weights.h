#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/tensor_source.h"

namespace ponder {

// One array that kernels read as a whole. Matrices that are multiplied with the same input are
// fused by stacking rows: qkv = [q; k; v], gate_up = [gate; up].
struct Parameter {
  enum class Role { kEmbedding, kHead, kMatrix, kVector };

  std::string name;  // "layers.0.qkv", "layers.0.attention_norm", "embedding", ...
  Role role = Role::kMatrix;
  int64_t rows = 0;     // outputs; 1 for a vector
  int64_t columns = 0;  // inputs; the length of a vector
  // Of its first element in the flat fp32 arrays (master weights, gradients, moments).
  int64_t offset = 0;
  int64_t Count() const { return rows * columns; }
};

// A Hugging Face tensor as a range of rows of a parameter.
struct TensorView {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;
  int64_t parameter = 0;  // index into parameters
  int64_t offset = 0;     // into the flat arrays
  int64_t Count() const;
};

struct LayerParameters {  // indices into ParameterLayout::parameters; -1 = absent
  int64_t attention_norm = -1, qkv = -1, qkv_bias = -1, q_norm = -1, k_norm = -1, output = -1,
          output_bias = -1;
  int64_t ffn_norm = -1, gate_up = -1, down = -1;
};

// Which parameters a configuration has and where they lie in a flat array of `count` floats. Each
// starts at a multiple of 16 floats, so that kernels find it aligned; the gaps are zero in every
// flat array and belong to no parameter.
struct ParameterLayout {
  std::vector<Parameter> parameters;
  std::vector<TensorView> tensors;
  std::vector<LayerParameters> layers;
  int64_t embedding = -1;
  int64_t final_norm = -1;
  int64_t head = -1;               // equal to embedding where tied
  int64_t count = 0;               // floats of a flat array: P and the gaps
  int64_t ParameterCount() const;  // P: the numbers of the model, a tied head counted once
};
ParameterLayout MakeParameterLayout(const ModelConfig& config);

// The working weights: what the kernels of rollout and learner read, in place. Matrices packed in
// the working type, vectors in fp32. The learner's optimizer writes them; the engine in the same
// process reads the same memory, so publishing moves no bytes. Not thread-safe: the trainer lets no
// forward run while it updates.
class Weights {
 public:
  // Memory for a configuration, zeroed.
  static absl::StatusOr<std::unique_ptr<Weights>> Create(kernels::Backend& backend,
                                                         const ModelConfig& config,
                                                         kernels::DType dtype);

  const ModelConfig& Config() const { return config_; }
  const ParameterLayout& Layout() const { return layout_; }
  kernels::DType Dtype() const { return dtype_; }
  kernels::MatrixOrder Order() const { return backend_->Info().order; }
  int64_t Bytes() const;

  kernels::PackedMatrix Matrix(int64_t parameter) const;
  float* Vector(int64_t parameter) const;  // null for -1

  // Ids that have a probability. Checkpoints pad the embedding beyond the tokenizer (Qwen2: 151936
  // rows, 151665 tokens); the rows above are no tokens. LoadModel sets it to min(vocabulary,
  // tokenizer size); until then it is the vocabulary.
  int64_t DrawableTokens() const {
    return drawable_tokens_ < 0 ? config_.vocabulary : drawable_tokens_;
  }
  void SetDrawableTokens(int64_t count) { drawable_tokens_ = count; }
  // The head with DrawableTokens() rows. Sampler, scorer and learner all take their logits from
  // this one, else their log-probs would not be those of one distribution.
  kernels::PackedMatrix Head() const {
    kernels::PackedMatrix head = Matrix(layout_.head);
    head.outputs = DrawableTokens();
    return head;
  }

  // From flat fp32 [count] values in layout order, host memory; every parameter.
  void SetFromFlat(const float* flat);
  // One parameter from its row-major fp32 values [rows, columns], host memory.
  void SetParameter(int64_t parameter, const float* values);
  // Some rows of a matrix: `begin` is a multiple of kernels::kPanelOutputs, and so is `count`
  // unless it reaches the end. `values`: [count, columns], host memory.
  void SetRows(int64_t parameter, int64_t begin, int64_t count, const float* values);
  // How many rows of a matrix SetRows moves best at a time.
  int64_t RowsAtOnce(int64_t parameter) const;
  // One parameter's raw working bytes, host memory: how they go into a checkpoint. Size is
  // WorkingBytes(parameter).
  int64_t WorkingBytes(int64_t parameter) const;
  // `order` is that of the backend they come from.
  absl::Status ImportWorking(int64_t parameter, std::string_view bytes, kernels::MatrixOrder order);
  std::string ExportWorking(int64_t parameter) const;

  // All of them at once: how weights travel between processes. They lie in one arena whose layout
  // follows from the configuration and the working type alone.
  int64_t ArenaBytes() const { return arena_.Bytes(); }
  kernels::DeviceSpan Arena() const { return {arena_.As<void>(), arena_.Bytes()}; }
  // Bytes [begin, begin + count) of the arena into host memory.
  void ExportArena(int64_t begin, int64_t count, void* to) const;
  // Another arena for weights on their way in, and a piece of it from host memory.
  absl::StatusOr<kernels::DeviceBuffer> MakeArena() const;
  void ImportArena(kernels::DeviceBuffer& arena, int64_t begin, int64_t count,
                   const void* from) const;
  // Puts `arena`, every byte of it imported, in the place of the weights in use, which it holds
  // then. DATA_LOSS, with nothing changed, where what pads a matrix is not zero.
  absl::Status Exchange(kernels::DeviceBuffer& arena);

  int64_t Version() const { return version_; }  // policy version
  void SetVersion(int64_t version) { version_ = version; }

 private:
  Weights() = default;

  char* At(int64_t parameter) const { return In(arena_, parameter); }
  char* In(const kernels::DeviceBuffer& arena, int64_t parameter) const {
    return arena.As<char>() + places_.at(static_cast<size_t>(parameter));
  }

  kernels::Backend* backend_ = nullptr;
  ModelConfig config_;
  ParameterLayout layout_;
  kernels::DType dtype_ = kernels::DType::kBF16;
  kernels::DeviceBuffer arena_;    // all parameters
  std::vector<int64_t> places_;    // bytes from the arena's start, one a parameter
  kernels::DeviceBuffer staging_;  // some rows on their way from the host
  int64_t version_ = 0;
  int64_t drawable_tokens_ = -1;  // -1: not set
};

// Reads every tensor of the layout from a checkpoint into flat fp32 [layout.count]. A missing
// tensor, a wrong shape or a non-finite value is an error that names the tensor, what was expected
// and what was found.
absl::Status ReadFlat(const TensorSource& source, const ModelConfig& config,
                      const ParameterLayout& layout, float* flat);

// The same into working weights, one parameter at a time: needs no fp32 copy of the whole model.
absl::Status ReadWeights(const TensorSource& source, Weights& weights);

// Writes DIR/config.json, generation_config.json where known, model.safetensors (in shards of at
// most 4 GiB) from flat fp32 values in the given stored type. Files are written and synced one by
// one; the caller renames the folder into place.
absl::Status WriteModel(const std::string& directory, const ModelConfig& config,
                        const ParameterLayout& layout, const float* flat, kernels::DType stored);

}  // namespace ponder
