// Any bytes are the header of the segment that is expected, or an error that says so.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "rollout/service/weight_segment.h"
#include "tests/fuzz/fuzz_seeds.h"

namespace {
constexpr uint64_t kLayout = 0x123456789;
constexpr int64_t kBytes = 4096;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view page(reinterpret_cast<const char*>(data), size);
  const absl::Status status = CheckSegmentHeader(page, kLayout, kBytes);
  const std::string expected = FuzzSeeds().front().substr(0, offsetof(SegmentHeader, sequence));
  PONDER_CHECK(status.ok() ==
               (size >= sizeof(SegmentHeader) && page.substr(0, expected.size()) == expected));
  if (!status.ok()) PONDER_CHECK(std::string(status.message()).starts_with("shared weights:"));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  ponder::SegmentHeader header;
  header.layout = kLayout;
  header.bytes = kBytes;
  std::string page(sizeof(header), '\0');
  std::memcpy(page.data(), static_cast<const void*>(&header), sizeof(header));
  return {page, page.substr(0, 8)};
}
