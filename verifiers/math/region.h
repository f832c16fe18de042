#pragma once

#include <optional>
#include <string>
#include <vector>

#include "verifiers/math/algebra.h"
#include "verifiers/math/syntax.h"

namespace ponder::math {

// A set of real numbers as disjoint intervals in ascending order; a null end is infinite, a point
// has equal ends that are closed.
struct Interval {
  NodePtr low, high;
  bool low_closed = false, high_closed = false;
};
struct Region {
  std::vector<Interval> intervals;
  NodePtr variable;  // of an inequality, where it is known
};

// Whether a tree can only be a set of real numbers: an inequality, a union, \mathbb{R}, a half-open
// or infinite interval.
bool IsRegion(const Node& node);

// Reads intervals, unions, intersections, differences, finite sets, inequalities in one variable
// (linear, or linear in an absolute value) and set builders. Nothing where the tree is something
// else or the order of its ends is not known.
std::optional<Region> ToRegion(const Node& node, Algebra& algebra);

Truth SameRegion(const Region& a, const Region& b, Algebra& algebra, int64_t decimals);

}  // namespace ponder::math
