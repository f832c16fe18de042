#include <algorithm>
#include <new>

#include "kernels/cuda/context.h"

namespace ponder::kernels::cuda {

void* Workspace::TakeBytes(int64_t bytes) {
  constexpr int64_t kSmallest = 1 << 20;
  const int64_t rounded = CeilDivide(std::max<int64_t>(bytes, 1), 256) * 256;
  for (Block& block : blocks_) {
    if (block.bytes - block.used < rounded) continue;
    void* const memory = block.memory + block.used;
    block.used += rounded;
    return memory;
  }
  Block block;
  block.bytes = std::max(rounded, kSmallest);
  void* memory = nullptr;
  if (cudaMalloc(&memory, static_cast<size_t>(block.bytes)) != cudaSuccess) throw std::bad_alloc();
  block.memory = static_cast<char*>(memory);
  block.used = rounded;
  blocks_.push_back(block);
  return memory;
}

}  // namespace ponder::kernels::cuda
