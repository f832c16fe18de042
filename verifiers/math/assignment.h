#pragma once

#include <optional>
#include <vector>

#include "verifiers/math/syntax.h"

namespace ponder::math {

// Whether an expression only names something: x, f(x), (x, y), AB, |AB|, NO/BO, S_1 : S_2.
// Quotients and ratios name something where they are made of points' letters or of names with
// subscripts.
bool IsName(const Node& node);

// "x = 5 + 6 = 11": what is named and its value; "7 = 7" names nothing.
struct Assignment {
  NodePtr name;                // null: the chain begins with a value
  NodePtr value;               // the last link
  std::vector<NodePtr> links;  // the values before it, which should equal it
};

// A chain of = with at most one name in front, its part behind an "approximately" sign left away
// where an exact one stands before it; nothing for equations, inequalities and memberships. A value
// alone is an assignment without a name.
std::optional<Assignment> AsAssignment(const NodePtr& node);

// (x, y) = (1, 2) as x = 1 and y = 2; nothing else.
std::optional<std::vector<NodePtr>> SplitTupleAssignment(const Node& node);

}  // namespace ponder::math
