#include "verifiers/math/compare.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "verifiers/math/assignment.h"
#include "verifiers/math/matrix_value.h"
#include "verifiers/math/region.h"

namespace ponder::math {
namespace {

constexpr size_t kMostElements = 64;  // of lists that are matched without order
constexpr int64_t kMostNesting = 16;
constexpr int64_t kMostComparisons = 20'000;

Truth And(Truth a, Truth b) {
  if (a == Truth::kFalse || b == Truth::kFalse) return Truth::kFalse;
  return a == Truth::kTrue && b == Truth::kTrue ? Truth::kTrue : Truth::kUnknown;
}

Truth Or(Truth a, Truth b) {
  if (a == Truth::kTrue || b == Truth::kTrue) return Truth::kTrue;
  return a == Truth::kFalse && b == Truth::kFalse ? Truth::kFalse : Truth::kUnknown;
}

// The letters of a name, a text or a product of single letters; nothing for anything else.
std::optional<std::string> Letters(const Node& node) {
  switch (node.kind) {
    case NodeKind::kText: {
      std::string letters;
      std::copy_if(node.name.begin(), node.name.end(), std::back_inserter(letters),
                   [](char c) { return c != ' '; });
      return absl::AsciiStrToLower(letters);
    }
    case NodeKind::kSymbol:
    case NodeKind::kConstant:
      return absl::AsciiStrToLower(node.name);
    case NodeKind::kMultiply: {
      std::string letters;
      for (const NodePtr& child : node.children) {
        const std::optional<std::string> part = Letters(*child);
        if (!part) return std::nullopt;
        letters += *part;
      }
      return letters;
    }
    default:
      return std::nullopt;
  }
}

// The two trees that a plus-minus sign stands for; all its occurrences take the same side.
NodePtr ChooseSign(const NodePtr& node, bool upper) {
  if (node->children.empty()) return node;
  Node copy = *node;
  for (NodePtr& child : copy.children) child = ChooseSign(child, upper);
  if (node->kind != NodeKind::kPlusMinus) return Share(std::move(copy));
  const bool plus = (node->name == "+-") == upper;
  NodePtr last = copy.children.back();
  if (!plus) last = MakeNode(NodeKind::kNegate, {std::move(last)});
  if (copy.children.size() == 1) return last;
  return MakeNode(NodeKind::kAdd, {copy.children[0], std::move(last)});
}

bool WrittenAsDecimal(const Node& node) {
  return (node.kind == NodeKind::kNumber && node.decimals >= 0) ||
         std::any_of(node.children.begin(), node.children.end(),
                     [](const NodePtr& child) { return WrittenAsDecimal(*child); });
}

// A number without the percent sign and unit around it.
struct Quantity {
  NodePtr value;
  bool percent = false;
  std::string unit;
};

Quantity ToQuantity(NodePtr node) {
  Quantity quantity{.value = std::move(node)};
  for (;;) {
    const Node& outer = *quantity.value;
    if (outer.kind == NodeKind::kUnit) {
      quantity.unit = outer.name;
    } else if (outer.kind == NodeKind::kPercent) {
      quantity.percent = true;
    } else if (outer.kind == NodeKind::kNegate && outer.children[0]->kind == NodeKind::kPercent) {
      quantity.percent = true;
      quantity.value = MakeNode(NodeKind::kNegate, outer.children[0]->children);
      continue;
    } else {
      return quantity;
    }
    quantity.value = NodePtr(outer.children[0]);
  }
}

bool IsCollection(const Node& node) {
  return node.kind == NodeKind::kList || node.kind == NodeKind::kSet ||
         (node.kind == NodeKind::kNamedSet && node.name == "empty");
}

bool IsScalar(const Node& node) {
  switch (node.kind) {
    case NodeKind::kNumber:
    case NodeKind::kSymbol:
    case NodeKind::kConstant:
    case NodeKind::kAdd:
    case NodeKind::kMultiply:
    case NodeKind::kDivide:
    case NodeKind::kNegate:
    case NodeKind::kPower:
    case NodeKind::kFunction:
    case NodeKind::kPercent:
    case NodeKind::kUnit:
      return true;
    default:
      return false;
  }
}

class Comparer {
 public:
  Comparer(const CompareOptions& options, Algebra& algebra)
      : options_(options), algebra_(algebra) {}

  Truth Same(const NodePtr& gold, const NodePtr& answer) {
    if (++comparisons_ > kMostComparisons) return Say("it has too many parts", Truth::kUnknown);
    if (++nesting_ > kMostNesting)
      return --nesting_, Say("it is nested too deeply", Truth::kUnknown);
    const Truth truth = SameInside(gold, answer);
    --nesting_;
    return truth;
  }

  std::string Reason() const { return reason_; }

 private:
  Truth Say(std::string reason, Truth truth) {
    if (reason_.empty()) reason_ = std::move(reason);
    return truth;
  }

  Truth SameInside(const NodePtr& gold, const NodePtr& answer) {
    if (IsRegion(*gold) || IsRegion(*answer)) return SameRegions(gold, answer);
    const std::optional<Assignment> left = AsAssignment(gold), right = AsAssignment(answer);
    if (!left || !right) {
      if (left && left->name == nullptr) return Say("the answer is an equation", Truth::kFalse);
      if (right && right->name == nullptr) {
        return Say("the gold is an equation, the answer is none", Truth::kFalse);
      }
      return SameEquations(*gold, *answer);
    }
    // (x, y) = (1, 2) against x = 1, y = 2
    if (gold->kind == NodeKind::kRelation && answer->kind == NodeKind::kList) {
      if (const auto split = SplitTupleAssignment(*gold))
        return SameElements(*split, answer->children);
    }
    if (answer->kind == NodeKind::kRelation && gold->kind == NodeKind::kList) {
      if (const auto split = SplitTupleAssignment(*answer))
        return SameElements(gold->children, *split);
    }
    if (!options_.lenient) {
      for (const NodePtr& link : right->links) {
        if (Contradicts(link, right->value))
          return Say("the answer's chain of = contradicts itself", Truth::kFalse);
      }
    }
    if (left->name != nullptr && right->name != nullptr && !SameTree(*left->name, *right->name)) {
      // y = 2x + 1 and 2x + 1 = y were both read as assignments, of other names.
      return SameEquations(*gold, *answer);
    }
    return SameValues(left->value, right->value);
  }

  bool Contradicts(const NodePtr& link, const NodePtr& value) {
    if (!IsScalar(*link) || !IsScalar(*value)) return false;
    const NodePtr a = ToQuantity(link).value, b = ToQuantity(value).value;
    return algebra_.Equal(*a, *b, Decimals(*a, *b)) == Truth::kFalse;
  }

  int64_t Decimals(const Node& a, const Node& b) const {
    return WrittenAsDecimal(a) || WrittenAsDecimal(b) ? options_.decimal_places : -1;
  }

  Truth SameValues(const NodePtr& gold, const NodePtr& answer) {
    if (gold->kind == NodeKind::kText || answer->kind == NodeKind::kText)
      return SameText(*gold, *answer);
    const bool sign =
        Contains(*gold, NodeKind::kPlusMinus) || Contains(*answer, NodeKind::kPlusMinus);
    if (IsCollection(*gold) || IsCollection(*answer) || sign) return SameCollections(gold, answer);
    const std::optional<MatrixValue> left = ToMatrix(gold), right = ToMatrix(answer);
    if (left || right) return SameMatrices(left, right);
    if (gold->kind == NodeKind::kBracketed || answer->kind == NodeKind::kBracketed)
      return SameBracketed(*gold, *answer);
    if (gold->kind == NodeKind::kRatio || answer->kind == NodeKind::kRatio)
      return SameRatios(gold, answer);
    return SameScalars(gold, answer);
  }

  Truth SameText(const Node& gold, const Node& answer) {
    const std::optional<std::string> left = Letters(gold), right = Letters(answer);
    if (left && right && *left == *right) return Truth::kTrue;
    return Say("the answer is another text than the gold", Truth::kFalse);
  }

  Truth SameScalars(const NodePtr& gold, const NodePtr& answer) {
    if (!IsScalar(*gold) || !IsScalar(*answer)) {
      if (SameTree(*gold, *answer)) return Truth::kTrue;
      return Say("the answer is of another type than the gold", Truth::kFalse);
    }
    const Quantity left = ToQuantity(gold), right = ToQuantity(answer);
    if (options_.units_must_match && !left.unit.empty() && !right.unit.empty() &&
        left.unit != right.unit) {
      return Say(fmt::format("the unit is {}, expected {}", right.unit, left.unit), Truth::kFalse);
    }
    const int64_t decimals = Decimals(*left.value, *right.value);
    const auto equal = [&](const NodePtr& a, const NodePtr& b) {
      return algebra_.Equal(*a, *b, decimals);
    };
    const auto share = [](const NodePtr& percent) {
      return MakeNode(NodeKind::kDivide, {percent, MakeNumber(100)});
    };
    Truth truth;
    if (left.percent == right.percent) {
      truth = equal(left.value, right.value);
    } else {
      truth = left.percent ? equal(share(left.value), right.value)
                           : equal(left.value, share(right.value));
      if (truth != Truth::kTrue && options_.percent_either_way)
        truth = Or(truth, equal(left.value, right.value));
    }
    if (truth == Truth::kFalse) Say("the answer has another value than the gold", truth);
    return truth;
  }

  Truth SameInOrder(const std::vector<NodePtr>& gold, const std::vector<NodePtr>& answer) {
    if (gold.size() != answer.size()) {
      return Say(fmt::format("the answer has {} parts, expected {}", answer.size(), gold.size()),
                 Truth::kFalse);
    }
    Truth all = Truth::kTrue;
    for (size_t i = 0; i < gold.size() && all != Truth::kFalse; ++i) {
      all = And(all, Same(gold[i], answer[i]));
    }
    return all;
  }

  Truth SameBracketed(const Node& gold, const Node& answer) {
    if (gold.kind != answer.kind)
      return Say("the answer is of another type than the gold", Truth::kFalse);
    const auto round = [](char c) { return c == '<' ? '(' : c == '>' ? ')' : c; };
    if (round(gold.open) != round(answer.open) || round(gold.close) != round(answer.close))
      return Say("the brackets differ", Truth::kFalse);
    return SameInOrder(gold.children, answer.children);
  }

  Truth SameMatrices(const std::optional<MatrixValue>& gold,
                     const std::optional<MatrixValue>& answer) {
    if (!gold || !answer || gold->rows != answer->rows || gold->columns != answer->columns)
      return Say("the answer is no matrix of the gold's shape", Truth::kFalse);
    return SameInOrder(gold->entries, answer->entries);
  }

  Truth SameRatios(const NodePtr& gold, const NodePtr& answer) {
    const auto quotient = [](const NodePtr& node) -> NodePtr {
      if (node->kind != NodeKind::kRatio) return IsScalar(*node) ? node : nullptr;
      return node->children.size() == 2 ? MakeNode(NodeKind::kDivide, node->children) : nullptr;
    };
    if (gold->kind == answer->kind && SameTree(*gold, *answer)) return Truth::kTrue;
    if (gold->kind == NodeKind::kRatio && answer->kind == NodeKind::kRatio &&
        gold->children.size() == answer->children.size()) {
      // a : b : c = d : e : f where every quotient with the first part is the same.
      Truth all = Truth::kTrue;
      for (size_t i = 1; i < gold->children.size() && all != Truth::kFalse; ++i) {
        const NodePtr left = MakeNode(NodeKind::kDivide, {gold->children[i], gold->children[0]});
        const NodePtr right =
            MakeNode(NodeKind::kDivide, {answer->children[i], answer->children[0]});
        // 12:00 and 7:00 are times of day.
        if (algebra_.Sign(*gold->children[i]) == std::optional<int>(0)) {
          all = And(all, SameInOrder(gold->children, answer->children));
        } else {
          all = And(all, SameScalars(left, right));
        }
      }
      return all;
    }
    const NodePtr left = quotient(gold), right = quotient(answer);
    if (left == nullptr || right == nullptr)
      return Say("the answer is of another type than the gold", Truth::kFalse);
    return SameScalars(left, right);
  }

  Truth SameRegions(const NodePtr& gold, const NodePtr& answer) {
    if (SameTree(*gold, *answer)) return Truth::kTrue;
    const std::optional<Region> left = ToRegion(*InsideOf(gold), algebra_);
    const std::optional<Region> right = ToRegion(*InsideOf(answer), algebra_);
    if (left && right) {
      const Truth truth = SameRegion(*left, *right, algebra_, options_.decimal_places);
      if (truth == Truth::kFalse) Say("the answer allows other numbers than the gold", truth);
      return truth;
    }
    // Inequalities in several variables: both brought to one side, equal up to a positive factor.
    if (gold->kind == NodeKind::kRelation && answer->kind == NodeKind::kRelation &&
        gold->relations.size() == 1 && answer->relations.size() == 1) {
      return SameInequalities(*gold, *answer);
    }
    if (gold->kind == NodeKind::kList && answer->kind == NodeKind::kList)
      return SameElements(gold->children, answer->children);
    // D = (0, 1) where it is no interval of known order.
    if (gold->kind == NodeKind::kBracketed && answer->kind == NodeKind::kBracketed)
      return SameBracketed(*gold, *answer);
    const bool comparable = (left || IsRegion(*gold)) && (right || IsRegion(*answer));
    return comparable ? Truth::kUnknown
                      : Say("the answer is of another type than the gold", Truth::kFalse);
  }

  // The value of "D = (0, 1) \cup ...", everything else as it is.
  static NodePtr InsideOf(const NodePtr& node) {
    if (node->kind != NodeKind::kRelation || IsRegion(*node)) return node;
    const std::optional<Assignment> assignment = AsAssignment(node);
    return assignment ? assignment->value : node;
  }

  static NodePtr Difference(const NodePtr& left, const NodePtr& right) {
    return MakeNode(NodeKind::kAdd, {left, MakeNode(NodeKind::kNegate, {right})});
  }

  Truth SameInequalities(const Node& gold, const Node& answer) {
    const auto upward = [](Relation relation) {
      return relation == Relation::kGreater || relation == Relation::kGreaterEqual;
    };
    const auto strict = [](Relation relation) {
      return relation == Relation::kGreater || relation == Relation::kLess;
    };
    const Relation left = gold.relations[0], right = answer.relations[0];
    const bool unequal = left == Relation::kNotEqual;
    if (unequal != (right == Relation::kNotEqual) || (!unequal && strict(left) != strict(right)))
      return Say("the relation signs differ", Truth::kFalse);
    const std::optional<int> factor =
        algebra_.Proportional(*Difference(gold.children[0], gold.children[1]),
                              *Difference(answer.children[0], answer.children[1]));
    if (!factor) return Truth::kUnknown;
    const bool same = unequal ? *factor != 0 : *factor == (upward(left) == upward(right) ? 1 : -1);
    return same ? Truth::kTrue : Say("the inequalities differ", Truth::kFalse);
  }

  Truth SameEquations(const Node& gold, const Node& answer) {
    if (SameTree(gold, answer)) return Truth::kTrue;
    if (gold.kind != NodeKind::kRelation || answer.kind != NodeKind::kRelation ||
        gold.children.size() != 2 || answer.children.size() != 2 ||
        gold.relations != answer.relations) {
      return Say("the answer is another equation than the gold", Truth::kFalse);
    }
    const auto is_plain = [](const NodePtr& side) { return IsScalar(*side); };
    if (!std::all_of(gold.children.begin(), gold.children.end(), is_plain) ||
        !std::all_of(answer.children.begin(), answer.children.end(), is_plain)) {
      return Say("the answer is another equation than the gold", Truth::kFalse);
    }
    const std::optional<int> factor =
        algebra_.Proportional(*Difference(gold.children[0], gold.children[1]),
                              *Difference(answer.children[0], answer.children[1]));
    if (!factor) return Truth::kUnknown;
    return *factor != 0 ? Truth::kTrue
                        : Say("the answer is another equation than the gold", Truth::kFalse);
  }

  // The elements of a list or set; one value is a list of itself, with ± of two.
  static std::vector<NodePtr> Elements(const NodePtr& node) {
    std::vector<NodePtr> elements;
    if (node->kind == NodeKind::kNamedSet) return elements;
    const std::vector<NodePtr> items = IsCollection(*node) ? node->children : std::vector{node};
    for (const NodePtr& item : items) {
      if (Contains(*item, NodeKind::kPlusMinus) && item->kind != NodeKind::kRelation) {
        elements.push_back(ChooseSign(item, true));
        elements.push_back(ChooseSign(item, false));
      } else if (Contains(*item, NodeKind::kPlusMinus)) {
        for (const bool upper : {true, false}) elements.push_back(ChooseSign(item, upper));
      } else {
        elements.push_back(item);
      }
    }
    return elements;
  }

  Truth SameCollections(const NodePtr& gold, const NodePtr& answer) {
    const std::vector<NodePtr> left = Elements(gold), right = Elements(answer);
    if (options_.lenient &&
        (gold->kind == NodeKind::kBracketed || answer->kind == NodeKind::kBracketed)) {
      const auto items = [](const NodePtr& node) { return node->children; };
      return SameInOrder(items(gold), items(answer));
    }
    if (!IsCollection(*gold) && left.size() == 1 && gold->kind != NodeKind::kBracketed &&
        right.size() != 1) {
      return Say(fmt::format("the answer has {} values, expected one", right.size()),
                 Truth::kFalse);
    }
    return SameElements(left, right);
  }

  // p = 5, q = 2, p = 7, q = 2 as (p = 5, q = 2) and (p = 7, q = 2): names that come again begin a
  // new tuple.
  static std::vector<NodePtr> GroupByNames(const std::vector<NodePtr>& elements) {
    std::vector<NodePtr> names;
    for (const NodePtr& element : elements) {
      const std::optional<Assignment> assignment = AsAssignment(element);
      if (!assignment || assignment->name == nullptr) return elements;
      names.push_back(assignment->name);
    }
    size_t cycle = 1;
    while (cycle < names.size() && !SameTree(*names[cycle], *names[0])) ++cycle;
    if (cycle == 1 || cycle == names.size() || names.size() % cycle != 0) return elements;
    std::vector<NodePtr> groups;
    for (size_t begin = 0; begin < names.size(); begin += cycle) {
      for (size_t i = 0; i < cycle; ++i) {
        if (!SameTree(*names[begin + i], *names[i])) return elements;
      }
      Node group{.kind = NodeKind::kBracketed, .open = '(', .close = ')'};
      group.children.assign(elements.begin() + static_cast<int64_t>(begin),
                            elements.begin() + static_cast<int64_t>(begin + cycle));
      groups.push_back(Share(std::move(group)));
    }
    return groups;
  }

  // Values where not every element names the same as the others do: n = 1, 2, 3.
  static std::vector<NodePtr> WithoutNames(const std::vector<NodePtr>& elements) {
    std::vector<NodePtr> values;
    for (const NodePtr& element : elements) {
      const std::optional<Assignment> assignment = AsAssignment(element);
      values.push_back(assignment && assignment->name != nullptr ? assignment->value : element);
    }
    return values;
  }

  static bool AllNamed(const std::vector<NodePtr>& elements) {
    return std::all_of(elements.begin(), elements.end(), [](const NodePtr& element) {
      const std::optional<Assignment> assignment = AsAssignment(element);
      return assignment && assignment->name != nullptr;
    });
  }

  // As sets: each has its like on the other side.
  Truth SameElements(std::vector<NodePtr> gold, std::vector<NodePtr> answer) {
    if (Contains(gold, NodeKind::kEllipsis) || Contains(answer, NodeKind::kEllipsis))
      return SameInOrder(gold, answer);
    gold = GroupByNames(gold);
    answer = GroupByNames(answer);
    if (!(AllNamed(gold) && AllNamed(answer))) {
      gold = WithoutNames(gold);
      answer = WithoutNames(answer);
    }
    if (gold.size() > kMostElements || answer.size() > kMostElements)
      return SameInOrder(gold, answer);
    if (gold.empty() || answer.empty()) {
      return gold.empty() && answer.empty() ? Truth::kTrue
                                            : Say("one side is the empty set", Truth::kFalse);
    }
    std::vector<Truth> covered(answer.size(), Truth::kFalse);
    Truth all = Truth::kTrue;
    for (const NodePtr& element : gold) {
      Truth found = Truth::kFalse;
      for (size_t i = 0; i < answer.size(); ++i) {
        const Truth same = Same(element, answer[i]);
        found = Or(found, same);
        covered[i] = Or(covered[i], same);
      }
      all = And(all, found);
      if (all == Truth::kFalse) break;
    }
    for (const Truth one : covered) all = And(all, one);
    reason_.clear();  // of elements that had to differ
    return all == Truth::kFalse ? Say("the answer has other elements than the gold", all) : all;
  }

  static bool Contains(const std::vector<NodePtr>& nodes, NodeKind kind) {
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const NodePtr& node) { return math::Contains(*node, kind); });
  }
  static bool Contains(const Node& node, NodeKind kind) { return math::Contains(node, kind); }

  const CompareOptions& options_;
  Algebra& algebra_;
  int64_t nesting_ = 0, comparisons_ = 0;
  std::string reason_;
};

}  // namespace

Comparison Compare(const NodePtr& gold, const NodePtr& answer, const CompareOptions& options,
                   Algebra& algebra) {
  Comparer comparer(options, algebra);
  const Truth equal = comparer.Same(gold, answer);
  return {equal, equal == Truth::kTrue ? "" : comparer.Reason()};
}

}  // namespace ponder::math
