#include "app/bench_limits.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"

namespace ponder {
namespace {

// D 8, L 2, H 4, K 2, E 2, F 16, V 10, tied. Worked by hand: a layer's matrices have qkv 16 x 8 =
// 128, output 8 x 8 = 64, gate and up 32 x 8 = 256, down 8 x 16 = 128: 576 numbers.
class BenchLimitsTest : public testing::Test {
 protected:
  BenchLimitsTest() {
    const ModelConfig config = {.width = 8,
                                .layers = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_width = 2,
                                .ffn_width = 16,
                                .vocabulary = 10,
                                .max_positions = 64,
                                .tied_embeddings = true};
    backend_ = *kernels::CreateCpuBackend({.threads = 1});
    const auto weights = *Weights::Create(*backend_, config, kernels::DType::kBF16);
    work_ = ModelWork::Of(*weights);
  }

  std::unique_ptr<kernels::Backend> backend_;
  ModelWork work_;
};

TEST_F(BenchLimitsTest, CountsTheModel) {
  EXPECT_EQ(work_.layer_parameters, 2 * 576);
  EXPECT_EQ(work_.head_parameters, 80);
  EXPECT_EQ(work_.key_value_bytes, 2 * 2 * 2 * 2 * 2);  // K and V, L, K, E, bytes
  EXPECT_EQ(work_.attention_operations, 4 * 2 * 4 * 2);
  EXPECT_EQ(work_.parameters, 2 * 576 + 80 + 5 * 8);  // with the norms
}

TEST_F(BenchLimitsTest, ADecodingStepReadsWeightsAndCacheOnce) {
  const Work work = work_.Decode(3, 5);
  EXPECT_EQ(work.bytes, (1152 + 80) * 2 + 3 * 5 * 32);
  EXPECT_EQ(work.operations, 3 * (2 * (1152 + 80) + 5 * 64));
}

TEST_F(BenchLimitsTest, PrefillRunsTheHeadOnceAPrompt) {
  const Work work = work_.Prefill(2, 4, 1);
  EXPECT_EQ(work.bytes, (1152 + 80) * 2);
  EXPECT_EQ(work.operations, 2 * (2 * 4 * 1152 + 2 * 80 + 10 * 64));
}

TEST_F(BenchLimitsTest, TrainingCountsSixOperationsAParameterAndThriceTheAttention) {
  EXPECT_EQ(work_.Train(10, 7, 20).operations, 6 * 10 * 1152 + 6 * 7 * 80 + 3 * 20 * 64);
  EXPECT_EQ(work_.Update().bytes, 1272 * 30.0);
}

TEST_F(BenchLimitsTest, TheSlowerOfBothSidesIsTheLimit) {
  EXPECT_EQ(LimitSeconds({.bytes = 10, .operations = 6}, {.read_bytes = 5, .operations = 2}), 3);
  EXPECT_EQ(LimitSeconds({.bytes = 20, .operations = 6}, {.read_bytes = 5, .operations = 2}), 4);
}

}  // namespace
}  // namespace ponder
