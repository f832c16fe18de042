#include <algorithm>

#include "base/check.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

struct Shape {
  int64_t rows, vocabulary, width;
};
// Less than a tile of the vocabulary, exactly one, one and a bit, several; more rows than a block.
const Shape kShapes[] = {{1, 2, 3}, {3, 511, 40}, {5, 512, 32}, {4, 513, 16}, {130, 1500, 24}};

struct Problem {
  std::vector<float> hidden, w, inverse_temperatures;
  std::vector<int32_t> targets;

  Problem(const Shape& shape, DType dtype)
      : hidden(Rounded(Normals(shape.rows * shape.width, 1), dtype)),
        w(Rounded(Normals(shape.vocabulary * shape.width, 2), dtype)) {
    for (int64_t row = 0; row < shape.rows; ++row) {
      inverse_temperatures.push_back(row % 3 == 0 ? 1.0f : row % 3 == 1 ? 1 / 0.7f : 1 / 1.3f);
      targets.push_back(
          static_cast<int32_t>(row % 4 == 3 ? shape.vocabulary - 1 : row * 97 % shape.vocabulary));
    }
  }

  Array Logits(const Shape& shape, int64_t row) const {
    const auto begin = hidden.begin() + row * shape.width;
    return reference::Linear(Array(begin, begin + shape.width), Widened(w), {}, 1, shape.vocabulary,
                             shape.width);
  }
};

struct Result {
  std::vector<float> logprobs, entropies, logsumexps;
};

Result RunLogProb(Backend& backend, const Problem& problem, const Shape& shape, DType dtype) {
  const ActBuffer hidden(backend, problem.hidden, shape.rows, shape.width, dtype);
  const Weights w(backend, problem.w, shape.vocabulary, shape.width, dtype);
  const Buffer targets = Buffer::Ints(backend, problem.targets);
  const Buffer temperatures(backend, problem.inverse_temperatures);
  const Buffer logprobs(backend, shape.rows);
  const Buffer entropies(backend, shape.rows);
  const Buffer logsumexps(backend, shape.rows);
  backend.LogProb({.hidden = hidden.Data(),
                   .w = w.Matrix(),
                   .targets = targets.I(),
                   .inverse_temperatures = temperatures.F(),
                   .logprobs = logprobs.F(),
                   .entropies = entropies.F(),
                   .logsumexps = logsumexps.F(),
                   .rows = shape.rows});
  return {logprobs.Values(), entropies.Values(), logsumexps.Values()};
}

class LogitsTest : public KernelTest {};

TEST_P(LogitsTest, LogProbAgreesWithTheTwin) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.width << " -> " << shape.vocabulary);
    const Problem problem(shape, Type());
    const Result found = RunLogProb(Device(), problem, shape, Type());
    for (int64_t row = 0; row < shape.rows; ++row) {
      const auto expected = reference::LogProb(
          problem.Logits(shape, row), problem.inverse_temperatures[row], problem.targets[row]);
      // Scores are below 2 * 8 sqrt(D), with D + 2 roundings of the products' magnitudes; the
      // entropy weighs them once more.
      const double d = static_cast<double>(shape.width);
      const double score = 16 * std::sqrt(d) * (d + 4) * kEpsilonF32;
      ASSERT_NEAR(found.logprobs[row], expected.logprob, 2 * score) << "row " << row;
      ASSERT_NEAR(found.logsumexps[row], expected.logsumexp, 2 * score) << "row " << row;
      ASSERT_NEAR(found.entropies[row], expected.entropy, 16 * std::sqrt(d) * score + 1e-6)
          << "row " << row;
    }
  }
}

TEST_P(LogitsTest, LogProbOfEqualLogitsIsThatOfTheUniformDistribution) {
  const Shape shape = {2, 600, 8};
  Problem problem(shape, Type());
  std::fill(problem.w.begin(), problem.w.end(), 1.0f);
  const Result found = RunLogProb(Device(), problem, shape, Type());
  for (int64_t row = 0; row < 2; ++row) {
    EXPECT_NEAR(found.logprobs[row], -std::log(600.0), 1e-6);
    EXPECT_NEAR(found.entropies[row], std::log(600.0), 1e-6);
  }
}

TEST_P(LogitsTest, NotANumberIsSeen) {
  const Shape shape = {2, 600, 8};
  Problem problem(shape, Type());
  problem.hidden[3] = NAN;
  const Result found = RunLogProb(Device(), problem, shape, Type());
  EXPECT_TRUE(std::isnan(found.logprobs[0]));
  EXPECT_FALSE(std::isnan(found.logprobs[1]));
}

TEST_P(LogitsTest, LogProbBackwardAgreesWithTheTwin) {
  // The last: more rows than a chunk, more outputs than a block.
  for (const Shape& shape :
       {Shape{1, 2, 3}, Shape{5, 513, 40}, Shape{70, 130, 33}, Shape{1030, 4200, 2}}) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.width << " -> " << shape.vocabulary);
    const Problem problem(shape, Type());
    const Result forward = RunLogProb(Device(), problem, shape, Type());
    std::vector<float> d_logprobs = Normals(shape.rows, 7);
    for (int64_t row = 1; row < shape.rows; row += 3) d_logprobs[row] = 0;
    const ActBuffer hidden(Device(), problem.hidden, shape.rows, shape.width, Type());
    const Weights w(Device(), problem.w, shape.vocabulary, shape.width, Type());
    const Buffer targets = Buffer::Ints(Device(), problem.targets);
    const Buffer temperatures(Device(), problem.inverse_temperatures);
    const Buffer logsumexps(Device(), forward.logsumexps);
    const Buffer d_logprob(Device(), d_logprobs);
    const Buffer d_hidden(Device(), shape.rows * shape.width, 5);
    const Buffer d_w(Device(), shape.vocabulary * shape.width, 0.5f);
    Device().LogProbBackward({.hidden = hidden.Data(),
                              .w = w.Matrix(),
                              .targets = targets.I(),
                              .inverse_temperatures = temperatures.F(),
                              .logsumexps = logsumexps.F(),
                              .d_logprobs = d_logprob.F(),
                              .d_hidden = d_hidden.F(),
                              .d_w = d_w.F(),
                              .rows = shape.rows});
    Array hidden_expected(shape.rows * shape.width);
    Array hidden_size(shape.rows * shape.width);
    Array w_expected(shape.vocabulary * shape.width, 0.5);
    Array w_size(shape.vocabulary * shape.width, 0.5);
    for (int64_t row = 0; row < shape.rows; ++row) {
      if (d_logprobs[row] == 0) continue;
      const double t = problem.inverse_temperatures[row];
      const Array logits = problem.Logits(shape, row);
      const auto result = reference::LogProb(logits, t, problem.targets[row]);
      for (int64_t j = 0; j < shape.vocabulary; ++j) {
        const double p = std::exp(logits[j] * t - result.logsumexp);
        const double d = d_logprobs[row] * t * ((j == problem.targets[row] ? 1 : 0) - p);
        for (int64_t i = 0; i < shape.width; ++i) {
          hidden_expected[row * shape.width + i] += d * problem.w[j * shape.width + i];
          hidden_size[row * shape.width + i] += std::abs(d * problem.w[j * shape.width + i]);
          w_expected[j * shape.width + i] += d * problem.hidden[row * shape.width + i];
          w_size[j * shape.width + i] += std::abs(d * problem.hidden[row * shape.width + i]);
        }
      }
    }
    // Gradients of logits meet bf16; the probabilities carry the error of their scores (see above)
    // and of the sums.
    const double d = static_cast<double>(shape.width);
    const double relative = (Type() == DType::kBF16 ? kEpsilonBF16 : 0) +
                            64 * std::sqrt(d) * (d + 4) * kEpsilonF32 +
                            static_cast<double>(shape.rows + 600) * kEpsilonF32;
    for (double& size : hidden_size) size = size * relative + 1e-7;
    for (double& size : w_size) size = size * relative + 1e-7;
    ExpectNear(d_hidden.Values(), hidden_expected, hidden_size);
    ExpectNear(d_w.Values(), w_expected, w_size);
  }
}

TEST_P(LogitsTest, BackwardWithoutGradientsLeavesEverythingAtZero) {
  const Shape shape = {3, 40, 8};
  const Problem problem(shape, Type());
  const ActBuffer hidden(Device(), problem.hidden, shape.rows, shape.width, Type());
  const Weights w(Device(), problem.w, shape.vocabulary, shape.width, Type());
  const Buffer targets = Buffer::Ints(Device(), problem.targets);
  const Buffer temperatures(Device(), problem.inverse_temperatures);
  const Buffer zeros(Device(), shape.rows);
  const Buffer d_hidden(Device(), shape.rows * shape.width, 5);
  const Buffer d_w(Device(), shape.vocabulary * shape.width, 0.5f);
  Device().LogProbBackward({.hidden = hidden.Data(),
                            .w = w.Matrix(),
                            .targets = targets.I(),
                            .inverse_temperatures = temperatures.F(),
                            .logsumexps = zeros.F(),
                            .d_logprobs = zeros.F(),
                            .d_hidden = d_hidden.F(),
                            .d_w = d_w.F(),
                            .rows = shape.rows});
  EXPECT_EQ(d_hidden.Values(), std::vector<float>(shape.rows * shape.width, 0.0f));
  EXPECT_EQ(d_w.Values(), std::vector<float>(shape.vocabulary * shape.width, 0.5f));
}

TEST_P(LogitsTest, RefusesTargetsOutsideTheVocabulary) {
  const Shape shape = {1, 40, 8};
  Problem problem(shape, Type());
  if (!Device().Info().is_host_memory) return;  // nobody looks into a GPU's memory
  problem.targets[0] = 40;
  EXPECT_THROW(RunLogProb(Device(), problem, shape, Type()), CheckFailure);
  problem.targets[0] = -1;
  EXPECT_THROW(RunLogProb(Device(), problem, shape, Type()), CheckFailure);
}

// ---- sampling ----

struct Sampled {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs, entropies;
};

Sampled RunSample(Backend& backend, const ActBuffer& hidden, const Weights& w,
                  const std::vector<SampleRow>& rows) {
  const int64_t count = static_cast<int64_t>(rows.size());
  const Buffer params(backend, rows.data(), count * int64_t{sizeof(SampleRow)});
  const Buffer tokens = Buffer::Ints(backend, std::vector<int32_t>(count, -1));
  const Buffer logprobs(backend, count);
  const Buffer entropies(backend, count);
  backend.Sample({.hidden = hidden.Data(),
                  .w = w.Matrix(),
                  .params = params.As<SampleRow>(),
                  .tokens = tokens.I(),
                  .logprobs = logprobs.F(),
                  .entropies = entropies.F(),
                  .rows = count});
  return {tokens.IntValues(), logprobs.Values(), entropies.Values()};
}

class SampleTest : public KernelTest {
 protected:
  // One token of the distribution whose logits are given: D = 1, hidden state 1.
  int32_t Pick(const std::vector<float>& logits, const SampleRow& row) {
    const ActBuffer hidden(Device(), {1.0f}, 1, 1, Type());
    const Weights w(Device(), logits, static_cast<int64_t>(logits.size()), 1, Type());
    return RunSample(Device(), hidden, w, {row}).tokens[0];
  }
};

// Weights 1, 2, 4, 1 of 8 and a token of weight 0, with logits that bf16 holds well enough: 0.125,
// 0.375, 0.875, 1.
const std::vector<float> kLogits = {0.0f, 0.69140625f, 1.3828125f, 0.0f, -1000.0f};

TEST_P(SampleTest, InvertsTheCumulatedDistributionInOrderOfId) {
  EXPECT_EQ(Pick(kLogits, {.uniform = 0}), 0);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.12}), 0);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.13}), 1);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.37}), 1);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.38}), 2);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.87}), 2);
  EXPECT_EQ(Pick(kLogits, {.uniform = 0.88}), 3);
  EXPECT_EQ(Pick(kLogits, {.uniform = std::nextafter(1.0, 0.0)}), 3);
}

TEST_P(SampleTest, NeverPicksWhatHasNoWeight) {
  EXPECT_EQ(Pick({-1000, -1000, 1}, {.uniform = 0}), 2);
  EXPECT_EQ(Pick({1, -1000, -1000}, {.uniform = std::nextafter(1.0, 0.0)}), 0);
  EXPECT_EQ(Pick({-1000, -1000, 1}, {.top_p = 0.9f, .uniform = 0}), 2);
}

TEST_P(SampleTest, TemperatureSharpensTheDistribution) {
  // At temperature 1/2 the weights are 1, 4, 16, 1 of 22.
  EXPECT_EQ(Pick(kLogits, {.temperature = 0.5f, .uniform = 0.04}), 0);
  EXPECT_EQ(Pick(kLogits, {.temperature = 0.5f, .uniform = 0.05}), 1);
  EXPECT_EQ(Pick(kLogits, {.temperature = 0.5f, .uniform = 0.22}), 1);
  EXPECT_EQ(Pick(kLogits, {.temperature = 0.5f, .uniform = 0.24}), 2);
  EXPECT_EQ(Pick(kLogits, {.temperature = 0.5f, .uniform = 0.96}), 3);
}

TEST_P(SampleTest, TopKKeepsTheMostLikelyAndTheLowestIdAmongEquals) {
  // k = 2 keeps tokens 1 and 2 with 1/3 and 2/3; k = 3 adds token 0, not its equal 3.
  EXPECT_EQ(Pick(kLogits, {.top_k = 1, .uniform = 0}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_k = 2, .uniform = 0}), 1);
  EXPECT_EQ(Pick(kLogits, {.top_k = 2, .uniform = 0.33}), 1);
  EXPECT_EQ(Pick(kLogits, {.top_k = 2, .uniform = 0.34}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_k = 3, .uniform = 0}), 0);
  EXPECT_EQ(Pick(kLogits, {.top_k = 3, .uniform = 0.999}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_k = 100, .uniform = 0.999}), 3);
}

TEST_P(SampleTest, TopPKeepsTheSmallestSetThatReachesIt) {
  // In order of likelihood: 2 (0.5), 1 (0.75), 0 (0.875), 3 (1).
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.4f, .uniform = 0.999}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.4f, .uniform = 0}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.6f, .uniform = 0}), 1);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.6f, .uniform = 0.999}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.8f, .uniform = 0}), 0);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.8f, .uniform = 0.999}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.9f, .uniform = 0.999}), 3);
  EXPECT_EQ(Pick(kLogits, {.top_p = 1e-6f, .uniform = 0.5}), 2);
}

TEST_P(SampleTest, TopPIsAShareOfWhatTopKLeft) {
  // k = 2 leaves 2 (2/3) and 1 (1/3): 0.6 of that is token 2 alone, though 0.5 of the whole would
  // not be enough.
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.6f, .top_k = 2, .uniform = 0}), 2);
  EXPECT_EQ(Pick(kLogits, {.top_p = 0.7f, .top_k = 2, .uniform = 0}), 1);
}

TEST_P(SampleTest, GreedyTakesTheLowestIdAmongEquals) {
  EXPECT_EQ(Pick({1, 3, 2, 3}, {.temperature = 0, .uniform = 0.99}), 1);
  EXPECT_EQ(Pick({-5, -3, -3}, {.temperature = 0}), 1);
}

TEST_P(SampleTest, FrequenciesFollowTheDistribution) {
  const int64_t vocabulary = 1100;
  const std::vector<float> logits = Rounded(Normals(vocabulary, 3, 2), Type());
  const Array wide = Widened(logits);
  Array cumulated(vocabulary);
  const double logsumexp = reference::LogProb(wide, 1, 0).logsumexp;
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i) cumulated[i] = sum += std::exp(wide[i] - logsumexp);
  const int64_t count = 400;
  const ActBuffer hidden(Device(), std::vector<float>(count, 1.0f), count, 1, Type());
  const Weights w(Device(), logits, vocabulary, 1, Type());
  std::vector<SampleRow> rows(count);
  for (int64_t i = 0; i < count; ++i)
    rows[i].uniform = (static_cast<double>(i) + 0.5) / static_cast<double>(count);
  const Sampled found = RunSample(Device(), hidden, w, rows);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t token = found.tokens[i];
    EXPECT_LE(token == 0 ? 0 : cumulated[token - 1], rows[i].uniform + 1e-5);
    EXPECT_GE(cumulated[token], rows[i].uniform - 1e-5);
  }
}

TEST_P(SampleTest, TopKAndTopPOfALargeVocabulary) {
  std::vector<float> logits(5000, -1.0f);
  logits[4000] = 3.0f;
  logits[17] = 2.0f;
  EXPECT_EQ(Pick(logits, {.top_k = 2, .uniform = 0}), 17);
  EXPECT_EQ(Pick(logits, {.top_k = 2, .uniform = 0.99}), 4000);
  EXPECT_EQ(Pick(logits, {.top_k = 1, .uniform = 0}), 4000);
  // The lowest ids among equals.
  EXPECT_EQ(Pick(logits, {.top_k = 4, .uniform = 0}), 0);
  EXPECT_EQ(Pick(logits, {.top_k = 4, .uniform = 0.99}), 4000);
  // Weights 20.1, 7.4 and 4998 times 0.37: the largest holds more than 1 % of 1866.
  EXPECT_EQ(Pick(logits, {.top_p = 0.01f, .uniform = 0.99}), 4000);
  EXPECT_EQ(Pick(logits, {.top_p = 0.014f, .uniform = 0}), 17);
  EXPECT_EQ(Pick(logits, {.top_p = 0.5f, .uniform = 0}), 0);
}

TEST_P(SampleTest, LogProbsAreThoseOfLogProbBitForBit) {
  const Shape shape = {130, 1500, 24};
  const Problem problem(shape, Type());
  const ActBuffer hidden(Device(), problem.hidden, shape.rows, shape.width, Type());
  const Weights w(Device(), problem.w, shape.vocabulary, shape.width, Type());
  std::vector<SampleRow> rows(shape.rows);
  std::vector<float> inverse(shape.rows);
  for (int64_t i = 0; i < shape.rows; ++i) {
    rows[i].uniform = static_cast<double>(i * 37 % 130) / 130;
    rows[i].temperature = i % 4 == 0 ? 0.0f : i % 4 == 1 ? 0.7f : 1.0f;
    if (i % 5 == 0) rows[i].top_k = 20;
    if (i % 7 == 0) rows[i].top_p = 0.9f;
    inverse[i] = rows[i].temperature == 0 ? 1.0f : 1.0f / rows[i].temperature;
  }
  const Sampled sampled = RunSample(Device(), hidden, w, rows);
  Problem same = problem;
  same.targets = sampled.tokens;
  same.inverse_temperatures = inverse;
  const Result scored = RunLogProb(Device(), same, shape, Type());
  ExpectSameBits(sampled.logprobs, scored.logprobs);
  ExpectSameBits(sampled.entropies, scored.entropies);
}

TEST_P(SampleTest, LogitsThatAreNotNumbersGiveATokenWhoseLogProbShowsIt) {
  const int64_t vocabulary = 600;
  const Weights w(Device(), std::vector<float>(vocabulary, NAN), vocabulary, 1, Type());
  const ActBuffer hidden(Device(), std::vector<float>(4, 1.0f), 4, 1, Type());
  const std::vector<SampleRow> rows = {{.uniform = 0.5},
                                       {.top_k = 3, .uniform = 0.5},
                                       {.top_p = 0.9f, .uniform = 0.5},
                                       {.temperature = 0}};
  const Sampled found = RunSample(Device(), hidden, w, rows);
  for (int i = 0; i < 4; ++i) {
    EXPECT_GE(found.tokens[i], 0);
    EXPECT_LT(found.tokens[i], vocabulary);
    EXPECT_TRUE(std::isnan(found.logprobs[i]));
  }
}

TEST_P(SampleTest, RefusesBrokenParameters) {
  if (!Device().Info().is_host_memory) return;  // nobody looks into a GPU's memory
  EXPECT_THROW(Pick(kLogits, {.temperature = -1}), CheckFailure);
  EXPECT_THROW(Pick(kLogits, {.top_p = 0}), CheckFailure);
  EXPECT_THROW(Pick(kLogits, {.top_p = 1.5f}), CheckFailure);
  EXPECT_THROW(Pick(kLogits, {.top_k = -1}), CheckFailure);
  EXPECT_THROW(Pick(kLogits, {.uniform = 1}), CheckFailure);
}

INSTANTIATE_TEST_SUITE_P(Every, LogitsTest, testing::ValuesIn(AllCasesAndEmulatedTiles()),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Every, SampleTest, testing::ValuesIn(AllCasesAndEmulatedTiles()),
                         CaseName);

}  // namespace
}  // namespace ponder::kernels
