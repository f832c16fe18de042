#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/packed_matrix.h"
#include "tests/reference/kernels_reference.h"

namespace ponder::kernels {
namespace {

// Memory of the device; what goes wrong fails the test.
class CudaBuffer {
 public:
  explicit CudaBuffer(size_t bytes) : bytes_(bytes) {
    EXPECT_EQ(cudaMalloc(&memory_, bytes), cudaSuccess);
  }
  ~CudaBuffer() { cudaFree(memory_); }
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;

  void* Data() const { return memory_; }
  float* F() const { return static_cast<float*>(memory_); }
  void CopyIn(const void* host) {
    EXPECT_EQ(cudaMemcpy(memory_, host, bytes_, cudaMemcpyHostToDevice), cudaSuccess);
  }
  void CopyOut(void* host) const {
    EXPECT_EQ(cudaMemcpy(host, memory_, bytes_, cudaMemcpyDeviceToHost), cudaSuccess);
  }

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

class RmsNormCudaTest : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (cuda::DeviceCount() == 0) GTEST_SKIP() << "no usable GPU";
  }

  std::vector<float> RunNorm(const std::vector<float>& x, const std::vector<float>& weight,
                             int64_t rows) {
    const int64_t width = static_cast<int64_t>(weight.size());
    const int64_t padded = PaddedInputs(width);
    CudaBuffer in(x.size() * sizeof(float));
    CudaBuffer weights(weight.size() * sizeof(float));
    CudaBuffer inverse(rows * sizeof(float));
    CudaBuffer out(rows * padded * SizeOf(GetParam()));
    in.CopyIn(x.data());
    weights.CopyIn(weight.data());
    const int error = cuda::LaunchRmsNorm({.x = in.F(),
                                           .weight = weights.F(),
                                           .y = out.Data(),
                                           .inverse_rms = inverse.F(),
                                           .act = GetParam(),
                                           .epsilon = 1e-5f,
                                           .rows = rows,
                                           .width = width},
                                          nullptr);
    EXPECT_EQ(error, 0) << cuda::ErrorText(error);
    std::vector<char> bytes(rows * padded * SizeOf(GetParam()));
    out.CopyOut(bytes.data());
    std::vector<float> y(rows * padded);
    for (size_t i = 0; i < y.size(); ++i) {
      if (GetParam() == DType::kF32) {
        std::memcpy(&y[i], bytes.data() + i * 4, 4);
      } else {
        BF16 value;
        std::memcpy(&value, bytes.data() + i * 2, 2);
        y[i] = ToF32(value);
      }
    }
    return y;
  }
};

std::vector<float> Normals(int64_t count, uint64_t seed) {
  RandomStream random(MakeRandomKey(seed, "kernel tests"));
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

TEST_P(RmsNormCudaTest, AgreesWithTheTwinAndZeroesThePadding) {
  const std::pair<int64_t, int64_t> sizes[] = {{1, 1}, {3, 5}, {7, 576}, {130, 1000}};
  for (const auto& [rows, width] : sizes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << width);
    const std::vector<float> x = Normals(rows * width, 1);
    const std::vector<float> weight = Normals(width, 2);
    const std::vector<float> found = RunNorm(x, weight, rows);
    const reference::Array expected =
        reference::RmsNorm({x.begin(), x.end()}, {weight.begin(), weight.end()}, 1e-5f, rows);
    // A thread adds width / 256 squares, then come 5 + 8 sums of the tree; halved by the root, and
    // a few more factors.
    const double relative = (static_cast<double>(width) / 512 + 12) / (1 << 24) +
                            (GetParam() == DType::kBF16 ? 1.0 / 256 : 0);
    const int64_t padded = PaddedInputs(width);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < padded; ++i) {
        const double wanted = i < width ? expected[row * width + i] : 0;
        ASSERT_NEAR(found[row * padded + i], wanted, std::abs(wanted) * relative * 1.01 + 1e-30)
            << row << ", " << i;
      }
    }
  }
}

TEST_P(RmsNormCudaTest, ARowHasTheSameBitsAloneAndInABatch) {
  const int64_t width = 700;
  const std::vector<float> x = Normals(20 * width, 1);
  const std::vector<float> weight = Normals(width, 2);
  const std::vector<float> whole = RunNorm(x, weight, 20);
  const int64_t padded = PaddedInputs(width);
  for (int64_t row = 0; row < 20; ++row) {
    const std::vector<float> alone =
        RunNorm({x.begin() + row * width, x.begin() + (row + 1) * width}, weight, 1);
    for (int64_t i = 0; i < padded; ++i) ASSERT_EQ(alone[i], whole[row * padded + i]);
  }
}

TEST_P(RmsNormCudaTest, RefusesBrokenShapes) {
  EXPECT_NE(cuda::LaunchRmsNorm({.rows = -1, .width = 4}, nullptr), 0);
  EXPECT_NE(cuda::LaunchRmsNorm({.rows = 1, .width = 0}, nullptr), 0);
  EXPECT_EQ(cuda::LaunchRmsNorm({.rows = 0, .width = 4}, nullptr), 0);
}

INSTANTIATE_TEST_SUITE_P(Every, RmsNormCudaTest, testing::Values(DType::kF32, DType::kBF16),
                         [](const testing::TestParamInfo<DType>& info) {
                           return std::string(ToString(info.param));
                         });

}  // namespace
}  // namespace ponder::kernels
