#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/dtype.h"

namespace ponder {

// The file format of Hugging Face's `safetensors`: 8 bytes little-endian length, a JSON header with
// name -> {dtype, shape, data_offsets}, then the tensors' bytes without gaps.

struct SafetensorsEntry {
  std::string name;
  std::string dtype;           // "F32", "BF16", ... one that the format knows
  std::vector<int64_t> shape;  // its product times the type's size is data.size()
  std::string_view data;       // inside the parsed bytes
};

// The tensors of a file's bytes, in order of their place. `path` is for messages. The bytes are
// untrusted: lengths, offsets, overlaps, gaps, sizes and names are checked.
absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(std::string_view bytes,
                                                               const std::string& path);

// fp32 values of elements [begin, begin + count) of a stored F32, F16 or BF16 tensor; the range
// lies inside the shape's product. UNIMPLEMENTED-like INVALID_ARGUMENT for other types.
absl::Status DecodeSafetensors(const SafetensorsEntry& entry, int64_t begin, int64_t count,
                               float* out);

struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  const float* values = nullptr;  // row-major, shape's product of them
};

// Writes one file in the given stored type (bf16 rounds to nearest even) and syncs it.
absl::Status WriteSafetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                              kernels::DType stored);

// model.safetensors, or where that would be larger than `max_bytes` of tensors,
// model-00001-of-0000N.safetensors and so on with their index. Every file and the folder are
// synced.
absl::Status WriteSafetensorsDirectory(const std::string& directory,
                                       std::span<const TensorToWrite> tensors,
                                       kernels::DType stored, int64_t max_bytes);

}  // namespace ponder
