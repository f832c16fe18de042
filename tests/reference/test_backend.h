#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace ponder {

// The backend that a test program runs on: which one, the linked library says
// (test_backend_cpu.cc, test_backend_cuda.cc). Bits must not depend on `threads`: those of a
// processor; for an emulated GPU it chooses the number of multiprocessors, and with it the sizes of
// tiles, and the order of the threads. `isa` means nothing on a GPU.
std::unique_ptr<kernels::Backend> MakeTestBackend(int64_t threads = 2,
                                                  kernels::CpuIsa isa = kernels::CpuIsa::kBest);

// What Backend::Sample draws, in host memory.
struct DrawnTokens {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs, entropies;
};
inline DrawnTokens Draw(kernels::Backend& backend, const void* hidden,
                        const kernels::PackedMatrix& head,
                        const std::vector<kernels::SampleRow>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const auto params_bytes = count * static_cast<int64_t>(sizeof(kernels::SampleRow));
  const auto allocate = [&](int64_t bytes) {
    return kernels::DeviceBuffer::Create(backend, bytes).value();
  };
  const kernels::DeviceBuffer params = allocate(params_bytes), tokens = allocate(count * 4),
                              logprobs = allocate(count * 4), entropies = allocate(count * 4);
  backend.CopyIn(params.As<void>(), rows.data(), params_bytes);
  backend.Sample({.hidden = hidden,
                  .w = head,
                  .params = params.As<kernels::SampleRow>(),
                  .tokens = tokens.As<int32_t>(),
                  .logprobs = logprobs.As<float>(),
                  .entropies = entropies.As<float>(),
                  .rows = count});
  DrawnTokens drawn{std::vector<int32_t>(rows.size()), std::vector<float>(rows.size()),
                    std::vector<float>(rows.size())};
  backend.CopyOut(drawn.tokens.data(), tokens.As<void>(), count * 4);
  backend.CopyOut(drawn.logprobs.data(), logprobs.As<void>(), count * 4);
  backend.CopyOut(drawn.entropies.data(), entropies.As<void>(), count * 4);
  return drawn;
}

}  // namespace ponder
