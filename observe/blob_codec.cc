#include "observe/blob_codec.h"

#include <zstd.h>

#include "base/check.h"

namespace ponder {
namespace {

// zstd's own default: ids shrink to a third and writing a step stays a matter of milliseconds.
constexpr int kLevel = 3;

}  // namespace

std::string CompressBlob(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kLevel);
  PONDER_CHECK(!ZSTD_isError(size), ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

absl::StatusOr<std::string> DecompressBlob(std::string_view blob, uint64_t expected_bytes) {
  const unsigned long long stated = ZSTD_getFrameContentSize(blob.data(), blob.size());
  if (stated == ZSTD_CONTENTSIZE_ERROR || stated == ZSTD_CONTENTSIZE_UNKNOWN) {
    return DataLoss("expected a zstd frame with its size, found {} other bytes", blob.size());
  }
  if (stated != expected_bytes) {
    return DataLoss("expected an array of {} bytes, found one of {}", expected_bytes, stated);
  }
  std::string out(expected_bytes, '\0');
  const size_t size = ZSTD_decompress(out.data(), out.size(), blob.data(), blob.size());
  if (ZSTD_isError(size)) return DataLoss("broken zstd frame: {}", ZSTD_getErrorName(size));
  if (size != expected_bytes) {
    return DataLoss("expected an array of {} bytes, found {}", expected_bytes, size);
  }
  return out;
}

}  // namespace ponder
