#pragma once

#include <cstdint>
#include <vector>

namespace ponder::kernels::cpu {

// 64-byte aligned, zeroed; blocks of a megabyte and more come straight from the system in huge
// pages where it has them. Null where the system refuses.
void* AllocateAligned(int64_t bytes);
void FreeAligned(void* memory);

// Memory that operations use while they run. Grows to the largest need and keeps it. Contents are
// left over from earlier use.
class Workspace {
 public:
  Workspace() = default;
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Forgets all that was taken: the start of an operation.
  void Reset();
  // 64-byte aligned, valid until Reset. Throws std::bad_alloc.
  void* TakeBytes(int64_t bytes);
  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(count * static_cast<int64_t>(sizeof(T))));
  }

 private:
  struct Block {
    char* memory = nullptr;
    int64_t bytes = 0;
    int64_t used = 0;
  };
  std::vector<Block> blocks_;
};

// Operations call products, which have memory of their own.
enum class ScratchUse { kOperation, kProduct };

// At least `floats` floats, 64-byte aligned, of the calling thread alone; valid until its next call
// for the same use.
float* ThreadScratch(int64_t floats, ScratchUse use = ScratchUse::kOperation);

}  // namespace ponder::kernels::cpu
