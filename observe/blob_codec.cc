#include "observe/blob_codec.h"

#include <zstd.h>

#include <memory>

#include "base/check.h"

namespace ponder {
namespace {

// zstd's own default: ids shrink to a third and writing a step stays a matter of milliseconds.
constexpr int kLevel = 3;

// In front of a frame of planes; no zstd frame begins with it.
constexpr char kPlanes = 'P';

// A context takes longer to make than a short array to compress or decompress.
struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* Compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  return context.get();
}

// Compresses `bytes` behind `prefix`.
std::string Compress(std::string_view bytes, std::string_view prefix) {
  std::string out(prefix);
  out.resize(prefix.size() + ZSTD_compressBound(bytes.size()));
  const size_t size =
      ZSTD_compressCCtx(Compressor(), out.data() + prefix.size(), out.size() - prefix.size(),
                        bytes.data(), bytes.size(), kLevel);
  PONDER_CHECK(!ZSTD_isError(size), ZSTD_getErrorName(size));
  out.resize(prefix.size() + size);
  return out;
}

}  // namespace

std::string CompressBlob(std::string_view bytes) { return Compress(bytes, ""); }

std::string CompressPlanes(std::string_view bytes, size_t width) {
  PONDER_CHECK(bytes.size() % width == 0);
  const size_t count = bytes.size() / width;
  std::string planes(bytes.size(), '\0');
  for (size_t i = 0; i < count; ++i) {
    for (size_t b = 0; b < width; ++b) planes[b * count + i] = bytes[i * width + b];
  }
  return Compress(planes, {&kPlanes, 1});
}

absl::StatusOr<std::string> DecompressPlanes(std::string_view blob, uint64_t expected_bytes,
                                             size_t width) {
  if (blob.empty() || blob.front() != kPlanes) return DecompressBlob(blob, expected_bytes);
  PONDER_ASSIGN_OR_RETURN(const std::string planes, DecompressBlob(blob.substr(1), expected_bytes));
  PONDER_CHECK(planes.size() % width == 0);
  const size_t count = planes.size() / width;
  std::string bytes(planes.size(), '\0');
  for (size_t i = 0; i < count; ++i) {
    for (size_t b = 0; b < width; ++b) bytes[i * width + b] = planes[b * count + i];
  }
  return bytes;
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
  const size_t size =
      ZSTD_decompressDCtx(Decompressor(), out.data(), out.size(), blob.data(), blob.size());
  if (ZSTD_isError(size)) return DataLoss("broken zstd frame: {}", ZSTD_getErrorName(size));
  if (size != expected_bytes) {
    return DataLoss("expected an array of {} bytes, found {}", expected_bytes, size);
  }
  return out;
}

}  // namespace ponder
