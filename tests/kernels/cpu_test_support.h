#pragma once

#include <memory>
#include <vector>

#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {

std::unique_ptr<Backend> MakeBackend(CpuIsa isa, int64_t threads = 2);

// Instruction sets that this machine can run.
std::vector<CpuIsa> UsableIsas();

}  // namespace ponder::kernels
