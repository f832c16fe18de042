#pragma once

#include <acb.h>

#include <cstdint>
#include <string>

#include "verifiers/math/syntax.h"

namespace ponder::math {

// An owned complex ball: every value it was computed from is proven to lie inside.
class Ball {
 public:
  Ball() { acb_init(value_); }
  ~Ball() { acb_clear(value_); }
  Ball(const Ball& other) : Ball() { acb_set(value_, other.value_); }
  Ball& operator=(const Ball& other) {
    acb_set(value_, other.value_);
    return *this;
  }
  acb_ptr Get() { return value_; }
  acb_srcptr Get() const { return value_; }

 private:
  acb_t value_;
};

// Values for variables and for functions nobody knows: the same random rational for the same name
// or term and `point`.
struct BallPoint {
  uint64_t point = 0;
};

// The value of a tree at `bits` of working precision. False where the tree has no numerical value
// (sets, infinity, ...) or it is not finite.
bool EvaluateBall(const Node& node, const BallPoint& point, int64_t bits, Ball& out);

// Whether the tree holds symbols or unknown functions, so that its value depends on the point.
bool DependsOnPoint(const Node& node);

}  // namespace ponder::math
