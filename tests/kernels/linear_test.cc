#include "base/check.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

struct Shape {
  int64_t rows, outputs, inputs;
};

// Every number of rows of a tile, odd widths, one output, panels that a group of panels leaves
// over.
const Shape kShapes[] = {{1, 1, 1},    {2, 3, 5},     {3, 16, 32},   {4, 17, 33},  {5, 40, 64},
                         {6, 130, 31}, {7, 33, 96},   {8, 16, 7},    {9, 48, 100}, {11, 65, 64},
                         {12, 32, 64}, {13, 300, 40}, {25, 64, 576}, {97, 50, 66}, {200, 36, 48}};
// Sums that a GPU makes in several chains.
const Shape kLongShapes[] = {{3, 20, 2100}, {70, 9, 2060}};

class LinearTest : public KernelTest {};

TEST_P(LinearTest, AgreesWithTheTwin) {
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.insert(shapes.end(), std::begin(kLongShapes), std::end(kLongShapes));
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const std::vector<float> x = Rounded(Normals(shape.rows * shape.inputs, 1), Type());
    const std::vector<float> w = Rounded(Normals(shape.outputs * shape.inputs, 2), Type());
    const std::vector<float> bias = Normals(shape.outputs, 3);
    const std::vector<float> before = Normals(shape.rows * shape.outputs, 4);
    const Weights weights(Device(), w, shape.outputs, shape.inputs, Type());
    const ActBuffer input(Device(), x, shape.rows, shape.inputs, Type());
    const Buffer biases(Device(), bias);
    const Buffer y(Device(), before);
    Device().Linear({.x = input.Data(),
                     .w = weights.Matrix(),
                     .bias = biases.F(),
                     .y = y.F(),
                     .rows = shape.rows});
    const Array expected = reference::Linear(Widened(x), Widened(w), Widened(bias), shape.rows,
                                             shape.outputs, shape.inputs);
    const Array magnitudes =
        reference::Linear(Absolutes(Widened(x)), Absolutes(Widened(w)), Absolutes(Widened(bias)),
                          shape.rows, shape.outputs, shape.inputs);
    ExpectNear(y.Values(), expected, SumBound(magnitudes, shape.inputs + 1, 0));

    const Buffer residual(Device(), before);
    Device().Linear({.x = input.Data(),
                     .w = weights.Matrix(),
                     .y = residual.F(),
                     .store = Store::kAdd,
                     .rows = shape.rows});
    Array sum =
        reference::Linear(Widened(x), Widened(w), {}, shape.rows, shape.outputs, shape.inputs);
    Array size = magnitudes;
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += before[i];
      size[i] += std::abs(before[i]);
    }
    ExpectNear(residual.Values(), sum, SumBound(size, shape.inputs + 1, 0));
  }
}

// However many rows share a product, and in however many parts their inputs are taken.
TEST_P(LinearTest, ARowHasTheSameBitsAlone) {
  const Shape shape = {71, 20, 2060};
  const std::vector<float> x = Rounded(Normals(shape.rows * shape.inputs, 1), Type());
  const std::vector<float> w = Rounded(Normals(shape.outputs * shape.inputs, 2), Type());
  const std::vector<float> before = Normals(shape.rows * shape.outputs, 3);
  const Weights weights(Device(), w, shape.outputs, shape.inputs, Type());
  const Buffer bias(Device(), Normals(shape.outputs, 4));
  for (const Store store : {Store::kOverwrite, Store::kAdd}) {
    const auto product = [&](int64_t row, int64_t rows) {
      const auto x_part = x.begin() + row * shape.inputs;
      const auto y_part = before.begin() + row * shape.outputs;
      const ActBuffer input(Device(), std::vector<float>(x_part, x_part + rows * shape.inputs),
                            rows, shape.inputs, Type());
      const Buffer y(Device(), std::vector<float>(y_part, y_part + rows * shape.outputs));
      Device().Linear({.x = input.Data(),
                       .w = weights.Matrix(),
                       .bias = bias.F(),
                       .y = y.F(),
                       .store = store,
                       .rows = rows});
      return y.Values();
    };
    const std::vector<float> all = product(0, shape.rows);
    for (const auto& [row, rows] : {std::pair{0, 1}, {37, 1}, {70, 1}, {5, 17}}) {
      const auto from = all.begin() + row * shape.outputs;
      ExpectSameBits(product(row, rows), std::vector<float>(from, from + rows * shape.outputs));
    }
  }
}

// Against the product by itself: what GateUp adds is SwiGLU, and what it keeps is that product.
TEST_P(LinearTest, GateUpIsTheProductAndSwiGlu) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> 2 x " << shape.outputs);
    const int64_t width = shape.outputs;  // F
    const std::vector<float> x = Rounded(Normals(shape.rows * shape.inputs, 1), Type());
    const std::vector<float> w = Rounded(Normals(2 * width * shape.inputs, 2, 0.3), Type());
    const Weights weights(Device(), w, 2 * width, shape.inputs, Type());
    const ActBuffer input(Device(), x, shape.rows, shape.inputs, Type());
    const Buffer product(Device(), shape.rows * 2 * width);
    Device().Linear(
        {.x = input.Data(), .w = weights.Matrix(), .y = product.F(), .rows = shape.rows});
    ActBuffer y(Device(), shape.rows, width, Type());
    ActBuffer alone(Device(), shape.rows, width, Type());
    ActBuffer kept(Device(), shape.rows, 2 * width, Type());
    y.Spoil(Device());
    alone.Spoil(Device());
    Device().GateUp({.x = input.Data(),
                     .w = weights.Matrix(),
                     .y = y.Data(),
                     .kept = kept.Data(),
                     .rows = shape.rows});
    Device().GateUp(
        {.x = input.Data(), .w = weights.Matrix(), .y = alone.Data(), .rows = shape.rows});
    ExpectSameBits(kept.Values(), Rounded(product.Values(), Type()));
    ExpectSameBits(alone.Values(), y.Values());
    const Array expected = reference::SwiGlu(Widened(product.Values()), shape.rows, width);
    Array bound = Absolutes(expected);
    for (double& b : bound)
      b = b * (8 * kEpsilonF32 + (Type() == DType::kBF16 ? kEpsilonBF16 : 0)) * 1.01 + 1e-30;
    ExpectNear(y.Values(), expected, bound);
    y.ExpectZeroPadding();
  }
}

TEST_P(LinearTest, BackwardAgreesWithTheTwin) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const std::vector<float> x = Rounded(Normals(shape.rows * shape.inputs, 1), Type());
    const std::vector<float> w = Rounded(Normals(shape.outputs * shape.inputs, 2), Type());
    const std::vector<float> d_y = Normals(shape.rows * shape.outputs, 3);
    const std::vector<float> d_w_before = Normals(shape.outputs * shape.inputs, 4);
    const std::vector<float> d_bias_before = Normals(shape.outputs, 5);
    const Weights weights(Device(), w, shape.outputs, shape.inputs, Type());
    const ActBuffer input(Device(), x, shape.rows, shape.inputs, Type());
    const Buffer gradient(Device(), d_y);
    const Buffer d_x(Device(), shape.rows * shape.inputs, 7);
    const Buffer d_w(Device(), d_w_before);
    const Buffer d_bias(Device(), d_bias_before);
    Device().LinearBackward({.x = input.Data(),
                             .d_y = gradient.F(),
                             .w = weights.Matrix(),
                             .d_x = d_x.F(),
                             .d_w = d_w.F(),
                             .d_bias = d_bias.F(),
                             .rows = shape.rows});
    // d_y meets bf16 on its way into the products.
    const double rounding = Type() == DType::kBF16 ? kEpsilonBF16 : 0;
    const Array w_columns = reference::Transpose(Widened(w), shape.outputs, shape.inputs);
    ExpectNear(
        d_x.Values(),
        reference::Linear(Widened(d_y), w_columns, {}, shape.rows, shape.inputs, shape.outputs),
        SumBound(reference::Linear(Absolutes(Widened(d_y)), Absolutes(w_columns), {}, shape.rows,
                                   shape.inputs, shape.outputs),
                 shape.outputs, rounding));
    const Array d_y_columns = reference::Transpose(Widened(d_y), shape.rows, shape.outputs);
    const Array x_columns = reference::Transpose(Widened(x), shape.rows, shape.inputs);
    Array d_w_expected =
        reference::Linear(d_y_columns, x_columns, {}, shape.outputs, shape.inputs, shape.rows);
    Array d_w_size = reference::Linear(Absolutes(d_y_columns), Absolutes(x_columns), {},
                                       shape.outputs, shape.inputs, shape.rows);
    for (size_t i = 0; i < d_w_expected.size(); ++i) {
      d_w_expected[i] += d_w_before[i];
      d_w_size[i] += std::abs(d_w_before[i]);
    }
    ExpectNear(d_w.Values(), d_w_expected, SumBound(d_w_size, shape.rows + 1, rounding));
    Array bias_expected = Widened(d_bias_before);
    Array bias_size = Absolutes(bias_expected);
    for (size_t i = 0; i < d_y.size(); ++i) {
      bias_expected[i % shape.outputs] += d_y[i];
      bias_size[i % shape.outputs] += std::abs(d_y[i]);
    }
    ExpectNear(d_bias.Values(), bias_expected, SumBound(bias_size, shape.rows + 1, 0));
  }
}

// More rows than one chunk of the backward.
TEST_P(LinearTest, BackwardSumsOverManyRows) {
  const Shape shape = {4130, 3, 5};
  const std::vector<float> x = Rounded(Normals(shape.rows * shape.inputs, 1), Type());
  const std::vector<float> d_y = Rounded(Normals(shape.rows * shape.outputs, 3), Type());
  const Weights weights(Device(), std::vector<float>(15, 1.0f), shape.outputs, shape.inputs,
                        Type());
  const ActBuffer input(Device(), x, shape.rows, shape.inputs, Type());
  const Buffer gradient(Device(), d_y);
  const Buffer d_x(Device(), shape.rows * shape.inputs);
  const Buffer d_w(Device(), 15);
  Device().LinearBackward({.x = input.Data(),
                           .d_y = gradient.F(),
                           .w = weights.Matrix(),
                           .d_x = d_x.F(),
                           .d_w = d_w.F(),
                           .rows = shape.rows});
  const Array d_y_columns = reference::Transpose(Widened(d_y), shape.rows, shape.outputs);
  const Array x_columns = reference::Transpose(Widened(x), shape.rows, shape.inputs);
  ExpectNear(d_w.Values(),
             reference::Linear(d_y_columns, x_columns, {}, shape.outputs, shape.inputs, shape.rows),
             SumBound(reference::Linear(Absolutes(d_y_columns), Absolutes(x_columns), {},
                                        shape.outputs, shape.inputs, shape.rows),
                      shape.rows, 0));
}

TEST_P(LinearTest, DoesNothingWithoutRows) {
  const Weights weights(Device(), Normals(12, 1), 3, 4, Type());
  Device().Linear({.w = weights.Matrix()});
  Device().LinearBackward({.w = weights.Matrix()});
}

TEST_P(LinearTest, RefusesBrokenShapes) {
  const Weights weights(Device(), Normals(12, 1), 3, 4, Type());
  EXPECT_THROW(Device().Linear({.w = weights.Matrix(), .rows = -1}), CheckFailure);
  EXPECT_THROW(Device().Linear({.w = weights.Matrix(), .rows = 1}), CheckFailure);
  EXPECT_THROW(Device().LinearBackward({.w = weights.Matrix(), .rows = 1}), CheckFailure);
}

TEST_P(LinearTest, PackedOrderIsAsDocumented) {
  const int64_t outputs = 37;
  const int64_t inputs = 45;
  const std::vector<float> w = Rounded(Normals(outputs * inputs, 1), Type());
  const Weights weights(Device(), w, outputs, inputs, Type());
  std::string bytes(PackedBytes(outputs, inputs, Type()), ' ');
  Device().CopyOut(bytes.data(), weights.Matrix().data, static_cast<int64_t>(bytes.size()));
  for (int64_t n = 0; n < Panels(outputs) * kPanelOutputs; ++n) {
    for (int64_t k = 0; k < PaddedInputs(inputs); ++k) {
      const int64_t at = PackedIndex(n, k, inputs, Type(), Device().Info().order);
      const float found = Type() == DType::kF32
                              ? reinterpret_cast<const float*>(bytes.data())[at]
                              : ToF32(reinterpret_cast<const BF16*>(bytes.data())[at]);
      ASSERT_EQ(found, n < outputs && k < inputs ? w[n * inputs + k] : 0) << n << ", " << k;
    }
  }
  const Buffer back(Device(), outputs * inputs);
  Device().Unpack(weights.Matrix(), back.F());
  EXPECT_EQ(back.Values(), w);
}

INSTANTIATE_TEST_SUITE_P(Every, LinearTest, testing::ValuesIn(AllCasesAndEmulatedTiles()),
                         CaseName);

}  // namespace
}  // namespace ponder::kernels
