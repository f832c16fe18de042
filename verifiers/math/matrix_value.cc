#include "verifiers/math/matrix_value.h"

namespace ponder::math {
namespace {

constexpr int64_t kMostEntries = 1024;
constexpr int64_t kMostProducts = 4096;
constexpr int64_t kMostPower = 8;

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
      case NodeKind::kAdd:
        return Sum(Read(node->children[0]), Read(node->children[1]));
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
    const NodePtr& left = node.children[0];
    const NodePtr& right = node.children[1];
    const bool left_is = Contains(*left, NodeKind::kMatrix);
    const bool right_is = Contains(*right, NodeKind::kMatrix);
    if (left_is && right_is) return Multiply(Read(left), Read(right));
    return left_is ? Scale(right, Read(left)) : Scale(left, Read(right));
  }

  std::optional<MatrixValue> Multiply(const std::optional<MatrixValue>& a,
                                      const std::optional<MatrixValue>& b) {
    if (!a || !b || a->columns != b->rows) return std::nullopt;
    products_ += a->rows * a->columns * b->columns;
    if (products_ > kMostProducts || a->rows * b->columns > kMostEntries) return std::nullopt;
    MatrixValue result{a->rows, b->columns, {}};
    for (int64_t i = 0; i < a->rows; ++i) {
      for (int64_t j = 0; j < b->columns; ++j) {
        NodePtr sum = Times(a->entries[i * a->columns], b->entries[j]);
        for (int64_t k = 1; k < a->columns; ++k) {
          sum = MakeNode(NodeKind::kAdd, {std::move(sum), Times(a->entries[i * a->columns + k],
                                                                b->entries[k * b->columns + j])});
        }
        result.entries.push_back(std::move(sum));
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
