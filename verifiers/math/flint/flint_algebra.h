#pragma once

#include <memory>

#include "verifiers/math/algebra.h"

namespace ponder::math {

// The whole ladder: exact rationals, estimates of size, canonical rational functions, ball
// arithmetic up to 1024 bits (which proves inequality), Calcium's exact fields, and for expressions
// with variables several random points. A hostile expression can make FLINT take long, take much
// memory, or abort: run it in a process that may be killed (algebra_worker.h).
std::unique_ptr<Algebra> CreateFlintAlgebra();

}  // namespace ponder::math
