#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace ponder {

// The stored types of GGML that are read. Quantised ones lie in blocks, each with scales of its
// own.
struct GgmlType {
  uint32_t id = 0;  // in a GGUF file
  std::string_view name;
  int64_t block_values = 1;
  int64_t block_bytes = 0;
};

// Null for a type that is not read.
const GgmlType* FindGgmlType(uint32_t id);

// "F32, F16, BF16, Q8_0, ...": for messages.
std::string_view GgmlTypeNames();

// Writes all values of whole blocks; bit for bit what GGML's own fp32 reference gives. `data` is a
// multiple of block_bytes.
void Dequantise(const GgmlType& type, std::string_view data, float* out);

}  // namespace ponder
