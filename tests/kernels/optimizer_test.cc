#include "base/check.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

class OptimizerTest : public KernelTest {};

TEST_P(OptimizerTest, AdamWFollowsTheFormulaAndWritesTheWorkingWeights) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {17, 33}, {40, 100}}) {
    const int64_t count = rows * columns;
    Array master = Widened(Normals(count, 1));
    Array first(count);
    Array second(count);
    const Buffer m(Cpu(), Normals(count, 1));
    const Buffer v1(Cpu(), count);
    const Buffer v2(Cpu(), count);
    const Weights working(Cpu(), Normals(count, 9), rows, columns, Type());
    for (int64_t step = 1; step <= 3; ++step) {
      const std::vector<float> g = Normals(count, 10 + step);
      const Buffer gradient(Cpu(), g);
      Cpu().AdamW({.master = m.F(),
                   .first_moment = v1.F(),
                   .second_moment = v2.F(),
                   .gradient = gradient.F(),
                   .working = working.Matrix(),
                   .rows = rows,
                   .columns = columns,
                   .learning_rate = 0.01f,
                   .weight_decay = 0.1f,
                   .gradient_scale = 0.5f,
                   .step = step});
      for (int64_t i = 0; i < count; ++i) {
        const double b1 = 0.9f;
        const double b2 = 0.999f;
        const double scaled = g[i] * 0.5;
        first[i] = b1 * first[i] + (1 - b1) * scaled;
        second[i] = b2 * second[i] + (1 - b2) * scaled * scaled;
        const double t = static_cast<double>(step);
        const double update = first[i] / (1 - std::pow(b1, t)) /
                              (std::sqrt(second[i] / (1 - std::pow(b2, t))) + 1e-8f);
        master[i] -= 0.01f * (update + 0.1f * master[i]);
      }
    }
    // A step moves by 0.01 with a relative error of some ten roundings; the master itself is
    // rounded once a step. 1 - b2 is rounded in fp32 with a relative error of 2^-25 / 0.001, which
    // the correction takes out again but for that much.
    Array bound = Absolutes(master);
    for (double& b : bound) b = 3 * (b * kEpsilonF32 + 0.03 * (20 * kEpsilonF32 + 5e-5)) * 1.01;
    ExpectNear(m.Values(), master, bound);
    std::vector<float> packed(count);
    Cpu().Unpack(working.Matrix(), packed.data());
    EXPECT_EQ(packed, Rounded(m.Values(), Type()));
  }
}

TEST_P(OptimizerTest, AdamWOnAVectorNeedsNoWorkingWeights) {
  const Buffer m(Cpu(), Normals(50, 1));
  const Buffer v1(Cpu(), 50);
  const Buffer v2(Cpu(), 50);
  const Buffer gradient(Cpu(), 50, 1.0f);
  const std::vector<float> before = m.Values();
  Cpu().AdamW({.master = m.F(),
               .first_moment = v1.F(),
               .second_moment = v2.F(),
               .gradient = gradient.F(),
               .rows = 1,
               .columns = 50,
               .learning_rate = 0.25f});
  // The first step goes by the learning rate against the gradient's sign.
  for (int i = 0; i < 50; ++i) EXPECT_NEAR(m.F()[i], before[i] - 0.25f, 1e-5);
}

TEST_P(OptimizerTest, SquaredNormSumsInDoubleAndShowsWhatIsNotFinite) {
  const std::vector<float> values = Normals(200'003, 1);
  double expected = 0;
  for (const float value : values) expected += static_cast<double>(value) * value;
  EXPECT_NEAR(Cpu().SquaredNorm(values.data(), 200'003), expected, 1e-9 * expected);
  EXPECT_EQ(Cpu().SquaredNorm(nullptr, 0), 0);
  for (int64_t threads = 1; threads <= 4; ++threads) {
    EXPECT_EQ(MakeBackend(GetParam().isa, threads)->SquaredNorm(values.data(), 200'003),
              Cpu().SquaredNorm(values.data(), 200'003));
  }
  std::vector<float> broken = values;
  broken[70'001] = NAN;
  EXPECT_TRUE(std::isnan(Cpu().SquaredNorm(broken.data(), 200'003)));
  broken[70'001] = -INFINITY;
  EXPECT_TRUE(std::isinf(Cpu().SquaredNorm(broken.data(), 200'003)));
  const std::vector<float> huge(4, 3e38f);
  EXPECT_NEAR(Cpu().SquaredNorm(huge.data(), 4), 4 * 9e76, 1e70);
}

TEST_P(OptimizerTest, RefusesBrokenShapes) {
  const Buffer m(Cpu(), 6);
  const Weights working(Cpu(), Normals(6, 9), 2, 3, Type());
  const AdamWArgs args = {.master = m.F(),
                          .first_moment = m.F(),
                          .second_moment = m.F(),
                          .gradient = m.F(),
                          .working = working.Matrix(),
                          .rows = 3,
                          .columns = 2};
  EXPECT_THROW(Cpu().AdamW(args), CheckFailure);
}

INSTANTIATE_TEST_SUITE_P(Every, OptimizerTest, testing::ValuesIn(AllCases()), CaseName);

}  // namespace
}  // namespace ponder::kernels
