#include "verifiers/math/region.h"

#include <algorithm>
#include <set>

#include "verifiers/math/assignment.h"

namespace ponder::math {
namespace {

constexpr size_t kMostIntervals = 64;

NodePtr Subtract(NodePtr a, NodePtr b) {
  return MakeNode(NodeKind::kAdd, {std::move(a), MakeNode(NodeKind::kNegate, {std::move(b)})});
}

// 1, -1: an infinity of that sign; 0: anything else.
int InfinityOf(const Node& node) {
  if (node.kind == NodeKind::kConstant && node.name == "infinity") return 1;
  if (node.kind == NodeKind::kNegate) return -InfinityOf(*node.children[0]);
  return 0;
}

NodePtr EndOf(const NodePtr& node) { return InfinityOf(*node) != 0 ? nullptr : node; }

bool IsInequality(Relation relation) {
  return relation == Relation::kLess || relation == Relation::kLessEqual ||
         relation == Relation::kGreater || relation == Relation::kGreaterEqual ||
         relation == Relation::kNotEqual;
}

Relation Mirrored(Relation relation) {
  switch (relation) {
    case Relation::kLess:
      return Relation::kGreater;
    case Relation::kLessEqual:
      return Relation::kGreaterEqual;
    case Relation::kGreater:
      return Relation::kLess;
    case Relation::kGreaterEqual:
      return Relation::kLessEqual;
    default:
      return relation;
  }
}

// What an inequality may be solved for: symbols and values of unknown functions.
void CollectVariables(const Node& node, std::vector<const Node*>& variables) {
  const bool named = node.kind == NodeKind::kSymbol ||
                     (node.kind == NodeKind::kFunction && node.name != "abs" && IsName(node));
  if (named) {
    const bool known = std::any_of(variables.begin(), variables.end(),
                                   [&](const Node* other) { return SameTree(*other, node); });
    if (!known) variables.push_back(&node);
    return;
  }
  for (const NodePtr& child : node.children) CollectVariables(*child, variables);
}

NodePtr Substitute(const NodePtr& node, const Node& variable, const NodePtr& value) {
  if (SameTree(*node, variable)) return value;
  if (node->children.empty()) return node;
  Node copy = *node;
  for (NodePtr& child : copy.children) child = Substitute(child, variable, value);
  return Share(std::move(copy));
}

class RegionReader {
 public:
  explicit RegionReader(Algebra& algebra) : algebra_(algebra) {}

  std::optional<Region> Read(const Node& node) {
    switch (node.kind) {
      case NodeKind::kBracketed:
        return ReadInterval(node);
      case NodeKind::kSet:
        return ReadPoints(node);
      case NodeKind::kNamedSet:
        if (node.name == "empty") return Region{};
        if (node.name == "R") return Region{{Interval{}}, nullptr};
        return std::nullopt;
      case NodeKind::kUnion:
      case NodeKind::kIntersection:
      case NodeKind::kDifference:
        return ReadOperation(node);
      case NodeKind::kRelation:
        return ReadChain(node);
      case NodeKind::kSetBuilder: {
        std::optional<Region> region = Read(*node.children[1]);
        if (region) region->variable = nullptr;
        return region;
      }
      case NodeKind::kList:
        return ReadConditions(node);
      default:
        return std::nullopt;
    }
  }

  // Sorted and merged; empty intervals gone.
  std::optional<Region> Normalize(Region region) {
    if (region.intervals.size() > kMostIntervals) return std::nullopt;
    std::vector<Interval> kept;
    for (const Interval& interval : region.intervals) {
      const std::optional<bool> empty = IsEmpty(interval);
      if (!empty) return std::nullopt;
      if (!*empty) kept.push_back(interval);
    }
    bool known = true;
    // Insertion, since the order of two ends may be unknown.
    std::vector<Interval> sorted;
    for (const Interval& interval : kept) {
      size_t at = 0;
      while (at < sorted.size()) {
        const std::optional<int> order = CompareLows(sorted[at], interval);
        known = known && order.has_value();
        if (!order || *order > 0) break;
        ++at;
      }
      if (!known) return std::nullopt;
      sorted.insert(sorted.begin() + static_cast<int64_t>(at), interval);
    }
    std::vector<Interval> merged;
    for (const Interval& interval : sorted) {
      if (!merged.empty()) {
        const std::optional<bool> touches = Touches(merged.back(), interval);
        if (!touches) return std::nullopt;
        if (*touches) {
          if (!Extend(merged.back(), interval)) return std::nullopt;
          continue;
        }
      }
      merged.push_back(interval);
    }
    region.intervals = std::move(merged);
    return region;
  }

 private:
  // The sign of a - b; null ends are infinite: `missing` is their sign.
  std::optional<int> Order(const NodePtr& a, const NodePtr& b, int missing) {
    if (a == nullptr || b == nullptr) {
      if (a == b) return 0;
      return a == nullptr ? missing : -missing;
    }
    if (SameTree(*a, *b)) return 0;
    return algebra_.Sign(*Subtract(a, b));
  }

  std::optional<int> CompareLows(const Interval& a, const Interval& b) {
    const std::optional<int> order = Order(a.low, b.low, -1);
    if (!order || *order != 0) return order;
    return a.low_closed == b.low_closed ? 0 : a.low_closed ? -1 : 1;
  }

  std::optional<bool> IsEmpty(const Interval& interval) {
    if (interval.low == nullptr || interval.high == nullptr) return false;
    const std::optional<int> order = Order(interval.low, interval.high, 0);
    if (!order) return std::nullopt;
    return *order > 0 || (*order == 0 && !(interval.low_closed && interval.high_closed));
  }

  // Whether `next`, which does not begin before `interval`, overlaps it or continues it.
  std::optional<bool> Touches(const Interval& interval, const Interval& next) {
    if (interval.high == nullptr || next.low == nullptr) return true;
    const std::optional<int> order = Order(next.low, interval.high, 0);
    if (!order) return std::nullopt;
    return *order < 0 || (*order == 0 && (next.low_closed || interval.high_closed));
  }

  bool Extend(Interval& interval, const Interval& next) {
    const std::optional<int> order = Order(interval.high, next.high, 1);
    if (!order) return false;
    if (*order < 0) {
      interval.high = next.high;
      interval.high_closed = next.high_closed;
    } else if (*order == 0) {
      interval.high_closed = interval.high_closed || next.high_closed;
    }
    return true;
  }

  std::optional<Region> ReadInterval(const Node& node) {
    if (node.children.size() != 2 || node.open == '<') return std::nullopt;
    if (InfinityOf(*node.children[0]) > 0 || InfinityOf(*node.children[1]) < 0) return std::nullopt;
    Interval interval{.low = EndOf(node.children[0]), .high = EndOf(node.children[1])};
    interval.low_closed = node.open == '[' && interval.low != nullptr;
    interval.high_closed = node.close == ']' && interval.high != nullptr;
    return Normalize({{interval}, nullptr});
  }

  std::optional<Region> ReadPoints(const Node& node) {
    Region region;
    for (const NodePtr& point : node.children) {
      if (point->kind == NodeKind::kBracketed || point->kind == NodeKind::kRelation ||
          Contains(*point, NodeKind::kPlusMinus)) {
        return std::nullopt;
      }
      region.intervals.push_back({point, point, true, true});
    }
    return Normalize(std::move(region));
  }

  std::optional<Region> ReadOperation(const Node& node) {
    const std::optional<Region> left = Read(*node.children[0]), right = Read(*node.children[1]);
    if (!left || !right) return std::nullopt;
    switch (node.kind) {
      case NodeKind::kUnion: {
        Region both = *left;
        both.intervals.insert(both.intervals.end(), right->intervals.begin(),
                              right->intervals.end());
        return Normalize(std::move(both));
      }
      case NodeKind::kIntersection:
        return Intersect(*left, *right);
      default:
        return Intersect(*left, Complement(*right));
    }
  }

  static Region Complement(const Region& region) {
    Region gaps;
    Interval gap{};
    bool open_end = true;  // the last gap reaches to infinity
    for (const Interval& interval : region.intervals) {
      if (interval.low != nullptr) {
        gap.high = interval.low;
        gap.high_closed = !interval.low_closed;
        gaps.intervals.push_back(gap);
      }
      open_end = interval.high != nullptr;
      gap = {.low = interval.high, .low_closed = !interval.high_closed};
    }
    if (open_end) gaps.intervals.push_back(gap);
    return gaps;
  }

  std::optional<Region> Intersect(const Region& a, const Region& b) {
    Region both{.intervals = {}, .variable = a.variable != nullptr ? a.variable : b.variable};
    for (const Interval& x : a.intervals) {
      for (const Interval& y : b.intervals) {
        const std::optional<int> lows = Order(x.low, y.low, -1);
        const std::optional<int> highs = Order(x.high, y.high, 1);
        if (!lows || !highs) return std::nullopt;
        Interval common;
        common.low = *lows >= 0 ? x.low : y.low;
        common.low_closed =
            *lows == 0 ? x.low_closed && y.low_closed : (*lows > 0 ? x.low_closed : y.low_closed);
        common.high = *highs <= 0 ? x.high : y.high;
        common.high_closed = *highs == 0 ? x.high_closed && y.high_closed
                                         : (*highs < 0 ? x.high_closed : y.high_closed);
        both.intervals.push_back(common);
      }
    }
    return Normalize(std::move(both));
  }

  // Inequalities joined by "and" or "or".
  std::optional<Region> ReadConditions(const Node& node) {
    if (node.name.empty()) return std::nullopt;
    std::optional<Region> result;
    for (const NodePtr& child : node.children) {
      if (child->kind != NodeKind::kRelation) return std::nullopt;
      const std::optional<Region> region = Read(*child);
      if (!region || !SameVariable(result, *region)) return std::nullopt;
      if (!result) {
        result = region;
      } else if (node.name == "and") {
        result = Intersect(*result, *region);
      } else {
        result->intervals.insert(result->intervals.end(), region->intervals.begin(),
                                 region->intervals.end());
        result = Normalize(std::move(*result));
      }
      if (!result) return std::nullopt;
    }
    return result;
  }

  static bool SameVariable(const std::optional<Region>& a, const Region& b) {
    return !a || a->variable == nullptr || b.variable == nullptr ||
           SameTree(*a->variable, *b.variable);
  }

  std::optional<Region> ReadChain(const Node& node) {
    if (node.relations.size() == 1 && node.relations[0] == Relation::kIn) {
      std::optional<Region> region = Read(*node.children[1]);
      if (region && IsName(*node.children[0])) region->variable = node.children[0];
      return region;
    }
    std::optional<Region> result;
    for (size_t i = 0; i < node.relations.size(); ++i) {
      if (!IsInequality(node.relations[i])) return std::nullopt;
      const std::optional<Region> link =
          Solve(node.children[i], node.relations[i], node.children[i + 1]);
      if (!link || !SameVariable(result, *link)) return std::nullopt;
      result = result ? Intersect(*result, *link) : link;
      if (!result) return std::nullopt;
    }
    return result;
  }

  // left R right in one variable.
  std::optional<Region> Solve(const NodePtr& left, Relation relation, const NodePtr& right) {
    std::vector<const Node*> variables;
    CollectVariables(*left, variables);
    CollectVariables(*right, variables);
    if (variables.size() != 1) return std::nullopt;
    if (InfinityOf(*left) != 0 || InfinityOf(*right) != 0) {
      // "-\infty < x" says nothing.
      return Region{{Interval{}}, std::make_shared<Node>(*variables[0])};
    }
    const Node& variable = *variables[0];
    std::optional<Region> region;
    if (left->kind == NodeKind::kFunction && left->name == "abs") {
      region = SolveAbsolute(left->children[0], relation, right, variable);
    } else if (right->kind == NodeKind::kFunction && right->name == "abs") {
      region = SolveAbsolute(right->children[0], Mirrored(relation), left, variable);
    } else {
      region = SolveLinear(Subtract(left, right), relation, variable);
    }
    if (region) region->variable = std::make_shared<Node>(variable);
    return region;
  }

  // |inside| R bound
  std::optional<Region> SolveAbsolute(const NodePtr& inside, Relation relation,
                                      const NodePtr& bound, const Node& variable) {
    const std::optional<int> sign = algebra_.Sign(*bound);
    if (!sign || *sign <= 0) return std::nullopt;
    const std::optional<Region> upper = SolveLinear(Subtract(inside, bound), relation, variable);
    const std::optional<Region> lower =
        SolveLinear(MakeNode(NodeKind::kAdd, {inside, bound}), Mirrored(relation), variable);
    if (!upper || !lower) return std::nullopt;
    if (relation == Relation::kLess || relation == Relation::kLessEqual ||
        relation == Relation::kNotEqual) {
      return Intersect(*lower, *upper);
    }
    Region both = *lower;
    both.intervals.insert(both.intervals.end(), upper->intervals.begin(), upper->intervals.end());
    return Normalize(std::move(both));
  }

  // expression R 0, for an expression a x + b
  std::optional<Region> SolveLinear(const NodePtr& expression, Relation relation,
                                    const Node& variable) {
    const NodePtr at_0 = Substitute(expression, variable, MakeNumber(0));
    const NodePtr at_1 = Substitute(expression, variable, MakeNumber(1));
    const NodePtr at_7 = Substitute(expression, variable, MakeNumber(7));
    const NodePtr slope = Subtract(at_1, at_0);
    const NodePtr line =
        MakeNode(NodeKind::kAdd, {at_0, MakeNode(NodeKind::kMultiply, {MakeNumber(7), slope})});
    if (algebra_.Equal(*at_7, *line, -1) != Truth::kTrue) return std::nullopt;
    const std::optional<int> sign = algebra_.Sign(*slope);
    if (!sign || *sign == 0) return std::nullopt;
    const NodePtr bound = MakeNode(NodeKind::kNegate, {MakeNode(NodeKind::kDivide, {at_0, slope})});
    switch (*sign > 0 ? relation : Mirrored(relation)) {
      case Relation::kLess:
        return Region{{{nullptr, bound, false, false}}, nullptr};
      case Relation::kLessEqual:
        return Region{{{nullptr, bound, false, true}}, nullptr};
      case Relation::kGreater:
        return Region{{{bound, nullptr, false, false}}, nullptr};
      case Relation::kGreaterEqual:
        return Region{{{bound, nullptr, true, false}}, nullptr};
      case Relation::kNotEqual:
        return Region{{{nullptr, bound, false, false}, {bound, nullptr, false, false}}, nullptr};
      default:
        return std::nullopt;
    }
  }

  Algebra& algebra_;
};

Truth SameEnd(const NodePtr& a, const NodePtr& b, Algebra& algebra, int64_t decimals) {
  if (a == nullptr || b == nullptr) return a == b ? Truth::kTrue : Truth::kFalse;
  return algebra.Equal(*a, *b, decimals);
}

}  // namespace

bool IsRegion(const Node& node) {
  switch (node.kind) {
    case NodeKind::kUnion:
    case NodeKind::kIntersection:
    case NodeKind::kDifference:
    case NodeKind::kNamedSet:
    case NodeKind::kSetBuilder:
      return true;
    case NodeKind::kBracketed:
      return node.children.size() == 2 &&
             ((node.open == '[') != (node.close == ']') || InfinityOf(*node.children[0]) != 0 ||
              InfinityOf(*node.children[1]) != 0);
    case NodeKind::kRelation:
      return std::any_of(node.relations.begin(), node.relations.end(), IsInequality) ||
             node.relations[0] == Relation::kIn;
    case NodeKind::kList:
      return !node.name.empty() &&
             std::all_of(node.children.begin(), node.children.end(),
                         [](const NodePtr& child) { return IsRegion(*child); });
    default:
      return false;
  }
}

std::optional<Region> ToRegion(const Node& node, Algebra& algebra) {
  RegionReader reader(algebra);
  std::optional<Region> region = reader.Read(node);
  return region ? reader.Normalize(*std::move(region)) : std::nullopt;
}

Truth SameRegion(const Region& a, const Region& b, Algebra& algebra, int64_t decimals) {
  if (a.variable != nullptr && b.variable != nullptr && !SameTree(*a.variable, *b.variable))
    return Truth::kFalse;
  if (a.intervals.size() != b.intervals.size()) return Truth::kFalse;
  Truth all = Truth::kTrue;
  for (size_t i = 0; i < a.intervals.size(); ++i) {
    const Interval& x = a.intervals[i];
    const Interval& y = b.intervals[i];
    if (x.low_closed != y.low_closed || x.high_closed != y.high_closed) return Truth::kFalse;
    for (const Truth end :
         {SameEnd(x.low, y.low, algebra, decimals), SameEnd(x.high, y.high, algebra, decimals)}) {
      if (end == Truth::kFalse) return Truth::kFalse;
      if (end == Truth::kUnknown) all = Truth::kUnknown;
    }
  }
  return all;
}

}  // namespace ponder::math
