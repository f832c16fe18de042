#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/decoder.h"

namespace ponder {

// The arrays of one layer, [rows, ...] each. A training forward has a set of its own for every
// layer; where nothing is kept all layers use one set, `middle` is `input`, and the arrays that
// only a backward reads are null.
struct LayerArrays {
  float* input = nullptr;                  // [N, D] residual stream before the attention norm
  float* attention_inverse_rms = nullptr;  // [N]
  float* qkv = nullptr;  // [N, (H + 2K) E]; kept where QK norm needs it, else shared by all layers
  float* q = nullptr;    // [N, H, E] rotated queries
  float* logsumexp = nullptr;        // [N, H]
  void* attention = nullptr;         // [N, padded H E] act
  float* middle = nullptr;           // [N, D] residual stream before the feed-forward norm
  float* ffn_inverse_rms = nullptr;  // [N]
  void* gate_up = nullptr;           // [N, padded 2F] act; null where nothing is kept
};

struct ForwardArrays {
  std::vector<LayerArrays> layers;     // L
  void* normed = nullptr;              // [N, padded D] act, the norm in work
  void* swiglu = nullptr;              // [N, padded F] act
  float* final_input = nullptr;        // [N, D] residual stream before the final norm
  float* final_inverse_rms = nullptr;  // [N]
  void* hidden = nullptr;              // [N, padded D] act, the result
};

// Gradients in work; one set for all layers. The feed-forward and the attention half of a layer
// take turns on the same memory.
struct BackwardArrays {
  float* d_residual = nullptr;   // [N, D]
  float* d_normed = nullptr;     // [N, D]
  float* d_swiglu = nullptr;     // [N, F], feed-forward half
  float* d_gate_up = nullptr;    // [N, 2F], feed-forward half
  float* d_attention = nullptr;  // [N, H E], attention half
  float* d_q = nullptr;          // [N, H, E], attention half
  float* d_qkv = nullptr;        // [N, (H + 2K) E], attention half
  float* d_keys = nullptr;       // [pages * 16, K, E]
  float* d_values = nullptr;     // [pages * 16, K, E]
};

// What is kept: the residual stream at both norms, inverse rms, rotated queries, logsumexp,
// attention output, gate_up; keys and values stay in the cache. The outputs of norms and of SwiGLU
// are made again in the backward, which costs no matrix product. Bytes a token with bf16 (s = 2),
// without QK norm (with it 4 (H + 2K) E a layer more):
//   L (8 D + 8 + 4 H E + 4 H + s H E + 2 s F)         kept, and
//   12 D + 4 + 2 s D + s F + 4 (H + 2K) E + 12 F      shared by the layers (where 12 F is the
//   larger half, as usual).
// SmolLM2-135M (L 30, D 576, H 9, K 3, E 64, F 1536): 428 kB kept + 35 kB shared. With
// Keep::kLayerInputs 4 L D are kept, 69 kB, and one layer's arrays are shared by all: 47 kB.
class Activations {
 public:
  static absl::StatusOr<std::unique_ptr<Activations>> Create(kernels::Backend& backend,
                                                             const ModelConfig& config,
                                                             kernels::DType dtype, int64_t max_rows,
                                                             int64_t max_pages, Keep keep,
                                                             kernels::DeviceSpan place);

  const ForwardArrays& Forward() const { return forward_; }
  const BackwardArrays& Backward() const { return backward_; }
  kernels::DType Dtype() const { return dtype_; }
  Keep Kept() const { return keep_; }
  int64_t MaxRows() const { return max_rows_; }
  int64_t MaxPages() const { return max_pages_; }

  // Rows of the last training forward; 0 before the first.
  int64_t Rows() const { return rows_; }
  void SetRows(int64_t rows) { rows_ = rows; }

 private:
  Activations() = default;

  kernels::DeviceBuffer arena_;
  ForwardArrays forward_;
  BackwardArrays backward_;
  kernels::DType dtype_ = kernels::DType::kBF16;
  Keep keep_ = Keep::kAll;
  int64_t max_rows_ = 0;
  int64_t max_pages_ = 0;
  int64_t rows_ = 0;
};

// The arrays of a forward that keeps nothing, for up to `rows` rows, over `arena`; returns the
// bytes they take. With a null arena it only counts and `arrays` stays as it is.
int64_t LayOutForward(const ModelConfig& config, kernels::DType dtype, int64_t rows, void* arena,
                      ForwardArrays* arrays);

}  // namespace ponder
