#include "tests/reference/test_backend.h"

namespace ponder {

std::unique_ptr<kernels::Backend> MakeTestBackend(int64_t threads, kernels::CpuIsa isa) {
  return kernels::CreateCpuBackend({.threads = threads, .isa = isa}).value();
}

}  // namespace ponder
