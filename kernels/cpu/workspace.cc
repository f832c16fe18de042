#include "kernels/cpu/workspace.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kMapFrom = int64_t{1} << 20;  // bytes from which a mapping of its own pays

// Stands in the 64 bytes before each block.
struct Header {
  void* base = nullptr;
  int64_t mapped = 0;  // bytes, or 0 for memory of the heap
};

int64_t RoundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

void* AllocateAligned(int64_t bytes) {
  PONDER_CHECK(bytes >= 0);
  const int64_t total = RoundUp(bytes, kAlignment) + kAlignment;
  Header header;
  char* start = nullptr;
  if (total < kMapFrom) {
    header.base = std::aligned_alloc(kAlignment, total);
    if (header.base == nullptr) return nullptr;
    start = static_cast<char*>(header.base);
    std::memset(start, 0, total);
  } else {
    // Room to start at a multiple of a huge page.
    header.mapped = RoundUp(total, kHugePage) + kHugePage;
    header.base =
        mmap(nullptr, header.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (header.base == MAP_FAILED) return nullptr;
    const int64_t address = reinterpret_cast<intptr_t>(header.base);
    start = static_cast<char*>(header.base) + (RoundUp(address, kHugePage) - address);
    madvise(start, RoundUp(total, kHugePage), MADV_HUGEPAGE);  // a wish: without it pages are small
  }
  std::memcpy(start, &header, sizeof(header));
  return start + kAlignment;
}

void FreeAligned(void* memory) {
  if (memory == nullptr) return;
  Header header;
  std::memcpy(&header, static_cast<char*>(memory) - kAlignment, sizeof(header));
  if (header.mapped > 0) {
    munmap(header.base, header.mapped);
  } else {
    std::free(header.base);
  }
}

Workspace::~Workspace() {
  for (const Block& block : blocks_) FreeAligned(block.memory);
}

void Workspace::Reset() {
  if (blocks_.size() > 1) {
    // One block for all that was needed last time.
    int64_t bytes = 0;
    for (const Block& block : blocks_) {
      bytes += block.bytes;
      FreeAligned(block.memory);
    }
    blocks_.clear();
    TakeBytes(bytes);
  }
  for (Block& block : blocks_) block.used = 0;
}

void* Workspace::TakeBytes(int64_t bytes) {
  const int64_t rounded = RoundUp(std::max<int64_t>(bytes, 1), kAlignment);
  if (blocks_.empty() || blocks_.back().used + rounded > blocks_.back().bytes) {
    const int64_t size = std::max(rounded, kMapFrom);
    char* memory = static_cast<char*>(AllocateAligned(size));
    if (memory == nullptr) throw std::bad_alloc();
    blocks_.push_back({memory, size, 0});
  }
  Block& block = blocks_.back();
  char* taken = block.memory + block.used;
  block.used += rounded;
  return taken;
}

float* ThreadScratch(int64_t floats, ScratchUse use) {
  struct Buffer {
    ~Buffer() { FreeAligned(memory); }
    float* memory = nullptr;
    int64_t floats = 0;
  };
  thread_local Buffer buffers[2];
  Buffer& buffer = buffers[static_cast<int>(use)];
  if (buffer.floats < floats) {
    FreeAligned(buffer.memory);
    buffer.floats = 0;
    buffer.memory =
        static_cast<float*>(AllocateAligned(floats * static_cast<int64_t>(sizeof(float))));
    if (buffer.memory == nullptr) throw std::bad_alloc();
    buffer.floats = floats;
  }
  return buffer.memory;
}

}  // namespace ponder::kernels::cpu
