#include "model/dequantise.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/dtype.h"
#include "model/half.h"

namespace ponder {
namespace {

static_assert(std::endian::native == std::endian::little,
              "blocks are copied as they lie in the file");

enum Id : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

constexpr std::array kTypes = {
    GgmlType{kF32, "F32", 1, 4},       GgmlType{kF16, "F16", 1, 2},
    GgmlType{kBF16, "BF16", 1, 2},     GgmlType{kQ8_0, "Q8_0", 32, 34},
    GgmlType{kQ4_0, "Q4_0", 32, 18},   GgmlType{kQ4_1, "Q4_1", 32, 20},
    GgmlType{kQ5_0, "Q5_0", 32, 22},   GgmlType{kQ5_1, "Q5_1", 32, 24},
    GgmlType{kQ4_K, "Q4_K", 256, 144}, GgmlType{kQ5_K, "Q5_K", 256, 176},
    GgmlType{kQ6_K, "Q6_K", 256, 210},
};

template <typename T>
T Load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
float LoadHalf(const uint8_t* from) { return HalfToF32(Load<uint16_t>(from)); }

// ---- blocks of 32 values: half d [, half m] [, 32 high bits], quants ----

void Q8_0(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

// The low nibbles are values 0 ... 15, the high ones 16 ... 31; bit i of `high` is value i's fifth
// bit.
template <typename Finish>
void Nibbles(const uint8_t* quants, uint32_t high, float* out, const Finish& finish) {
  for (int i = 0; i < 16; ++i) {
    out[i] = finish(static_cast<int>(quants[i] & 0xf) | static_cast<int>(high >> i & 1) << 4);
    out[i + 16] =
        finish(static_cast<int>(quants[i] >> 4) | static_cast<int>(high >> (i + 16) & 1) << 4);
  }
}

void Q4_0(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  Nibbles(block + 2, 0, out, [=](int q) { return static_cast<float>(q - 8) * d; });
}

void Q4_1(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  const float m = LoadHalf(block + 2);
  Nibbles(block + 4, 0, out, [=](int q) { return static_cast<float>(q) * d + m; });
}

void Q5_0(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  Nibbles(block + 6, Load<uint32_t>(block + 2), out,
          [=](int q) { return static_cast<float>(q - 16) * d; });
}

void Q5_1(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  const float m = LoadHalf(block + 2);
  Nibbles(block + 8, Load<uint32_t>(block + 4), out,
          [=](int q) { return static_cast<float>(q) * d + m; });
}

// ---- blocks of 256 values: 8 groups of 32 with a 6-bit scale and minimum each (Q6_K: 16 groups of
// 16) ----

struct ScaleAndMinimum {
  uint8_t scale;
  uint8_t minimum;
};

// 12 bytes hold 8 pairs: the first four in the low 6 bits of bytes 0-3 and 4-7, the others with
// their low 4 bits in bytes 8-11 and their upper two in the top bits of bytes 0-7.
ScaleAndMinimum UnpackScale(const uint8_t* packed, int group) {
  if (group < 4) {
    return {static_cast<uint8_t>(packed[group] & 63), static_cast<uint8_t>(packed[group + 4] & 63)};
  }
  const uint8_t low = packed[group + 4];
  return {static_cast<uint8_t>((low & 0xf) | (packed[group - 4] >> 6) << 4),
          static_cast<uint8_t>((low >> 4) | (packed[group] >> 6) << 4)};
}

// half d, half dmin, 12 bytes of scales [, 32 bytes of fifth bits], 128 bytes of nibbles: two
// groups share 32 bytes.
void Q4_Or5_K(const uint8_t* block, const uint8_t* high, const uint8_t* quants, float* out) {
  const float d = LoadHalf(block);
  const float dmin = LoadHalf(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMinimum packed = UnpackScale(block + 4, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float minimum = dmin * static_cast<float>(packed.minimum);
    const uint8_t* nibbles = quants + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      int q = group % 2 == 0 ? nibbles[i] & 0xf : nibbles[i] >> 4;
      if (high != nullptr) q |= (high[i] >> group & 1) << 4;
      out[group * 32 + i] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void Q4_K(const uint8_t* block, float* out) { Q4_Or5_K(block, nullptr, block + 16, out); }
void Q5_K(const uint8_t* block, float* out) { Q4_Or5_K(block, block + 16, block + 48, out); }

// 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, half d. Each half of the
// block: values i, i + 32, i + 64, i + 96 share the byte of bit pairs i.
void Q6_K(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 208);
  for (int value = 0; value < 256; ++value) {
    const int half = value / 128;
    const int quarter = value % 128 / 32;
    const int i = value % 32;
    const uint8_t low = block[half * 64 + quarter % 2 * 32 + i];
    const uint8_t high = block[128 + half * 32 + i];
    const int nibble = quarter < 2 ? low & 0xf : low >> 4;
    const int q = (nibble | (high >> (2 * quarter) & 3) << 4) - 32;
    const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + value / 16]));
    out[value] = scale * static_cast<float>(q);
  }
}

using BlockReader = void (*)(const uint8_t*, float*);

BlockReader ReaderOf(uint32_t id) {
  switch (id) {
    case kF32:
      return [](const uint8_t* block, float* out) { *out = Load<float>(block); };
    case kF16:
      return [](const uint8_t* block, float* out) { *out = LoadHalf(block); };
    case kBF16:
      return [](const uint8_t* block, float* out) {
        *out = kernels::ToF32(kernels::BF16{Load<uint16_t>(block)});
      };
    case kQ8_0:
      return Q8_0;
    case kQ4_0:
      return Q4_0;
    case kQ4_1:
      return Q4_1;
    case kQ5_0:
      return Q5_0;
    case kQ5_1:
      return Q5_1;
    case kQ4_K:
      return Q4_K;
    case kQ5_K:
      return Q5_K;
    case kQ6_K:
      return Q6_K;
    default:
      return nullptr;
  }
}

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [id](const GgmlType& type) { return type.id == id; });
  return found == kTypes.end() ? nullptr : &*found;
}

std::string_view GgmlTypeNames() {
  return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K";
}

void Dequantise(const GgmlType& type, std::string_view data, float* out) {
  const BlockReader read = ReaderOf(type.id);
  PONDER_CHECK(read != nullptr && data.size() % static_cast<size_t>(type.block_bytes) == 0);
  const uint8_t* block = reinterpret_cast<const uint8_t*>(data.data());
  const uint8_t* end = block + data.size();
  for (; block != end; block += type.block_bytes, out += type.block_values) read(block, out);
}

}  // namespace ponder
