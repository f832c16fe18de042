#include "tests/kernels/kernel_test_support.h"

// The exactness contract of backend.h: the bits of a row depend on nothing but the row.
namespace ponder::kernels {
namespace {

std::vector<float> RowsOf(const std::vector<float>& values, int64_t begin, int64_t count,
                          int64_t width) {
  return {values.begin() + begin * width, values.begin() + (begin + count) * width};
}

class ExactnessTest : public KernelTest {
 protected:
  // Runs `op` on whole batches and on parts of them, for 1 to 4 threads. op(backend, first row,
  // rows) gives [rows, width].
  template <typename Op>
  void ExpectRowsAlone(int64_t rows, int64_t width, Op op) {
    const std::vector<float> whole = op(Device(), 0, rows);
    for (int64_t threads = 1; threads <= 4; ++threads) {
      SCOPED_TRACE(testing::Message() << threads << " threads");
      const auto backend = MakeBackend(GetParam(), threads);
      ExpectSameBits(op(*backend, 0, rows), whole);
      for (const int64_t count : {1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 31}) {
        for (int64_t begin = 0; begin + count <= rows; begin += 29) {
          SCOPED_TRACE(testing::Message() << "rows " << begin << " + " << count);
          ExpectSameBits(op(*backend, begin, count), RowsOf(whole, begin, count, width));
        }
      }
    }
  }
};

TEST_P(ExactnessTest, Linear) {
  const int64_t rows = 110;
  const int64_t outputs = 330;
  const int64_t inputs = 70;
  const std::vector<float> x = Normals(rows * inputs, 1);
  const std::vector<float> w = Normals(outputs * inputs, 2);
  const std::vector<float> bias = Normals(outputs, 3);
  ExpectRowsAlone(rows, outputs, [&](Backend& backend, int64_t begin, int64_t count) {
    const Weights weights(backend, w, outputs, inputs, Type());
    const ActBuffer input(backend, RowsOf(x, begin, count, inputs), count, inputs, Type());
    const Buffer biases(backend, bias);
    const Buffer y(backend, count * outputs, 1);
    backend.Linear({.x = input.Data(),
                    .w = weights.Matrix(),
                    .bias = biases.F(),
                    .y = y.F(),
                    .store = Store::kAdd,
                    .rows = count});
    return y.Values();
  });
}

// Few outputs of many inputs: a GPU adds up chains, in one block or in several.
TEST_P(ExactnessTest, LinearOfManyInputs) {
  const int64_t rows = 70, outputs = 20, inputs = 2100;
  const std::vector<float> x = Normals(rows * inputs, 1);
  const std::vector<float> w = Normals(outputs * inputs, 2);
  const auto run = [&](int64_t threads, int64_t begin, int64_t count) {
    const auto backend = MakeBackend(GetParam(), threads);
    const Weights weights(*backend, w, outputs, inputs, Type());
    const ActBuffer input(*backend, RowsOf(x, begin, count, inputs), count, inputs, Type());
    const Buffer y(*backend, 1 + count * outputs, 1);
    // One float behind where memory begins.
    backend->Linear({.x = input.Data(),
                     .w = weights.Matrix(),
                     .y = y.F() + 1,
                     .store = Store::kAdd,
                     .rows = count});
    const std::vector<float> values = y.Values();
    return std::vector<float>(values.begin() + 1, values.end());
  };
  const std::vector<float> whole = run(1, 0, rows);
  for (const int64_t threads : {1, 4}) {
    ExpectSameBits(run(threads, 0, rows), whole);
    ExpectSameBits(run(threads, 3, 1), RowsOf(whole, 3, 1, outputs));
    ExpectSameBits(run(threads, 11, 40), RowsOf(whole, 11, 40, outputs));
  }
}

TEST_P(ExactnessTest, RmsNormAndGateUp) {
  const int64_t rows = 60;
  const int64_t width = 75;
  const std::vector<float> x = Normals(rows * 2 * width, 1);
  const std::vector<float> weight = Normals(2 * width, 2);
  ExpectRowsAlone(rows, 2 * width, [&](Backend& backend, int64_t begin, int64_t count) {
    const Buffer input(backend, RowsOf(x, begin, count, 2 * width));
    const Buffer weights(backend, weight);
    const ActBuffer y(backend, count, 2 * width, Type());
    backend.RmsNorm({.x = input.F(),
                     .weight = weights.F(),
                     .y = y.Data(),
                     .act = Type(),
                     .rows = count,
                     .width = 2 * width});
    return y.Values();
  });
  const int64_t inputs = 40;
  const std::vector<float> z = Normals(rows * inputs, 3);
  const std::vector<float> w = Normals(2 * width * inputs, 4);
  ExpectRowsAlone(rows, width, [&](Backend& backend, int64_t begin, int64_t count) {
    const Weights gate_up(backend, w, 2 * width, inputs, Type());
    const ActBuffer input(backend, RowsOf(z, begin, count, inputs), count, inputs, Type());
    const ActBuffer y(backend, count, width, Type());
    backend.GateUp({.x = input.Data(), .w = gate_up.Matrix(), .y = y.Data(), .rows = count});
    return y.Values();
  });
}

TEST_P(ExactnessTest, LogProbAndSample) {
  const int64_t rows = 110;
  const int64_t vocabulary = 1100;
  const int64_t width = 40;
  const std::vector<float> x = Normals(rows * width, 1);
  const std::vector<float> w = Normals(vocabulary * width, 2, 0.3);
  ExpectRowsAlone(rows, 5, [&](Backend& backend, int64_t begin, int64_t count) {
    const Weights weights(backend, w, vocabulary, width, Type());
    const ActBuffer hidden(backend, RowsOf(x, begin, count, width), count, width, Type());
    std::vector<SampleRow> params(count);
    for (int64_t i = 0; i < count; ++i)
      params[i].uniform = static_cast<double>((begin + i) * 7 % 111) / 111;
    const Buffer rows_params(backend, params.data(), count * int64_t{sizeof(SampleRow)});
    const Buffer tokens(backend, count);
    const Buffer temperatures(backend, count, 1.0f);
    const Buffer sampled(backend, count);
    const Buffer logprobs(backend, count);
    const Buffer entropies(backend, count);
    const Buffer logsumexps(backend, count);
    backend.Sample({.hidden = hidden.Data(),
                    .w = weights.Matrix(),
                    .params = rows_params.As<SampleRow>(),
                    .tokens = tokens.I(),
                    .logprobs = sampled.F(),
                    .entropies = entropies.F(),
                    .rows = count});
    backend.LogProb({.hidden = hidden.Data(),
                     .w = weights.Matrix(),
                     .targets = tokens.I(),
                     .inverse_temperatures = temperatures.F(),
                     .logprobs = logprobs.F(),
                     .logsumexps = logsumexps.F(),
                     .rows = count});
    std::vector<float> all;
    const std::vector<int32_t> ids = tokens.IntValues();
    const std::vector<float> drawn = sampled.Values(), scored = logprobs.Values();
    const std::vector<float> entropy = entropies.Values(), sums = logsumexps.Values();
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(drawn[i], scored[i]);
      all.insert(all.end(), {static_cast<float>(ids[i]), drawn[i], scored[i], entropy[i], sums[i]});
    }
    return all;
  });
}

TEST_P(ExactnessTest, BackwardOfProductsForAnyNumberOfThreads) {
  const int64_t rows = 130;
  const int64_t outputs = 700;
  const int64_t inputs = 50;
  const std::vector<float> x = Normals(rows * inputs, 1);
  const std::vector<float> w = Normals(outputs * inputs, 2);
  const std::vector<float> d_y = Normals(rows * outputs, 3);
  const std::vector<float> d_logprobs = Normals(rows, 4);
  std::vector<float> first;
  for (int64_t threads = 1; threads <= 4; ++threads) {
    const auto backend = MakeBackend(GetParam(), threads);
    const Weights weights(*backend, w, outputs, inputs, Type());
    const ActBuffer input(*backend, x, rows, inputs, Type());
    const Buffer gradient(*backend, d_y);
    const Buffer d_x(*backend, rows * inputs);
    const Buffer d_w(*backend, outputs * inputs);
    const Buffer d_bias(*backend, outputs);
    backend->LinearBackward({.x = input.Data(),
                             .d_y = gradient.F(),
                             .w = weights.Matrix(),
                             .d_x = d_x.F(),
                             .d_w = d_w.F(),
                             .d_bias = d_bias.F(),
                             .rows = rows});
    const Buffer targets = Buffer::Ints(*backend, std::vector<int32_t>(rows, 600));
    const Buffer temperatures(*backend, rows, 1.0f);
    const Buffer logsumexps(*backend, rows, 20.0f);
    const Buffer d_logprob(*backend, d_logprobs);
    const Buffer d_hidden(*backend, rows * inputs);
    const Buffer d_table(*backend, outputs * inputs);
    backend->LogProbBackward({.hidden = input.Data(),
                              .w = weights.Matrix(),
                              .targets = targets.I(),
                              .inverse_temperatures = temperatures.F(),
                              .logsumexps = logsumexps.F(),
                              .d_logprobs = d_logprob.F(),
                              .d_hidden = d_hidden.F(),
                              .d_w = d_table.F(),
                              .rows = rows});
    std::vector<float> all;
    for (const Buffer* part : {&d_x, &d_w, &d_bias, &d_hidden, &d_table}) {
      const std::vector<float> values = part->Values();
      all.insert(all.end(), values.begin(), values.end());
    }
    if (threads == 1) first = all;
    ExpectSameBits(all, first);
  }
}

TEST_P(ExactnessTest, BackwardOfNormsForAnyNumberOfThreads) {
  const int64_t rows = 300;
  const int64_t width = 50;
  const std::vector<float> x = Normals(rows * width, 1);
  const std::vector<float> weight = Normals(width, 2);
  const std::vector<float> d_y = Normals(rows * width, 3);
  std::vector<float> first;
  for (int64_t threads = 1; threads <= 4; ++threads) {
    const auto backend = MakeBackend(GetParam(), threads);
    const Buffer input(*backend, x);
    const Buffer weights(*backend, weight);
    const Buffer inverse(*backend, rows, 0.9f);
    const Buffer gradient(*backend, d_y);
    const Buffer d_x(*backend, rows * width);
    const Buffer d_weight(*backend, width);
    backend->RmsNormBackward({.x = input.F(),
                              .weight = weights.F(),
                              .inverse_rms = inverse.F(),
                              .d_y = gradient.F(),
                              .d_x = d_x.F(),
                              .d_weight = d_weight.F(),
                              .rows = rows,
                              .width = width});
    std::vector<float> all = d_x.Values();
    const std::vector<float> sums = d_weight.Values();
    all.insert(all.end(), sums.begin(), sums.end());
    if (threads == 1) first = all;
    ExpectSameBits(all, first);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, ExactnessTest, testing::ValuesIn(AllCasesAndEmulatedTiles()),
                         CaseName);

}  // namespace
}  // namespace ponder::kernels
