#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/status.h"

namespace ponder {

// Arrays as the run store keeps them: the elements in little-endian order, zstd-compressed with the
// size in the frame. An empty array is an empty blob.

std::string CompressBlob(std::string_view bytes);

// A wrong length or a broken frame is DATA_LOSS; never takes more memory than `expected_bytes`.
absl::StatusOr<std::string> DecompressBlob(std::string_view blob, uint64_t expected_bytes);

template <typename T>
std::string EncodeBlob(std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
  if (values.empty()) return "";
  return CompressBlob({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

// Exactly `count` elements (not negative), or none where the blob is empty.
template <typename T>
absl::StatusOr<std::vector<T>> DecodeBlob(std::string_view blob, int64_t count) {
  static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
  std::vector<T> values;
  if (blob.empty()) return values;
  PONDER_ASSIGN_OR_RETURN(const std::string bytes,
                          DecompressBlob(blob, static_cast<uint64_t>(count) * sizeof(T)));
  if (bytes.empty()) return values;
  values.resize(static_cast<size_t>(count));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace ponder
