#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/records.h"
#include "observe/blob_codec.h"
#include "tests/fuzz/fuzz_seeds.h"

namespace {

template <typename T>
void Decode(std::string_view blob, int64_t count) {
  const auto values = ponder::DecodeBlob<T>(blob, count);
  if (!values.ok()) return;
  PONDER_CHECK(values->empty() || static_cast<int64_t>(values->size()) == count);
  // What was read can be written and read again.
  const auto again = ponder::DecodeBlob<T>(ponder::EncodeBlob<T>(*values), count);
  PONDER_CHECK(again.ok() && again->size() == values->size());
  PONDER_CHECK(values->empty() ||
               std::memcmp(again->data(), values->data(), values->size() * sizeof(T)) == 0);
}

}  // namespace

// Blobs of a run store that comes from anywhere; the first three bytes say how many elements the
// row claims.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const int64_t count = data[0] | data[1] << 8 | data[2] << 16;
  const std::string_view blob(reinterpret_cast<const char*>(data) + 3, size - 3);
  Decode<int32_t>(blob, count);
  Decode<uint8_t>(blob, count);
  Decode<float>(blob, count);
  Decode<ponder::VersionSpan>(blob, count);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const int count : {1, 5, 200}) {
    std::vector<int32_t> ids;
    for (int i = 0; i < count; ++i) ids.push_back(i * 7919);
    const std::string blob = ponder::EncodeBlob<int32_t>(ids);
    for (const int claimed : {count, 4 * count}) {
      seeds.push_back({static_cast<char>(claimed), static_cast<char>(claimed >> 8), '\0'});
      seeds.back() += blob;
    }
  }
  return seeds;
}
