#include "verifiers/math/syntax.h"

#include <algorithm>

namespace ponder::math {

NodePtr Share(Node node) {
  node.depth = 1;
  for (const NodePtr& child : node.children) node.depth = std::max(node.depth, child->depth + 1);
  return std::make_shared<const Node>(std::move(node));
}

NodePtr MakeNode(NodeKind kind, std::vector<NodePtr> children, std::string name) {
  return Share({.kind = kind, .name = std::move(name), .children = std::move(children)});
}

NodePtr MakeNumber(mpq_class number, int64_t decimals) {
  auto node = std::make_shared<Node>();
  node->number = std::move(number);
  node->decimals = decimals;
  return node;
}

bool SameTree(const Node& a, const Node& b) {
  return a.kind == b.kind && a.name == b.name && a.number == b.number &&
         a.relations == b.relations && a.open == b.open && a.close == b.close &&
         a.columns == b.columns &&
         std::equal(a.children.begin(), a.children.end(), b.children.begin(), b.children.end(),
                    [](const NodePtr& x, const NodePtr& y) { return SameTree(*x, *y); });
}

bool Contains(const Node& node, NodeKind kind) {
  return node.kind == kind ||
         std::any_of(node.children.begin(), node.children.end(),
                     [&](const NodePtr& child) { return Contains(*child, kind); });
}

}  // namespace ponder::math
