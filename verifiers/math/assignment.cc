#include "verifiers/math/assignment.h"

#include <absl/strings/ascii.h>

#include <algorithm>

namespace ponder::math {
namespace {

bool IsUpper(char c) { return absl::ascii_isupper(static_cast<unsigned char>(c)); }

// AB, NO, V_{1}, \angle ABC: no variable that one would solve for.
bool IsLabel(const Node& node) {
  if (node.kind != NodeKind::kSymbol) return false;
  return IsUpper(node.name[0]) || node.name.find('_') != std::string::npos ||
         node.name.find(' ') != std::string::npos;
}

bool HasVariables(const Node& node) {
  return Contains(node, NodeKind::kSymbol) || Contains(node, NodeKind::kEllipsis);
}

NodePtr MakeEquation(NodePtr left, NodePtr right) {
  return Share({.kind = NodeKind::kRelation,
                .children = {std::move(left), std::move(right)},
                .relations = {Relation::kEqual}});
}

}  // namespace

bool IsName(const Node& node) {
  const auto all = [&](const auto& test) {
    return !node.children.empty() &&
           std::all_of(node.children.begin(), node.children.end(),
                       [&](const NodePtr& child) { return test(*child); });
  };
  switch (node.kind) {
    case NodeKind::kSymbol:
      return true;
    case NodeKind::kFunction:
      if (node.name == "abs" || node.name == "overline") return IsLabel(*node.children[0]);
      return node.name.size() == 1 || (node.name.size() > 1 && node.name[1] == '_') ||
             (node.name.size() == 2 && node.name[1] == '\'');
    case NodeKind::kBracketed:
      return all(IsName);
    case NodeKind::kDivide:
    case NodeKind::kRatio:
    case NodeKind::kMultiply:
      return all(IsLabel);
    default:
      return false;
  }
}

std::optional<Assignment> AsAssignment(const NodePtr& node) {
  if (node->kind != NodeKind::kRelation) return Assignment{.value = node};
  const std::vector<NodePtr>& operands = node->children;
  size_t count = 1;
  while (count < operands.size() && node->relations[count - 1] == Relation::kEqual) ++count;
  const bool named = IsName(*operands[0]);
  if (count < operands.size()) {
    if (node->relations[count - 1] != Relation::kNear) return std::nullopt;
    // "x \approx 11": the only value there is.
    if (count == 1 && named && operands.size() == 2)
      return Assignment{.name = operands[0], .value = operands[1]};
  }
  const std::vector<NodePtr> links(operands.begin() + (named && count > 1 ? 1 : 0),
                                   operands.begin() + static_cast<int64_t>(count));
  if (!named && count > 1 && std::any_of(links.begin(), links.end(), [](const NodePtr& link) {
        return HasVariables(*link);
      })) {
    return std::nullopt;  // an equation
  }
  return Assignment{.name = named && count > 1 ? operands[0] : nullptr,
                    .value = links.back(),
                    .links = std::vector<NodePtr>(links.begin(), links.end() - 1)};
}

std::optional<std::vector<NodePtr>> SplitTupleAssignment(const Node& node) {
  if (node.kind != NodeKind::kRelation || node.children.size() != 2 ||
      node.relations[0] != Relation::kEqual) {
    return std::nullopt;
  }
  const Node& names = *node.children[0];
  const Node& values = *node.children[1];
  if (names.kind != NodeKind::kBracketed || values.kind != NodeKind::kBracketed ||
      names.children.size() != values.children.size() || !IsName(names)) {
    return std::nullopt;
  }
  std::vector<NodePtr> assignments;
  for (size_t i = 0; i < names.children.size(); ++i) {
    assignments.push_back(MakeEquation(names.children[i], values.children[i]));
  }
  return assignments;
}

}  // namespace ponder::math
