#pragma once

#include <cstdint>
#include <utility>

#include "kernels/backend.h"

namespace ponder::kernels {

// Owns a block of Backend::AllocateHost.
class HostBuffer {
 public:
  HostBuffer() = default;
  static absl::StatusOr<HostBuffer> Create(Backend& backend, int64_t bytes) {
    HostBuffer buffer;
    PONDER_ASSIGN_OR_RETURN(buffer.memory_, backend.AllocateHost(bytes));
    buffer.backend_ = &backend;
    buffer.bytes_ = bytes;
    return buffer;
  }
  HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~HostBuffer() {
    if (backend_ != nullptr) backend_->FreeHost(memory_);
  }

  template <typename T>
  T* As() const {
    return static_cast<T*>(memory_);
  }
  int64_t Bytes() const { return bytes_; }

 private:
  Backend* backend_ = nullptr;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace ponder::kernels
