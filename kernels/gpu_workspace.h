#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace ponder::kernels {

// What a GPU's operations are asked for in a run; shapes as in kernels/operations.h.
struct GpuWork {
  DType dtype = DType::kBF16;
  int64_t width = 0;           // D
  int64_t heads = 0;           // H
  int64_t kv_heads = 0;        // K
  int64_t head_width = 0;      // E
  int64_t ffn_width = 0;       // F
  int64_t vocabulary = 0;      // V
  int64_t learner_rows = 0;    // of a backward; 0: none
  int64_t learner_pages = 0;   // that it names, and at most as many sequences
  int64_t sampled_rows = 0;    // of a decode step; 0: none
  int64_t sampled_keys = 0;    // that a row of it has at most
  int64_t step_rows = 0;       // of a forward that keeps nothing
  bool is_fast = false;        // Numerics::kFast
  int64_t largest_matrix = 0;  // elements, of SquaredNorm
};

// What cuBLASLt's products work in, beside it: as much as Hopper's algorithms want.
inline constexpr int64_t kBlasScratchBytes = int64_t{32} << 20;

// Work space of the operation that takes the most (kernels/cuda/), so much that no other one needs
// more.
int64_t GpuWorkspaceBytes(const GpuWork& work);

}  // namespace ponder::kernels
