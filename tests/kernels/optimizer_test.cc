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
    const Buffer m(Device(), Normals(count, 1));
    const Buffer v1(Device(), count);
    const Buffer v2(Device(), count);
    const Weights working(Device(), Normals(count, 9), rows, columns, Type());
    for (int64_t step = 1; step <= 3; ++step) {
      const std::vector<float> g = Normals(count, 10 + step);
      const Buffer gradient(Device(), g);
      Device().AdamW({.master = m.F(),
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
    const Buffer unpacked(Device(), count);
    Device().Unpack(working.Matrix(), unpacked.F());
    EXPECT_EQ(unpacked.Values(), Rounded(m.Values(), Type()));
  }
}

TEST_P(OptimizerTest, AdamWOnAVectorNeedsNoWorkingWeights) {
  const Buffer m(Device(), Normals(50, 1));
  const Buffer v1(Device(), 50);
  const Buffer v2(Device(), 50);
  const Buffer gradient(Device(), 50, 1.0f);
  const std::vector<float> before = m.Values();
  Device().AdamW({.master = m.F(),
                  .first_moment = v1.F(),
                  .second_moment = v2.F(),
                  .gradient = gradient.F(),
                  .rows = 1,
                  .columns = 50,
                  .learning_rate = 0.25f});
  // The first step goes by the learning rate against the gradient's sign.
  const std::vector<float> after = m.Values();
  for (int i = 0; i < 50; ++i) EXPECT_NEAR(after[i], before[i] - 0.25f, 1e-5);
}

TEST_P(OptimizerTest, SquaredNormSumsInDoubleAndShowsWhatIsNotFinite) {
  const std::vector<float> values = Normals(200'003, 1);
  double expected = 0;
  for (const float value : values) expected += static_cast<double>(value) * value;
  const auto norm = [](Backend& backend, const std::vector<float>& of) {
    return backend.SquaredNorm(Buffer(backend, of).F(), static_cast<int64_t>(of.size()));
  };
  EXPECT_NEAR(norm(Device(), values), expected, 1e-9 * expected);
  EXPECT_EQ(Device().SquaredNorm(nullptr, 0), 0);
  for (int64_t threads = 1; threads <= 4; ++threads) {
    EXPECT_EQ(norm(*MakeBackend(GetParam(), threads), values), norm(Device(), values));
  }
  std::vector<float> broken = values;
  broken[70'001] = NAN;
  EXPECT_TRUE(std::isnan(norm(Device(), broken)));
  broken[70'001] = -INFINITY;
  EXPECT_TRUE(std::isinf(norm(Device(), broken)));
  const std::vector<float> huge(4, 3e38f);
  EXPECT_NEAR(norm(Device(), huge), 4 * 9e76, 1e70);
}

TEST_P(OptimizerTest, RefusesBrokenShapes) {
  const Buffer m(Device(), 6);
  const Weights working(Device(), Normals(6, 9), 2, 3, Type());
  const AdamWArgs args = {.master = m.F(),
                          .first_moment = m.F(),
                          .second_moment = m.F(),
                          .gradient = m.F(),
                          .working = working.Matrix(),
                          .rows = 3,
                          .columns = 2};
  EXPECT_THROW(Device().AdamW(args), CheckFailure);
}

INSTANTIATE_TEST_SUITE_P(Every, OptimizerTest, testing::ValuesIn(AllCases()), CaseName);

}  // namespace
}  // namespace ponder::kernels
