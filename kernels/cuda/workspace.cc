#include <algorithm>
#include <new>

#include "kernels/cuda/context.h"

namespace ponder::kernels::cuda {

Workspace::Block Workspace::Make(int64_t bytes) {
  Block block;
  block.bytes = bytes;
  void* memory = nullptr;
  if (cudaMalloc(&memory, static_cast<size_t>(bytes)) != cudaSuccess) throw std::bad_alloc();
  block.memory = static_cast<char*>(memory);
  return block;
}

void Workspace::Reserve(int64_t bytes) {
  if (bytes <= 0 || (!blocks_.empty() && blocks_.front().bytes >= bytes)) return;
  blocks_.insert(blocks_.begin(), Make(bytes));
}

void* Workspace::TakeBytes(int64_t bytes) {
  constexpr int64_t kSmallest = 1 << 20;
  const int64_t rounded = CeilDivide(std::max<int64_t>(bytes, 1), 256) * 256;
  for (Block& block : blocks_) {
    if (block.bytes - block.used < rounded) continue;
    void* const memory = block.memory + block.used;
    block.used += rounded;
    return memory;
  }
  blocks_.push_back(Make(std::max(rounded, kSmallest)));
  blocks_.back().used = rounded;
  return blocks_.back().memory;
}

}  // namespace ponder::kernels::cuda
