#include <gtest/gtest.h>

#include "tests/kernels/product_operands.h"

// Fast numerics, whose products are cuBLASLt's: on every device that has it.
namespace ponder::kernels {
namespace {

class FastNumericsTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Backend>> fast =
        CreateLocalCudaBackend({.numerics = Numerics::kFast});
    if (!fast.ok()) GTEST_SKIP() << "did not run: " << fast.status().message();
    fast_ = *std::move(fast);
  }

  std::unique_ptr<Backend> fast_;
};

TEST_F(FastNumericsTest, LinearAgreesWithTheTwin) {
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
}

TEST_F(FastNumericsTest, GateUpIsSwiGluOfWhatItKeeps) {
  Operands operands(*fast_, kManyRows);
  ActBuffer kept(*fast_, kManyRows, kOutputs, DType::kBF16);
  const ActBuffer y = operands.GateUp(&kept);
  const Array x = Widened(operands.x_values), w = Widened(operands.w_values);
  ExpectNear(
      kept.Values(), reference::Linear(x, w, {}, kManyRows, kOutputs, kInputs),
      SumBound(reference::Linear(Absolutes(x), Absolutes(w), {}, kManyRows, kOutputs, kInputs),
               kInputs, kEpsilonBF16));
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

TEST_F(FastNumericsTest, CanBeRecorded) {
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

TEST_F(FastNumericsTest, GiveTheSameBitsForTheSameBatch) {
  Operands operands(*fast_, kManyRows);
  ExpectSameBits(operands.Linear(), operands.Linear());
  const std::vector<float> first = operands.LinearBackward();
  ExpectSameBits(first, operands.LinearBackward());
  const std::unique_ptr<Backend> another =
      CreateLocalCudaBackend({.numerics = Numerics::kFast}).value();
  ExpectSameBits(first, Operands(*another, kManyRows).LinearBackward());
}

TEST_F(FastNumericsTest, HaveAFingerprintOfTheirOwn) {
  EXPECT_EQ(fast_->Info().fingerprint,
            CreateLocalCudaBackend({}).value()->Info().fingerprint + "-fast");
}

}  // namespace
}  // namespace ponder::kernels
