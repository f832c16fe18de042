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
// size in the frame. Arrays of four-byte elements have a letter in front and their bytes in planes
// (all lowest ones first, then the next): signs and exponents lie together and shrink, the lowest
// bits of log-probs are noise. An empty array is an empty blob.

std::string CompressBlob(std::string_view bytes);

// A wrong length or a broken frame is DATA_LOSS; never takes more memory than `expected_bytes`.
absl::StatusOr<std::string> DecompressBlob(std::string_view blob, uint64_t expected_bytes);

// The same for whole elements of `width` bytes, in planes.
std::string CompressPlanes(std::string_view bytes, size_t width);
// Also takes what CompressBlob made.
absl::StatusOr<std::string> DecompressPlanes(std::string_view blob, uint64_t expected_bytes,
                                             size_t width);

template <typename T>
std::string EncodeBlob(std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
  if (values.empty()) return "";
  const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return sizeof(T) == 4 ? CompressPlanes(bytes, sizeof(T)) : CompressBlob(bytes);
}

// Exactly `count` elements (not negative), or none where the blob is empty.
template <typename T>
absl::StatusOr<std::vector<T>> DecodeBlob(std::string_view blob, int64_t count) {
  static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
  std::vector<T> values;
  if (blob.empty()) return values;
  const uint64_t size = static_cast<uint64_t>(count) * sizeof(T);
  PONDER_ASSIGN_OR_RETURN(const std::string bytes, sizeof(T) == 4
                                                       ? DecompressPlanes(blob, size, sizeof(T))
                                                       : DecompressBlob(blob, size));
  if (bytes.empty()) return values;
  values.resize(static_cast<size_t>(count));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace ponder
