#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "kernels/backend.h"
#include "tests/reference/kernels_reference.h"

namespace ponder::kernels {

using reference::Array;

// Half the distance from 1 to the next number: the largest relative error of one rounding.
inline constexpr double kEpsilonF32 = 1.0 / (1 << 24);
inline constexpr double kEpsilonBF16 = 1.0 / (1 << 8);
inline double EpsilonOf(DType dtype) { return dtype == DType::kF32 ? kEpsilonF32 : kEpsilonBF16; }

inline std::unique_ptr<Backend> MakeBackend(CpuIsa isa, int64_t threads = 2) {
  auto backend = CreateCpuBackend({.threads = threads, .isa = isa});
  if (!backend.ok()) throw std::runtime_error(std::string(backend.status().message()));
  return *std::move(backend);
}

// Instruction sets that this machine can run.
inline std::vector<CpuIsa> UsableIsas() {
  std::vector<CpuIsa> isas;
  for (const CpuIsa isa :
       {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16, CpuIsa::kAmx}) {
    if (CreateCpuBackend({.threads = 1, .isa = isa}).ok()) isas.push_back(isa);
  }
  return isas;
}

struct KernelCase {
  CpuIsa isa = CpuIsa::kPortable;
  DType dtype = DType::kF32;
};

inline std::vector<KernelCase> AllCases() {
  std::vector<KernelCase> cases;
  for (const CpuIsa isa : UsableIsas()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) cases.push_back({isa, dtype});
  }
  return cases;
}

// The kernels of AMX on any machine too; slow, so for what stands on products alone.
inline std::vector<KernelCase> AllCasesAndEmulatedTiles() {
  std::vector<KernelCase> cases = AllCases();
  cases.push_back({CpuIsa::kAmxEmulated, DType::kBF16});
  return cases;
}

inline std::string CaseName(const testing::TestParamInfo<KernelCase>& info) {
  return MakeBackend(info.param.isa, 1)->Info().isa + "_" + std::string(ToString(info.param.dtype));
}

// Standard normal numbers times `scale`.
inline std::vector<float> Normals(int64_t count, uint64_t seed, double scale = 1) {
  RandomStream random(MakeRandomKey(seed, "kernel tests"));
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Normal() * scale);
  return values;
}

inline float Rounded(float value, DType dtype) {
  return dtype == DType::kF32 ? value : ToF32(ToBF16(value));
}

inline std::vector<float> Rounded(std::vector<float> values, DType dtype) {
  for (float& value : values) value = Rounded(value, dtype);
  return values;
}

inline Array Widened(const std::vector<float>& values) {
  return Array(values.begin(), values.end());
}

inline Array Absolutes(Array values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

// Memory of the backend, filled.
class Buffer {
 public:
  Buffer(Backend& backend, const std::vector<float>& values)
      : buffer_(
            *DeviceBuffer::Create(backend, static_cast<int64_t>(values.size() * sizeof(float)))),
        count_(static_cast<int64_t>(values.size())) {
    backend.CopyIn(buffer_.As<float>(), values.data(), buffer_.Bytes());
  }
  Buffer(Backend& backend, int64_t count, float value = 0)
      : Buffer(backend, std::vector<float>(count, value)) {}
  static Buffer Ints(Backend& backend, const std::vector<int32_t>& values) {
    Buffer buffer(backend, static_cast<int64_t>(values.size()));
    backend.CopyIn(buffer.buffer_.As<void>(), values.data(), buffer.buffer_.Bytes());
    return buffer;
  }

  float* F() const { return buffer_.As<float>(); }
  int32_t* I() const { return buffer_.As<int32_t>(); }
  std::vector<float> Values() const { return std::vector<float>(F(), F() + count_); }

 private:
  DeviceBuffer buffer_;
  int64_t count_ = 0;
};

// [rows, padded width] of dtype.
class ActBuffer {
 public:
  ActBuffer(Backend& backend, int64_t rows, int64_t width, DType dtype)
      : buffer_(*DeviceBuffer::Create(backend, rows * PaddedInputs(width) * SizeOf(dtype))),
        rows_(rows),
        width_(width),
        dtype_(dtype) {}
  ActBuffer(Backend& backend, const std::vector<float>& values, int64_t rows, int64_t width,
            DType dtype)
      : ActBuffer(backend, rows, width, dtype) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < width; ++j) Set(i, j, values[i * width + j]);
    }
  }
  // Everything, padding included, becomes a number that a kernel must overwrite.
  void Spoil() { std::memset(buffer_.As<void>(), 0x41, buffer_.Bytes()); }

  void* Data() const { return buffer_.As<void>(); }
  float Get(int64_t i, int64_t j) const {
    const int64_t at = i * PaddedInputs(width_) + j;
    return dtype_ == DType::kF32 ? buffer_.As<float>()[at] : ToF32(buffer_.As<BF16>()[at]);
  }
  void Set(int64_t i, int64_t j, float value) {
    const int64_t at = i * PaddedInputs(width_) + j;
    if (dtype_ == DType::kF32) {
      buffer_.As<float>()[at] = value;
    } else {
      buffer_.As<BF16>()[at] = ToBF16(value);
    }
  }
  std::vector<float> Values() const {
    std::vector<float> values(rows_ * width_);
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < width_; ++j) values[i * width_ + j] = Get(i, j);
    }
    return values;
  }
  void ExpectZeroPadding() const {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = width_; j < PaddedInputs(width_); ++j)
        ASSERT_EQ(Get(i, j), 0) << "row " << i << ", column " << j;
    }
  }

 private:
  DeviceBuffer buffer_;
  int64_t rows_, width_;
  DType dtype_;
};

// A packed matrix and its memory.
class Weights {
 public:
  Weights(Backend& backend, const std::vector<float>& values, int64_t outputs, int64_t inputs,
          DType dtype)
      : buffer_(*DeviceBuffer::Create(backend, PackedBytes(outputs, inputs, dtype))),
        matrix_{buffer_.As<void>(), dtype, outputs, inputs} {
    backend.Pack(values.data(), matrix_);
  }
  const PackedMatrix& Matrix() const { return matrix_; }

 private:
  DeviceBuffer buffer_;
  PackedMatrix matrix_;
};

// |found - expected| <= bound[i] for all i.
inline void ExpectNear(const std::vector<float>& found, const Array& expected, const Array& bound) {
  ASSERT_EQ(found.size(), expected.size());
  ASSERT_EQ(found.size(), bound.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_LE(std::abs(found[i] - expected[i]), bound[i])
        << "element " << i << ": " << found[i] << " for " << expected[i];
  }
}

inline void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(a[i]), std::bit_cast<uint32_t>(b[i]))
        << "element " << i << ": " << a[i] << ", " << b[i];
  }
}

class KernelTest : public testing::TestWithParam<KernelCase> {
 protected:
  Backend& Cpu() { return *backend_; }
  DType Type() const { return GetParam().dtype; }

 private:
  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam().isa);
};

}  // namespace ponder::kernels
