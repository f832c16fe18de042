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

// What a test runs on. The same tests are linked with kernel_cases_cpu.cc and kernel_cases_cuda.cc,
// which say what there is.
struct KernelCase {
  CpuIsa isa = CpuIsa::kPortable;  // means nothing on a GPU
  DType dtype = DType::kF32;
};

// Bits must not depend on `threads`: a processor's threads; for an emulated GPU it chooses the
// number of multiprocessors, and with it the size of tiles, and the order of the threads.
std::unique_ptr<Backend> MakeBackend(const KernelCase& tested, int64_t threads = 2);
std::string CaseName(const testing::TestParamInfo<KernelCase>& info);

// Everything that this machine can run.
std::vector<KernelCase> AllCases();
// The kernels of AMX on any machine too; slow, so for what stands on products alone.
std::vector<KernelCase> AllCasesAndEmulatedTiles();

// Whether attention multiplies on matrix units, for which it rounds its operands to bf16.
bool OnTiles(const KernelCase& tested, int64_t head_width);

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
  Buffer(Backend& backend, const void* bytes, int64_t count)
      : backend_(&backend), buffer_(*DeviceBuffer::Create(backend, count)) {
    backend.CopyIn(buffer_.As<void>(), bytes, count);
  }
  Buffer(Backend& backend, const std::vector<float>& values)
      : Buffer(backend, values.data(), static_cast<int64_t>(values.size() * sizeof(float))) {}
  Buffer(Backend& backend, int64_t count, float value = 0)
      : Buffer(backend, std::vector<float>(count, value)) {}
  static Buffer Ints(Backend& backend, const std::vector<int32_t>& values) {
    return Buffer(backend, values.data(), static_cast<int64_t>(values.size() * sizeof(int32_t)));
  }

  template <typename T>
  T* As() const {
    return buffer_.As<T>();
  }
  float* F() const { return buffer_.As<float>(); }
  int32_t* I() const { return buffer_.As<int32_t>(); }
  std::vector<float> Values() const { return Read<float>(); }
  std::vector<int32_t> IntValues() const { return Read<int32_t>(); }
  template <typename T>
  std::vector<T> Read() const {
    std::vector<T> values(buffer_.Bytes() / sizeof(T));
    backend_->CopyOut(values.data(), buffer_.As<void>(), buffer_.Bytes());
    return values;
  }

 private:
  Backend* backend_;
  DeviceBuffer buffer_;
};

// [rows, padded width] of dtype, the padding zero.
class ActBuffer {
 public:
  ActBuffer(Backend& backend, const std::vector<float>& values, int64_t rows, int64_t width,
            DType dtype)
      : rows_(rows),
        width_(width),
        dtype_(dtype),
        buffer_(backend, Stored(values, rows, width, dtype).data(),
                rows * PaddedInputs(width) * SizeOf(dtype)) {}
  ActBuffer(Backend& backend, int64_t rows, int64_t width, DType dtype)
      : ActBuffer(backend, std::vector<float>(rows * width), rows, width, dtype) {}
  // Everything, padding included, becomes a number that a kernel must overwrite.
  void Spoil(Backend& backend) {
    const std::vector<char> bytes(rows_ * PaddedInputs(width_) * SizeOf(dtype_), 0x41);
    backend.CopyIn(Data(), bytes.data(), static_cast<int64_t>(bytes.size()));
  }

  void* Data() const { return buffer_.As<void>(); }
  std::vector<float> Values() const {
    const std::vector<float> all = Padded();
    std::vector<float> values;
    for (int64_t i = 0; i < rows_; ++i) {
      const auto row = all.begin() + i * PaddedInputs(width_);
      values.insert(values.end(), row, row + width_);
    }
    return values;
  }
  void ExpectZeroPadding() const {
    const std::vector<float> all = Padded();
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = width_; j < PaddedInputs(width_); ++j)
        ASSERT_EQ(all[i * PaddedInputs(width_) + j], 0) << "row " << i << ", column " << j;
    }
  }

 private:
  static std::vector<char> Stored(const std::vector<float>& values, int64_t rows, int64_t width,
                                  DType dtype) {
    std::vector<char> bytes(rows * PaddedInputs(width) * SizeOf(dtype));
    for (int64_t i = 0; i < rows * width; ++i) {
      char* const at = bytes.data() + (i / width * PaddedInputs(width) + i % width) * SizeOf(dtype);
      const BF16 rounded = ToBF16(values[i]);
      if (dtype == DType::kF32) std::memcpy(at, &values[i], sizeof(float));
      if (dtype == DType::kBF16) std::memcpy(at, &rounded, sizeof(rounded));
    }
    return bytes;
  }
  std::vector<float> Padded() const {
    if (dtype_ == DType::kF32) return buffer_.Values();
    std::vector<float> values;
    for (const BF16 value : buffer_.Read<BF16>()) values.push_back(ToF32(value));
    return values;
  }

  int64_t rows_, width_;
  DType dtype_;
  Buffer buffer_;
};

// A packed matrix and its memory.
class Weights {
 public:
  Weights(Backend& backend, const std::vector<float>& values, int64_t outputs, int64_t inputs,
          DType dtype)
      : buffer_(*DeviceBuffer::Create(backend, PackedBytes(outputs, inputs, dtype))),
        matrix_{buffer_.As<void>(), dtype, outputs, inputs} {
    backend.Pack(Buffer(backend, values).F(), matrix_);
    backend.Synchronize();
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

// Of a sum of n products in fp32, in any order: each product meets at most n + 2 roundings.
inline Array SumBound(const Array& magnitudes, int64_t n, double input_epsilon) {
  Array bound = magnitudes;
  for (double& b : bound)
    b = b * (static_cast<double>(n + 2) * kEpsilonF32 * 1.01 + input_epsilon) + 1e-30;
  return bound;
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
  Backend& Device() { return *backend_; }
  DType Type() const { return GetParam().dtype; }

 private:
  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam());
};

}  // namespace ponder::kernels
