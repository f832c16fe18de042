#include "base/check.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

const std::pair<int64_t, int64_t> kSizes[] = {{1, 1},   {3, 5},   {2, 16},   {5, 33},
                                              {70, 64}, {4, 576}, {130, 100}};

class RowsTest : public KernelTest {};

TEST_P(RowsTest, EmbedReadsTheRowsOfTheTable) {
  const int64_t vocabulary = 37;
  const int64_t width = 45;
  const std::vector<float> table = Rounded(Normals(vocabulary * width, 1), Type());
  const Weights weights(Device(), table, vocabulary, width, Type());
  const std::vector<int32_t> ids = {36, 0, 15, 16, 15};
  const Buffer id = Buffer::Ints(Device(), ids);
  const Buffer out(Device(), static_cast<int64_t>(ids.size()) * width);
  Device().Embed({.ids = id.I(), .table = weights.Matrix(), .out = out.F(), .rows = 5});
  const std::vector<float> found = out.Values();
  for (size_t row = 0; row < ids.size(); ++row) {
    for (int64_t k = 0; k < width; ++k)
      ASSERT_EQ(found[row * width + k], table[ids[row] * width + k]);
  }
  if (!Device().Info().is_host_memory) return;  // nobody looks into a GPU's memory
  const Buffer wrong = Buffer::Ints(Device(), {37});
  EXPECT_THROW(
      Device().Embed({.ids = wrong.I(), .table = weights.Matrix(), .out = out.F(), .rows = 1}),
      CheckFailure);
}

TEST_P(RowsTest, EmbedBackwardAddsRowsOfEqualIds) {
  const int64_t vocabulary = 9;
  const int64_t width = 70;
  const std::vector<int32_t> ids = {3, 8, 3, 0, 3};
  const std::vector<float> d_out = Normals(5 * width, 1);
  const Buffer id = Buffer::Ints(Device(), ids);
  const Buffer gradient(Device(), d_out);
  const Buffer table(Device(), vocabulary * width, 0.5f);
  Device().EmbedBackward({.ids = id.I(),
                          .d_out = gradient.F(),
                          .d_table = table.F(),
                          .rows = 5,
                          .width = width,
                          .vocabulary = vocabulary});
  Array expected(vocabulary * width, 0.5);
  for (size_t row = 0; row < ids.size(); ++row) {
    for (int64_t k = 0; k < width; ++k) expected[ids[row] * width + k] += d_out[row * width + k];
  }
  ExpectNear(table.Values(), expected, Array(expected.size(), 20 * 4 * kEpsilonF32));
}

TEST_P(RowsTest, RmsNormAgreesWithTheTwin) {
  for (const auto& [rows, width] : kSizes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << width);
    const std::vector<float> x = Normals(rows * width, 1, 3);
    const std::vector<float> weight = Normals(width, 2);
    const Buffer input(Device(), x);
    const Buffer weights(Device(), weight);
    const Buffer inverse(Device(), rows);
    ActBuffer y(Device(), rows, width, Type());
    y.Spoil(Device());
    Device().RmsNorm({.x = input.F(),
                      .weight = weights.F(),
                      .y = y.Data(),
                      .inverse_rms = inverse.F(),
                      .act = Type(),
                      .epsilon = 1e-5f,
                      .rows = rows,
                      .width = width});
    const Array expected = reference::RmsNorm(Widened(x), Widened(weight), 1e-5f, rows);
    // The sum of squares has up to width / 16 + 20 roundings, halved by the root; a few more in the
    // factors.
    const double relative = (static_cast<double>(width) / 32 + 16) * kEpsilonF32 +
                            (Type() == DType::kBF16 ? kEpsilonBF16 : 0);
    Array bound = Absolutes(expected);
    for (double& b : bound) b = b * relative * 1.01 + 1e-30;
    ExpectNear(y.Values(), expected, bound);
    y.ExpectZeroPadding();
  }
}

TEST_P(RowsTest, RmsNormBackwardAgreesWithFiniteDifferences) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {70, 16}, {3, 33}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << width);
    const std::vector<float> x = Normals(rows * width, 1);
    const std::vector<float> weight = Normals(width, 2);
    const std::vector<float> d_y = Normals(rows * width, 3);
    const auto loss = [&, rows = rows](const Array& at_x, const Array& at_weight) {
      const Array y = reference::RmsNorm(at_x, at_weight, 1e-5f, rows);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
      return sum;
    };
    Array d_x = reference::FiniteDifferences(
        [&](const Array& at) { return loss(at, Widened(weight)); }, Widened(x));
    Array d_weight = reference::FiniteDifferences(
        [&](const Array& at) { return loss(Widened(x), at); }, Widened(weight));
    for (double& d : d_x) d += 0.25;
    for (double& d : d_weight) d += 0.5;

    const Buffer input(Device(), x);
    const Buffer weights(Device(), weight);
    const Buffer inverse(Device(), rows);
    const Buffer gradient(Device(), d_y);
    const ActBuffer y(Device(), rows, width, Type());
    const Buffer found_x(Device(), rows * width, 0.25f);
    const Buffer found_weight(Device(), width, 0.5f);
    Device().RmsNorm({.x = input.F(),
                      .weight = weights.F(),
                      .y = y.Data(),
                      .inverse_rms = inverse.F(),
                      .act = Type(),
                      .rows = rows,
                      .width = width});
    Device().RmsNormBackward({.x = input.F(),
                              .weight = weights.F(),
                              .inverse_rms = inverse.F(),
                              .d_y = gradient.F(),
                              .d_x = found_x.F(),
                              .d_weight = found_weight.F(),
                              .rows = rows,
                              .width = width});
    // A row's factor 1 / rms may be large where the row is small: errors grow with it.
    Array bound(rows * width);
    const std::vector<float> inverses = inverse.Values();
    for (int64_t i = 0; i < rows * width; ++i) bound[i] = 1e-5 * (1 + inverses[i / width]);
    ExpectNear(found_x.Values(), d_x, bound);
    ExpectNear(found_weight.Values(), d_weight, Array(width, 1e-5 * static_cast<double>(rows + 1)));
  }
}

TEST_P(RowsTest, SwiGluAgreesWithTheTwinOverTheWholeRange) {
  for (const auto& [rows, width] : kSizes) {
    std::vector<float> gate_up = Normals(rows * 2 * width, 1, 4);
    gate_up[0] = 80;
    if (width > 4) {
      gate_up[1] = -80;
      gate_up[2] = 1000;
      gate_up[3] = -1000;
      gate_up[4] = 0;
    }
    const ActBuffer input(Device(), gate_up, rows, 2 * width, Type());
    ActBuffer y(Device(), rows, width, Type());
    y.Spoil(Device());
    Device().SwiGlu(
        {.gate_up = input.Data(), .y = y.Data(), .act = Type(), .rows = rows, .width = width});
    const Array expected = reference::SwiGlu(Widened(Rounded(gate_up, Type())), rows, width);
    Array bound = Absolutes(expected);
    for (double& b : bound)
      b = b * (8 * kEpsilonF32 + (Type() == DType::kBF16 ? kEpsilonBF16 : 0)) * 1.01 + 1e-30;
    ExpectNear(y.Values(), expected, bound);
    y.ExpectZeroPadding();
  }
}

TEST_P(RowsTest, SwiGluBackwardAgreesWithFiniteDifferences) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {2, 40}}) {
    const std::vector<float> gate_up = Rounded(Normals(rows * 2 * width, 1, 2), Type());
    const std::vector<float> d_y = Normals(rows * width, 2);
    const Array expected = reference::FiniteDifferences(
        [&, rows = rows, width = width](const Array& at) {
          const Array y = reference::SwiGlu(at, rows, width);
          double sum = 0;
          for (size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
          return sum;
        },
        Widened(gate_up));
    const ActBuffer input(Device(), gate_up, rows, 2 * width, Type());
    const Buffer gradient(Device(), d_y);
    const Buffer found(Device(), rows * 2 * width, 9);
    Device().SwiGluBackward({.gate_up = input.Data(),
                             .d_y = gradient.F(),
                             .d_gate_up = found.F(),
                             .act = Type(),
                             .rows = rows,
                             .width = width});
    ExpectNear(found.Values(), expected, Array(expected.size(), 1e-5));
  }
}

struct Heads {
  int64_t heads, kv_heads, width;
  bool normed;
};
const Heads kHeads[] = {{9, 3, 64, false}, {4, 2, 128, true}, {2, 1, 6, true}, {3, 3, 2, false}};

std::vector<float> Angles(int64_t positions, int64_t width) {
  std::vector<float> cos_sin(positions * width);
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < width / 2; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(width));
      cos_sin[p * width + i] = static_cast<float>(std::cos(angle));
      cos_sin[p * width + width / 2 + i] = static_cast<float>(std::sin(angle));
    }
  }
  return cos_sin;
}

std::vector<float> CacheValues(const Buffer& cache, DType dtype) {
  if (dtype == DType::kF32) return cache.Values();
  std::vector<float> values;
  for (const BF16 value : cache.Read<BF16>()) values.push_back(ToF32(value));
  return values;
}

TEST_P(RowsTest, QkvRopeWritesTheDocumentedLayout) {
  for (const Heads& h : kHeads) {
    SCOPED_TRACE(testing::Message()
                 << "H " << h.heads << ", K " << h.kv_heads << ", E " << h.width);
    const int64_t rows = 5;
    const int64_t row_width = (h.heads + 2 * h.kv_heads) * h.width;
    const std::vector<float> qkv = Normals(rows * row_width, 1);
    const std::vector<float> q_norm = Normals(h.width, 2);
    const std::vector<float> k_norm = Normals(h.width, 3);
    const std::vector<float> cos_sin = Angles(40, h.width);
    const std::vector<int32_t> positions = {0, 39, 7, 7, 21};
    const std::vector<int32_t> slots = {0, 47, 15, 16, 33};
    const KvShape shape = {Type(), h.kv_heads, h.width, 3};
    const std::vector<char> zeros(shape.pages * KvPageBytes(shape));
    const Buffer keys(Device(), zeros.data(), static_cast<int64_t>(zeros.size()));
    const Buffer values(Device(), zeros.data(), static_cast<int64_t>(zeros.size()));
    const Buffer input(Device(), qkv);
    const Buffer q_weight(Device(), q_norm);
    const Buffer k_weight(Device(), k_norm);
    const Buffer angles(Device(), cos_sin);
    const Buffer position = Buffer::Ints(Device(), positions);
    const Buffer slot = Buffer::Ints(Device(), slots);
    const Buffer q(Device(), rows * h.heads * h.width);
    const QkvRopeArgs args = {.qkv = input.F(),
                              .q_norm = h.normed ? q_weight.F() : nullptr,
                              .k_norm = h.normed ? k_weight.F() : nullptr,
                              .cos_sin = angles.F(),
                              .positions = position.I(),
                              .slots = slot.I(),
                              .q = q.F(),
                              .cache = {keys.As<void>(), values.As<void>()},
                              .shape = shape,
                              .rows = rows,
                              .heads = h.heads};
    Device().QkvRope(args);
    const std::vector<float> found_q = q.Values();
    const std::vector<float> found_keys = CacheValues(keys, Type());
    const std::vector<float> found_values = CacheValues(values, Type());
    const auto head = [&](int64_t row, int64_t index) {
      const auto begin = qkv.begin() + row * row_width + index * h.width;
      return Array(begin, begin + h.width);
    };
    const double bound = (static_cast<double>(h.width) / 16 + 24) * 8 * kEpsilonF32;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < h.heads; ++i) {
        const Array expected =
            reference::NormRotate(head(row, i), h.normed ? Widened(q_norm) : Array(), 1e-6f,
                                  Widened(cos_sin), positions[row]);
        for (int64_t e = 0; e < h.width; ++e) {
          ASSERT_NEAR(found_q[(row * h.heads + i) * h.width + e], expected[e], bound);
        }
      }
      const int64_t page = slots[row] / 16;
      const int64_t s = slots[row] % 16;
      for (int64_t i = 0; i < h.kv_heads; ++i) {
        const Array key =
            reference::NormRotate(head(row, h.heads + i), h.normed ? Widened(k_norm) : Array(),
                                  1e-6f, Widened(cos_sin), positions[row]);
        const Array value = head(row, h.heads + h.kv_heads + i);
        const int64_t at = (page * h.kv_heads + i) * 16 * h.width;
        for (int64_t e = 0; e < h.width; ++e) {
          const int64_t key_at = Device().Info().order == MatrixOrder::kRows ? at + s * h.width + e
                                 : Type() == DType::kBF16 ? at + (e / 2 * 16 + s) * 2 + e % 2
                                                          : at + e * 16 + s;
          const double rounding = Type() == DType::kBF16 ? kEpsilonBF16 : 0;
          ASSERT_NEAR(found_keys[key_at], key[e], bound + rounding * std::abs(key[e]));
          ASSERT_EQ(found_values[at + s * h.width + e],
                    Rounded(static_cast<float>(value[e]), Type()));
        }
      }
    }
    QkvRopeArgs wrong = args;
    wrong.shape.pages = 2;
    if (Device().Info().is_host_memory) {
      EXPECT_THROW(Device().QkvRope(wrong), CheckFailure);
    }
    wrong = args;
    wrong.shape.head_width = 7;
    EXPECT_THROW(Device().QkvRope(wrong), CheckFailure);
  }
}

TEST_P(RowsTest, QkvRopeBackwardAgreesWithFiniteDifferences) {
  for (const Heads& h : kHeads) {
    SCOPED_TRACE(testing::Message()
                 << "H " << h.heads << ", K " << h.kv_heads << ", E " << h.width);
    const int64_t rows = 2;
    const int64_t all_heads = h.heads + 2 * h.kv_heads;
    const int64_t row_width = all_heads * h.width;
    const std::vector<float> qkv = Normals(rows * row_width, 1);
    const std::vector<float> q_norm = Normals(h.width, 2);
    const std::vector<float> k_norm = Normals(h.width, 3);
    const std::vector<float> cos_sin = Angles(10, h.width);
    const std::vector<int32_t> positions = {9, 4};
    const std::vector<int32_t> slots = {17, 3};
    const std::vector<float> d_q = Normals(rows * h.heads * h.width, 4);
    const std::vector<float> d_keys = Normals(32 * h.kv_heads * h.width, 5);
    const std::vector<float> d_values = Normals(32 * h.kv_heads * h.width, 6);
    const auto d_of = [&](int64_t row, int64_t index) {
      if (index < h.heads) return d_q.data() + (row * h.heads + index) * h.width;
      if (index < h.heads + h.kv_heads)
        return d_keys.data() + (slots[row] * h.kv_heads + index - h.heads) * h.width;
      return d_values.data() + (slots[row] * h.kv_heads + index - h.heads - h.kv_heads) * h.width;
    };
    const auto loss = [&](const Array& x, const Array& at_q_norm, const Array& at_k_norm) {
      double sum = 0;
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < all_heads; ++i) {
          const auto begin = x.begin() + row * row_width + i * h.width;
          Array y(begin, begin + h.width);
          if (i < h.heads + h.kv_heads) {
            const Array& norm = i < h.heads ? at_q_norm : at_k_norm;
            y = reference::NormRotate(y, h.normed ? norm : Array(), 1e-6f, Widened(cos_sin),
                                      positions[row]);
          }
          for (int64_t e = 0; e < h.width; ++e) sum += y[e] * d_of(row, i)[e];
        }
      }
      return sum;
    };
    const Buffer input(Device(), qkv);
    const Buffer q_weight(Device(), q_norm);
    const Buffer k_weight(Device(), k_norm);
    const Buffer angles(Device(), cos_sin);
    const Buffer position = Buffer::Ints(Device(), positions);
    const Buffer slot = Buffer::Ints(Device(), slots);
    const Buffer in_q(Device(), d_q);
    const Buffer in_keys(Device(), d_keys);
    const Buffer in_values(Device(), d_values);
    const Buffer d_qkv(Device(), rows * row_width, 3);
    const Buffer d_q_norm(Device(), h.width, 1);
    const Buffer d_k_norm(Device(), h.width, 2);
    Device().QkvRopeBackward({.qkv = h.normed ? input.F() : nullptr,
                              .q_norm = h.normed ? q_weight.F() : nullptr,
                              .k_norm = h.normed ? k_weight.F() : nullptr,
                              .cos_sin = angles.F(),
                              .positions = position.I(),
                              .slots = slot.I(),
                              .d_q = in_q.F(),
                              .d_keys = in_keys.F(),
                              .d_values = in_values.F(),
                              .d_qkv = d_qkv.F(),
                              .d_q_norm = h.normed ? d_q_norm.F() : nullptr,
                              .d_k_norm = h.normed ? d_k_norm.F() : nullptr,
                              .shape = {Type(), h.kv_heads, h.width, 2},
                              .rows = rows,
                              .heads = h.heads});
    const Array expected = reference::FiniteDifferences(
        [&](const Array& at) { return loss(at, Widened(q_norm), Widened(k_norm)); }, Widened(qkv));
    ExpectNear(d_qkv.Values(), expected, Array(expected.size(), 2e-5));
    if (!h.normed) continue;
    Array q_expected = reference::FiniteDifferences(
        [&](const Array& at) { return loss(Widened(qkv), at, Widened(k_norm)); }, Widened(q_norm));
    Array k_expected = reference::FiniteDifferences(
        [&](const Array& at) { return loss(Widened(qkv), Widened(q_norm), at); }, Widened(k_norm));
    for (double& d : q_expected) d += 1;
    for (double& d : k_expected) d += 2;
    ExpectNear(d_q_norm.Values(), q_expected, Array(h.width, 2e-5));
    ExpectNear(d_k_norm.Values(), k_expected, Array(h.width, 2e-5));
  }
}

TEST_P(RowsTest, RowsFollowWhatWasDrawnAndDoNothingBehindAStop) {
  const Buffer drawn = Buffer::Ints(Device(), {50, 60, 70});
  const Buffer sources = Buffer::Ints(Device(), {2, -1, 0, 1});
  const Buffer stops = Buffer::Ints(Device(), {1, 2, 60, 3});
  const Buffer begins = Buffer::Ints(Device(), {0, 0, 3, 1});  // {1, 2}, none, {3}, {2, 60, 3}
  const Buffer counts = Buffer::Ints(Device(), {2, 0, 1, 3});
  const Buffer ids = Buffer::Ints(Device(), {5, 6, 7, 8});
  const Buffer slots = Buffer::Ints(Device(), {15, 16, 17, 18});
  const std::vector<AttentionSequence> all(4, {.query_begin = 0, .query_count = 1, .key_count = 9});
  const Buffer sequences(Device(), all.data(),
                         static_cast<int64_t>(all.size() * sizeof(AttentionSequence)));
  Device().Follow({.drawn = drawn.I(),
                   .sources = sources.I(),
                   .stops = stops.I(),
                   .stop_begins = begins.I(),
                   .stop_counts = counts.I(),
                   .ids = ids.I(),
                   .slots = slots.I(),
                   .sequences = sequences.As<AttentionSequence>(),
                   .spare_slot = 99,
                   .rows = 4});
  EXPECT_EQ(ids.IntValues(), (std::vector<int32_t>{70, 6, 50, 0}));
  EXPECT_EQ(slots.IntValues(), (std::vector<int32_t>{15, 16, 17, 99}));
  std::vector<int64_t> queries;
  for (const AttentionSequence& sequence : sequences.Read<AttentionSequence>())
    queries.push_back(sequence.query_count);
  EXPECT_EQ(queries, (std::vector<int64_t>{1, 1, 1, 0}));
}

INSTANTIATE_TEST_SUITE_P(Every, RowsTest, testing::ValuesIn(AllCases()), CaseName);

}  // namespace
}  // namespace ponder::kernels
