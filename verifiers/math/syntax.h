#pragma once

#include <gmpxx.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ponder::math {

// What was written, as a tree: nothing is computed or simplified. Trees are immutable, shared and
// at most kMaxDepth deep.
enum class NodeKind {
  kNumber,        // number, decimals
  kSymbol,        // name: "x", "a_{n}", "AB", "alpha"
  kConstant,      // name: "pi", "e", "i", "infinity"
  kAdd,           // children, 2 or more
  kMultiply,      // children, 2 or more
  kDivide,        // [numerator, denominator]
  kNegate,        // [operand]
  kPower,         // [base, exponent]
  kFunction,      // name, arguments; names the parser does not know are uninterpreted
  kPlusMinus,     // [operand], or [left, right]; name "+-" or "-+"
  kPercent,       // [operand]
  kUnit,          // [operand]; name: the unit's words
  kList,          // items separated by commas, semicolons or words; name "and" or "or" where one
                  // of these stands between
  kBracketed,     // items between open and close: ( [ < and ) ] >; one item: [5]
  kSet,           // {items}
  kSetBuilder,    // [variable, condition]
  kNamedSet,      // name: "R", "Q", "Z", "N", "C", "empty"
  kUnion,         // children
  kIntersection,  // children
  kDifference,    // [set, set]
  kMatrix,        // rows * columns entries, row by row
  kRelation,      // n + 1 operands of a chain, relations between them
  kRatio,         // a : b : ...
  kText,          // name: words
  kEllipsis,
};

enum class Relation { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kNear, kIn };

struct Node;
using NodePtr = std::shared_ptr<const Node>;

struct Node {
  NodeKind kind = NodeKind::kNumber;
  std::string name;
  mpq_class number = 0;
  int64_t decimals = -1;  // digits written behind a decimal point; -1: none was written
  std::vector<NodePtr> children;
  std::vector<Relation> relations;  // kRelation
  char open = 0, close = 0;         // kBracketed
  int64_t columns = 0;              // kMatrix
  int64_t depth = 1;                // levels of this tree
};

constexpr int64_t kMaxDepth = 150;
constexpr int64_t kMaxTokens = 4096;
constexpr int64_t kMaxTextBytes = 16384;

// Shares a node whose children are set; works out its depth.
NodePtr Share(Node node);
NodePtr MakeNode(NodeKind kind, std::vector<NodePtr> children, std::string name = "");
NodePtr MakeNumber(mpq_class number, int64_t decimals = -1);

// The same tree, node by node.
bool SameTree(const Node& a, const Node& b);

// Whether a node of this kind occurs in the tree.
bool Contains(const Node& node, NodeKind kind);

}  // namespace ponder::math
