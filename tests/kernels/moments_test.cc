#include <algorithm>

#include "kernels/host_buffer.h"
#include "kernels/moment_codes.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

// Arrays of one AdamW with 8-bit moments.
struct Matrix {
  Matrix(Backend& backend, const std::vector<float>& start, int64_t rows, int64_t columns,
         DType dtype)
      : rows(rows),
        columns(columns),
        count(rows * columns),
        master(backend, start),
        working(backend, start, rows, columns, dtype),
        first_codes(Filled(backend, ZeroMoment(MomentSign::kEither))),
        second_codes(Filled(backend, ZeroMoment(MomentSign::kPositive))),
        first_scales(backend, MomentBlocks(count)),
        second_scales(backend, MomentBlocks(count)) {}

  Buffer Filled(Backend& backend, int code) const {
    const std::vector<uint8_t> codes(count, static_cast<uint8_t>(code));
    return Buffer(backend, codes.data(), count);
  }
  void Step(Backend& backend, const std::vector<float>& gradient, int64_t step) {
    const Buffer g(backend, gradient);
    backend.AdamW({.master = master.F(),
                   .gradient = g.F(),
                   .working = working.Matrix(),
                   .first_codes = first_codes.As<uint8_t>(),
                   .second_codes = second_codes.As<uint8_t>(),
                   .first_scales = first_scales.F(),
                   .second_scales = second_scales.F(),
                   .rows = rows,
                   .columns = columns,
                   .learning_rate = 0.01f,
                   .beta2 = 0.99f,
                   .weight_decay = 0.1f,
                   .gradient_scale = 0.5f,
                   .step = step});
    backend.Synchronize();
  }
  // What the codes stand for.
  Array Decoded(MomentSign sign) const {
    const MomentMap map = MakeMomentMap(sign);
    const bool is_first = sign == MomentSign::kEither;
    const auto codes = (is_first ? first_codes : second_codes).Read<uint8_t>();
    const auto scales = (is_first ? first_scales : second_scales).Values();
    Array values(codes.size());
    for (size_t i = 0; i < codes.size(); ++i)
      values[i] = static_cast<double>(map.values[codes[i]]) * scales[i / kMomentBlock];
    return values;
  }
  // Everything that a step leaves.
  std::vector<float> State() const {
    std::vector<float> all = master.Values();
    for (const Buffer* codes : {&first_codes, &second_codes}) {
      for (const uint8_t code : codes->Read<uint8_t>()) all.push_back(code);
    }
    for (const Buffer* scales : {&first_scales, &second_scales}) {
      for (const float scale : scales->Values()) all.push_back(scale);
    }
    return all;
  }

  int64_t rows, columns, count;
  Buffer master;
  Weights working;
  Buffer first_codes, second_codes, first_scales, second_scales;
};

// The largest of each block, at each of its elements.
Array BlockMaxima(const Array& values) {
  Array maxima(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t begin = i / kMomentBlock * kMomentBlock;
    const size_t end = std::min(begin + kMomentBlock, values.size());
    for (size_t j = begin; j < end; ++j) maxima[i] = std::max(maxima[i], std::abs(values[j]));
  }
  return maxima;
}

// `decoded` is as near to `exact`, a sum of terms of these magnitudes, as any value of the map, but
// for the few roundings that the backend has made before it chose.
void ExpectNearest(const Array& decoded, const Array& exact, const Array& magnitudes,
                   MomentSign sign) {
  const MomentMap map = MakeMomentMap(sign);
  const Array maxima = BlockMaxima(exact);
  for (size_t i = 0; i < exact.size(); ++i) {
    double least = INFINITY;
    for (int code = 0; code < kMomentCodes; ++code) {
      // A second moment above 0 has no 0.
      if (sign == MomentSign::kPositive && exact[i] > 0 && code == 0) continue;
      least = std::min(least, std::abs(map.values[code] * maxima[i] - exact[i]));
    }
    ASSERT_LE(std::abs(decoded[i] - exact[i]), 1.00001 * least + 5e-6 * magnitudes[i])
        << "element " << i << ": " << decoded[i] << " for " << exact[i];
  }
}

class MomentsTest : public KernelTest {};

TEST(MomentMap, IsThatOfThePaper) {
  const MomentMap either = MakeMomentMap(MomentSign::kEither);
  const MomentMap positive = MakeMomentMap(MomentSign::kPositive);
  EXPECT_TRUE(std::ranges::is_sorted(either.values));
  EXPECT_TRUE(std::ranges::is_sorted(positive.values));
  EXPECT_EQ(either.values[ZeroMoment(MomentSign::kEither)], 0);
  EXPECT_EQ(positive.values[ZeroMoment(MomentSign::kPositive)], 0);
  EXPECT_EQ(either.values[255], 1);
  EXPECT_EQ(positive.values[255], 1);
  // Of the published tables.
  EXPECT_FLOAT_EQ(either.values[0], -0.99296875f);
  EXPECT_FLOAT_EQ(either.values[254], 0.99296875f);
  EXPECT_FLOAT_EQ(either.values[128], 5.5e-7f);
  EXPECT_FLOAT_EQ(either.values[129], 3.25e-6f);
  EXPECT_FLOAT_EQ(positive.values[1], 3.25e-7f);
  EXPECT_FLOAT_EQ(positive.values[2], 7.75e-7f);
  EXPECT_FLOAT_EQ(positive.values[254], 0.996484375f);
}

TEST_P(MomentsTest, AdamWFollowsTheFormulaAndRoundsMomentsToTheNearestCode) {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {17, 33}, {2, 256}, {40, 100}}) {
    const std::vector<float> start = Normals(rows * columns, 1);
    Matrix matrix(Device(), start, rows, columns, Type());
    for (int64_t step = 1; step <= 3; ++step) {
      // Of several decades.
      std::vector<float> g = Normals(matrix.count, 10 + step);
      for (size_t i = 0; i < g.size(); ++i) g[i] *= static_cast<float>(std::pow(10, -int(i % 7)));
      Array master = Widened(matrix.master.Values());
      Array first = matrix.Decoded(MomentSign::kEither);
      Array second = matrix.Decoded(MomentSign::kPositive);
      matrix.Step(Device(), g, step);
      Array bound(g.size()), magnitudes(g.size());
      for (size_t i = 0; i < g.size(); ++i) {
        const double b1 = 0.9f, b2 = 0.99f;
        const double scaled = g[i] * 0.5;
        magnitudes[i] = std::abs(b1 * first[i]) + std::abs((1 - b1) * scaled);
        first[i] = b1 * first[i] + (1 - b1) * scaled;
        second[i] = b2 * second[i] + (1 - b2) * scaled * scaled;
        const double t = static_cast<double>(step);
        const double update = first[i] / (1 - std::pow(b1, t)) /
                              (std::sqrt(second[i] / (1 - std::pow(b2, t))) + 1e-8f);
        // 1 - b2 is rounded with a relative error of 2^-25 / 0.01, half of which the root leaves.
        bound[i] = std::abs(master[i]) * 3 * kEpsilonF32 +
                   0.01 * (std::abs(update) + 1) * (20 * kEpsilonF32 + 3e-6);
        master[i] -= 0.01f * (update + 0.1f * master[i]);
      }
      ExpectNear(matrix.master.Values(), master, bound);
      ExpectNearest(matrix.Decoded(MomentSign::kEither), first, magnitudes, MomentSign::kEither);
      ExpectNearest(matrix.Decoded(MomentSign::kPositive), second, second, MomentSign::kPositive);
    }
    const Buffer unpacked(Device(), matrix.count);
    Device().Unpack(matrix.working.Matrix(), unpacked.F());
    EXPECT_EQ(unpacked.Values(), Rounded(matrix.master.Values(), Type()));
  }
}

TEST_P(MomentsTest, BlocksOfZerosStayZeroAndTinySecondMomentsStayAboveZero) {
  const std::vector<float> start = Normals(2 * kMomentBlock, 1);
  Matrix matrix(Device(), start, 2, kMomentBlock, Type());
  std::vector<float> g(matrix.count);
  for (int64_t i = kMomentBlock; i < matrix.count; ++i) g[i] = i % 2 == 0 ? 1e15f : 1e-15f;
  matrix.Step(Device(), g, 1);
  EXPECT_EQ(matrix.first_scales.Values()[0], 0);
  EXPECT_EQ(matrix.second_scales.Values()[0], 0);
  const Array first = matrix.Decoded(MomentSign::kEither);
  const Array second = matrix.Decoded(MomentSign::kPositive);
  const std::vector<float> after = matrix.master.Values();
  for (int64_t i = 0; i < kMomentBlock; ++i) {
    EXPECT_EQ(first[i], 0);
    EXPECT_EQ(second[i], 0);
    EXPECT_NEAR(after[i], start[i] * (1 - 0.01 * 0.1), 1e-6);
  }
  for (int64_t i = kMomentBlock; i < matrix.count; ++i) {
    EXPECT_GT(second[i], 0);
    EXPECT_TRUE(std::isfinite(after[i]));
  }
  // Without a gradient nothing moves far: what was too small for a code does not pull.
  const std::vector<float> before = matrix.master.Values();
  matrix.Step(Device(), std::vector<float>(matrix.count), 2);
  const std::vector<float> last = matrix.master.Values();
  for (int64_t i = 0; i < matrix.count; ++i) EXPECT_NEAR(last[i], before[i], 0.02);
}

TEST_P(MomentsTest, WhatIsNotFiniteSpoilsItsBlockAndNoOther) {
  const std::vector<float> start = Normals(3 * kMomentBlock + 7, 1);
  std::vector<float> g = Normals(std::ssize(start), 2);
  Matrix sound(Device(), start, 1, std::ssize(start), Type());
  sound.Step(Device(), g, 1);
  for (const float bad : {NAN, INFINITY}) {
    Matrix matrix(Device(), start, 1, std::ssize(start), Type());
    std::vector<float> broken = g;
    broken[kMomentBlock + 3] = bad;
    matrix.Step(Device(), broken, 1);
    EXPECT_TRUE(std::isnan(matrix.first_scales.Values()[1]));
    EXPECT_TRUE(std::isnan(matrix.second_scales.Values()[1]));
    const std::vector<float> found = matrix.master.Values(), expected = sound.master.Values();
    for (size_t i = 0; i < found.size(); ++i) {
      if (i / kMomentBlock == 1) continue;
      ASSERT_EQ(found[i], expected[i]) << i;
    }
    for (const int64_t block : {0, 2, 3})
      EXPECT_EQ(matrix.first_scales.Values()[block], sound.first_scales.Values()[block]);
    matrix.Step(Device(), g, 2);
    EXPECT_TRUE(std::isnan(matrix.master.Values()[kMomentBlock])) << "it shows";
  }
}

TEST_P(MomentsTest, BitsDoNotDependOnTheThreads) {
  const int64_t rows = 70, columns = 300;
  const std::vector<float> start = Normals(rows * columns, 1);
  std::vector<float> expected;
  for (int64_t threads = 1; threads <= 4; ++threads) {
    const std::unique_ptr<Backend> backend = MakeBackend(GetParam(), threads);
    Matrix matrix(*backend, start, rows, columns, Type());
    for (int64_t step = 1; step <= 3; ++step)
      matrix.Step(*backend, Normals(matrix.count, 20 + step), step);
    if (threads == 1) expected = matrix.State();
    ExpectSameBits(matrix.State(), expected);
  }
}

TEST_P(MomentsTest, MasterAndMomentsMayLieInTheHostsMemory) {
  const int64_t rows = 5, columns = 70, count = rows * columns;
  const std::vector<float> start = Normals(count, 1);
  const auto host = [&] { return HostBuffer::Create(Device(), count * 4).value(); };
  const HostBuffer master = host(), first = host(), second = host();
  std::memcpy(master.As<float>(), start.data(), count * 4);
  const Buffer near_master(Device(), start), near_first(Device(), count),
      near_second(Device(), count);
  const Weights working(Device(), start, rows, columns, Type());
  for (int64_t step = 1; step <= 2; ++step) {
    const Buffer g(Device(), Normals(count, 20 + step));
    AdamWArgs args = {.master = master.As<float>(),
                      .first_moment = first.As<float>(),
                      .second_moment = second.As<float>(),
                      .gradient = g.F(),
                      .working = working.Matrix(),
                      .rows = rows,
                      .columns = columns,
                      .learning_rate = 0.01f,
                      .step = step};
    Device().AdamW(args);
    args.master = near_master.F();
    args.first_moment = near_first.F();
    args.second_moment = near_second.F();
    Device().AdamW(args);
    Device().Synchronize();
  }
  ExpectSameBits({master.As<float>(), master.As<float>() + count}, near_master.Values());
  ExpectSameBits({second.As<float>(), second.As<float>() + count}, near_second.Values());
}

INSTANTIATE_TEST_SUITE_P(Every, MomentsTest, testing::ValuesIn(AllCases()), CaseName);

}  // namespace
}  // namespace ponder::kernels
