#include <cublasLt.h>
#include <gtest/gtest.h>

#include "tests/kernels/product_operands.h"

// Which products go through cuBLASLt, on the emulated device, whose cuBLASLt sums in an order of
// its own. That they are right, with it as without, is tested where the other kernels are and in
// fast_numerics_test.cc.
namespace ponder::kernels {
namespace {

std::unique_ptr<Backend> Make(Numerics numerics) {
  return CreateLocalCudaBackend({.numerics = numerics}).value();
}

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
  EXPECT_NE(many.Linear(), Operands(*exact_, kManyRows).Linear());
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
