#pragma once

#include <string>

#include "model/weights.h"

namespace ponder {

// Says in words which model the weights are for, with a hash over everything that its arithmetic
// and the layout of its bytes depend on, but not the values: learner and workers must agree in it.
std::string ModelFingerprint(const Weights& weights);

}  // namespace ponder
