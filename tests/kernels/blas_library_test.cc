#include <cublasLt.h>
#include <gtest/gtest.h>

#include "kernels/cuda/blas_library.h"
#include "kernels/cuda/create_backend.h"
#include "tests/kernels/kernel_test_support.h"

// Which products go through cuBLASLt, on the emulated device, whose cuBLASLt sums in an order of
// its own. That they are right, with it as without, is tested where the other kernels are.
namespace ponder::kernels {
namespace {

constexpr int64_t kManyRows = cuda::kBlasRows, kOutputs = 36, kInputs = 48;

std::unique_ptr<Backend> Make(Numerics numerics) {
  return CreateLocalCudaBackend({.numerics = numerics}).value();
}

// Operands of a product, and what the operations make of them.
class Operands {
 public:
  Operands(Backend& backend, int64_t rows, DType dtype = DType::kBF16)
      : rows(rows),
        x_values(Rounded(Normals(rows * kInputs, 1), dtype)),
        w_values(Rounded(Normals(kOutputs * kInputs, 2), dtype)),
        x(backend, x_values, rows, kInputs, dtype),
        w(backend, w_values, kOutputs, kInputs, dtype),
        backend_(backend) {}

  const int64_t rows;
  const std::vector<float> x_values, w_values;
  const ActBuffer x;
  const Weights w;

  std::vector<float> Linear(const Buffer* bias = nullptr, Store store = Store::kOverwrite) {
    const Buffer y(backend_, rows * kOutputs, 0.5f);
    backend_.Linear({.x = x.Data(),
                     .w = w.Matrix(),
                     .bias = bias == nullptr ? nullptr : bias->F(),
                     .y = y.F(),
                     .store = store,
                     .rows = rows});
    return y.Values();
  }
  // Gate and up are half of the outputs each.
  ActBuffer GateUp(const ActBuffer* kept = nullptr) {
    ActBuffer y(backend_, rows, kOutputs / 2, DType::kBF16);
    y.Spoil(backend_);
    backend_.GateUp({.x = x.Data(),
                     .w = w.Matrix(),
                     .y = y.Data(),
                     .kept = kept == nullptr ? nullptr : kept->Data(),
                     .rows = rows});
    backend_.Synchronize();
    return y;
  }
  void LogProb() {
    const Buffer targets = Buffer::Ints(backend_, std::vector<int32_t>(rows));
    const Buffer ones(backend_, rows, 1.0f);
    const Buffer logprobs(backend_, rows);
    backend_.LogProb({.hidden = x.Data(),
                      .w = w.Matrix(),
                      .targets = targets.I(),
                      .inverse_temperatures = ones.F(),
                      .logprobs = logprobs.F(),
                      .rows = rows});
    backend_.Synchronize();
  }
  // d_x, then d_w.
  std::vector<float> LinearBackward() {
    const Buffer d_y(backend_, Normals(rows * kOutputs, 3));
    const Buffer d_x(backend_, rows * kInputs, 7);
    const Buffer d_w(backend_, kOutputs * kInputs, 0.5f);
    backend_.LinearBackward({.x = x.Data(),
                             .d_y = d_y.F(),
                             .w = w.Matrix(),
                             .d_x = d_x.F(),
                             .d_w = d_w.F(),
                             .rows = rows});
    std::vector<float> both = d_x.Values();
    const std::vector<float> second = d_w.Values();
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }
  void LogProbBackward() {
    const Buffer targets = Buffer::Ints(backend_, std::vector<int32_t>(rows));
    const Buffer ones(backend_, rows, 1.0f);
    const Buffer logsumexps(backend_, rows, 20.0f);
    const Buffer d_hidden(backend_, rows * kInputs);
    const Buffer d_w(backend_, kOutputs * kInputs);
    backend_.LogProbBackward({.hidden = x.Data(),
                              .w = w.Matrix(),
                              .targets = targets.I(),
                              .inverse_temperatures = ones.F(),
                              .logsumexps = logsumexps.F(),
                              .d_logprobs = ones.F(),
                              .d_hidden = d_hidden.F(),
                              .d_w = d_w.F(),
                              .rows = rows});
    backend_.Synchronize();
  }

 private:
  Backend& backend_;
};

template <typename Work>
int64_t CallsOf(Work work) {
  const int64_t before = cuda_emulation::BlasCallCount();
  work();
  return cuda_emulation::BlasCallCount() - before;
}

class BlasLibraryTest : public testing::Test {
 protected:
  ~BlasLibraryTest() override { cuda_emulation::SetBlasIsThere(true); }

  std::unique_ptr<Backend> exact_ = Make(Numerics::kExact);
  std::unique_ptr<Backend> fast_ = Make(Numerics::kFast);
};

TEST_F(BlasLibraryTest, DoesTheBackwardsProductsOfManyRowsInBF16) {
  Operands many(*exact_, kManyRows);
  EXPECT_EQ(CallsOf([&] { many.LinearBackward(); }), 2);
  EXPECT_EQ(CallsOf([&] { many.LogProbBackward(); }), 2);
  Operands few(*exact_, kManyRows - 1);
  EXPECT_EQ(CallsOf([&] { few.LinearBackward(), few.LogProbBackward(); }), 0);
  Operands wide(*exact_, kManyRows, DType::kF32);
  EXPECT_EQ(CallsOf([&] { wide.LinearBackward(), wide.LogProbBackward(); }), 0);
}

TEST_F(BlasLibraryTest, GivesTheSameBitsForTheSameBatch) {
  Operands operands(*exact_, kManyRows);
  const std::vector<float> first = operands.LinearBackward();
  ExpectSameBits(first, operands.LinearBackward());
  const std::unique_ptr<Backend> another = Make(Numerics::kExact);
  ExpectSameBits(first, Operands(*another, kManyRows).LinearBackward());
}

TEST_F(BlasLibraryTest, ExactForwardsDoWithoutIt) {
  Operands operands(*exact_, kManyRows);
  operands.LinearBackward();  // it is there from now on
  EXPECT_EQ(CallsOf([&] { operands.Linear(), operands.GateUp(), operands.LogProb(); }), 0);
}

TEST_F(BlasLibraryTest, FastForwardsOfManyRowsUseIt) {
  Operands many(*fast_, kManyRows);
  EXPECT_EQ(CallsOf([&] { many.Linear(); }), 1);
  EXPECT_EQ(CallsOf([&] { many.GateUp(); }), 1);
  Operands few(*fast_, kManyRows - 1);
  EXPECT_EQ(CallsOf([&] { few.Linear(), few.GateUp(); }), 0);
  Operands wide(*fast_, kManyRows, DType::kF32);
  EXPECT_EQ(CallsOf([&] { wide.Linear(); }), 0);
}

TEST_F(BlasLibraryTest, FastLinearAgreesWithTheTwinButNotToTheBit) {
  Operands operands(*fast_, kManyRows);
  const std::vector<float> bias_values = Normals(kOutputs, 4);
  const Buffer bias(*fast_, bias_values);
  const Array x = Widened(operands.x_values), w = Widened(operands.w_values);
  for (const Store store : {Store::kOverwrite, Store::kAdd}) {
    Array expected = reference::Linear(x, w, Widened(bias_values), kManyRows, kOutputs, kInputs);
    Array size = reference::Linear(Absolutes(x), Absolutes(w), Absolutes(Widened(bias_values)),
                                   kManyRows, kOutputs, kInputs);
    if (store == Store::kAdd) {
      for (double& value : expected) value += 0.5;
      for (double& value : size) value += 0.5;
    }
    ExpectNear(operands.Linear(&bias, store), expected, SumBound(size, kInputs + 2, 0));
  }
  EXPECT_NE(operands.Linear(), Operands(*exact_, kManyRows).Linear());
}

TEST_F(BlasLibraryTest, FastGateUpIsSwiGluOfWhatItKeeps) {
  Operands operands(*fast_, kManyRows);
  ActBuffer kept(*fast_, kManyRows, kOutputs, DType::kBF16);
  const ActBuffer y = operands.GateUp(&kept);
  ExpectSameBits(kept.Values(), Rounded(operands.Linear(), DType::kBF16));
  const ActBuffer again(*fast_, kManyRows, kOutputs / 2, DType::kBF16);
  fast_->SwiGlu({.gate_up = kept.Data(),
                 .y = again.Data(),
                 .act = DType::kBF16,
                 .rows = kManyRows,
                 .width = kOutputs / 2});
  ExpectSameBits(y.Values(), again.Values());
  y.ExpectZeroPadding();
  ExpectSameBits(operands.GateUp().Values(), y.Values());
}

TEST_F(BlasLibraryTest, FastForwardsCanBeRecorded) {
  Operands operands(*fast_, kManyRows);
  const std::vector<float> expected = operands.Linear();
  const ActBuffer expected_gate = operands.GateUp();
  const Buffer y(*fast_, kManyRows * kOutputs);
  ActBuffer gate(*fast_, kManyRows, kOutputs / 2, DType::kBF16);
  const std::unique_ptr<Recording> recording = fast_->Record([&] {
    fast_->Linear(
        {.x = operands.x.Data(), .w = operands.w.Matrix(), .y = y.F(), .rows = kManyRows});
    fast_->GateUp(
        {.x = operands.x.Data(), .w = operands.w.Matrix(), .y = gate.Data(), .rows = kManyRows});
  });
  ASSERT_NE(recording, nullptr);
  EXPECT_EQ(y.Values(), std::vector<float>(kManyRows * kOutputs, 0.0f));
  for (int repeat = 0; repeat < 2; ++repeat) {
    fast_->Zero(y.F(), kManyRows * kOutputs * 4);
    gate.Spoil(*fast_);
    recording->Replay();
    ExpectSameBits(y.Values(), expected);
    ExpectSameBits(gate.Values(), expected_gate.Values());
  }
}

TEST_F(BlasLibraryTest, FastNumericsHaveAFingerprintOfTheirOwn) {
  EXPECT_EQ(fast_->Info().fingerprint, exact_->Info().fingerprint + "-fast");
}

TEST_F(BlasLibraryTest, WithoutItExactNumericsSaySoAndFastOnesAreRefused) {
  cuda_emulation::SetBlasIsThere(false);
  std::vector<std::string> said;
  const std::unique_ptr<Backend> without =
      CreateLocalCudaBackend({.warn = [&](const std::string& words) {
        said.push_back(words);
      }}).value();
  Operands operands(*without, kManyRows);
  EXPECT_EQ(CallsOf([&] { operands.LinearBackward(), operands.LinearBackward(); }), 0);
  ASSERT_EQ(said.size(), 1);
  EXPECT_NE(said[0].find("cuBLASLt was taken"), std::string::npos) << said[0];
  const absl::Status refused = CreateLocalCudaBackend({.numerics = Numerics::kFast}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("choose exact"), std::string::npos) << refused;
}

}  // namespace
}  // namespace ponder::kernels
