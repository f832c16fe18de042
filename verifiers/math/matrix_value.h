#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "verifiers/math/syntax.h"

namespace ponder::math {

struct MatrixValue {
  int64_t rows = 0, columns = 0;
  std::vector<NodePtr> entries;  // row by row, expressions that nothing has computed
};

// Carries out sums, products, quotients by a number, small powers and transposition (^T) of
// matrices; nothing where the tree is no such expression, the shapes do not fit or the result would
// exceed 1024 entries or 4096 products.
std::optional<MatrixValue> ToMatrix(const NodePtr& node);

}  // namespace ponder::math
