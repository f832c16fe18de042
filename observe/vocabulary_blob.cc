#include "observe/vocabulary_blob.h"

#include <bit>
#include <cstring>

namespace ponder {

static_assert(std::endian::native == std::endian::little);

std::string EncodeVocabulary(const std::vector<std::string>& pieces) {
  std::string bytes;
  for (const std::string& piece : pieces) {
    const auto size = static_cast<uint32_t>(piece.size());
    bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes += piece;
  }
  return bytes;
}

absl::StatusOr<std::vector<std::string>> DecodeVocabulary(std::string_view bytes) {
  std::vector<std::string> pieces;
  while (!bytes.empty()) {
    uint32_t size = 0;
    if (bytes.size() < sizeof(size)) return DataLoss("the vocabulary ends within a length");
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes.remove_prefix(sizeof(size));
    if (bytes.size() < size) {
      return DataLoss("text {} of the vocabulary has {} bytes, {} are left", pieces.size(), size,
                      bytes.size());
    }
    pieces.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return pieces;
}

}  // namespace ponder
