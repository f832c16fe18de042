#include "verifiers/math/matrix_value.h"

namespace ponder::math {
namespace {

constexpr int64_t kMostEntries = 1024;
constexpr int64_t kMostProducts = 4096;
constexpr int64_t kMostPower = 8;
constexpr size_t kMostOperands = 16;  // of one sum or product

class MatrixReader {
 public:
  std::optional<MatrixValue> Read(const NodePtr& node) {
    switch (node->kind) {
      case NodeKind::kMatrix: {
        const auto count = static_cast<int64_t>(node->children.size());
        if (!node->name.empty() || count > kMostEntries) return std::nullopt;
        return MatrixValue{count / node->columns, node->columns, node->children};
      }
      case NodeKind::kNegate:
        return Scale(MakeNumber(-1), Read(node->children[0]));
      case NodeKind::kAdd: {
        if (node->children.size() > kMostOperands) return std::nullopt;
        std::optional<MatrixValue> sum = Read(node->children[0]);
        for (size_t i = 1; i < node->children.size(); ++i) {
          sum = Sum(std::move(sum), Read(node->children[i]));
        }
        return sum;
      }
      case NodeKind::kDivide:
        return Scale(MakeNode(NodeKind::kDivide, {MakeNumber(1), node->children[1]}),
                     Read(node->children[0]));
      case NodeKind::kMultiply:
        return Product(*node);
      case NodeKind::kPower:
        return Power(*node);
      default:
        return std::nullopt;
    }
  }

 private:
  static NodePtr Times(const NodePtr& a, const NodePtr& b) {
    return MakeNode(NodeKind::kMultiply, {a, b});
  }

  static std::optional<MatrixValue> Scale(const NodePtr& factor,
                                          std::optional<MatrixValue> matrix) {
    if (!matrix) return std::nullopt;
    for (NodePtr& entry : matrix->entries) entry = Times(factor, entry);
    return matrix;
  }

  static std::optional<MatrixValue> Sum(std::optional<MatrixValue> a,
                                        const std::optional<MatrixValue>& b) {
    if (!a || !b || a->rows != b->rows || a->columns != b->columns) return std::nullopt;
    for (size_t i = 0; i < a->entries.size(); ++i) {
      a->entries[i] = MakeNode(NodeKind::kAdd, {a->entries[i], b->entries[i]});
    }
    return a;
  }

  std::optional<MatrixValue> Product(const Node& node) {
    if (node.children.size() > kMostOperands) return std::nullopt;
    std::optional<MatrixValue> product;
    std::vector<NodePtr> numbers;
    for (const NodePtr& factor : node.children) {
      if (!Contains(*factor, NodeKind::kMatrix)) {
        numbers.push_back(factor);
        continue;
      }
      product = product ? Multiply(product, Read(factor)) : Read(factor);
      if (!product) return std::nullopt;
    }
    if (numbers.empty()) return product;
    return Scale(MakeNode(NodeKind::kMultiply, std::move(numbers)), std::move(product));
  }

  std::optional<MatrixValue> Multiply(const std::optional<MatrixValue>& a,
                                      const std::optional<MatrixValue>& b) {
    if (!a || !b || a->columns != b->rows) return std::nullopt;
    products_ += a->rows * a->columns * b->columns;
    if (products_ > kMostProducts || a->rows * b->columns > kMostEntries) return std::nullopt;
    MatrixValue result{a->rows, b->columns, {}};
    for (int64_t i = 0; i < a->rows; ++i) {
      for (int64_t j = 0; j < b->columns; ++j) {
        std::vector<NodePtr> terms;
        for (int64_t k = 0; k < a->columns; ++k) {
          terms.push_back(Times(a->entries[i * a->columns + k], b->entries[k * b->columns + j]));
        }
        result.entries.push_back(MakeNode(NodeKind::kAdd, std::move(terms)));
      }
    }
    return result;
  }

  std::optional<MatrixValue> Power(const Node& node) {
    const Node& exponent = *node.children[1];
    const std::optional<MatrixValue> base = Read(node.children[0]);
    if (!base) return std::nullopt;
    if (exponent.kind == NodeKind::kSymbol && exponent.name == "T") {
      MatrixValue transposed{base->columns, base->rows, {}};
      for (int64_t j = 0; j < base->columns; ++j) {
        for (int64_t i = 0; i < base->rows; ++i) {
          transposed.entries.push_back(base->entries[i * base->columns + j]);
        }
      }
      return transposed;
    }
    if (exponent.kind != NodeKind::kNumber || exponent.number.get_den() != 1 ||
        exponent.number < 1 || exponent.number > kMostPower) {
      return std::nullopt;
    }
    std::optional<MatrixValue> result = base;
    for (int64_t i = 1; i < exponent.number.get_num().get_si(); ++i)
      result = Multiply(result, base);
    return result;
  }

  int64_t products_ = 0;
};

}  // namespace

std::optional<MatrixValue> ToMatrix(const NodePtr& node) {
  if (!Contains(*node, NodeKind::kMatrix)) return std::nullopt;
  return MatrixReader().Read(node);
}

}  // namespace ponder::math
