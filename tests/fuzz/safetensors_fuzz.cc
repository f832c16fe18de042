// Any bytes are a safetensors file whose tensors lie inside them, or an error that names the file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/safetensors.h"
#include "tests/fuzz/fuzz_seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto entries = ParseSafetensors(bytes, "fuzz.safetensors");
  if (!entries.ok()) {
    PONDER_CHECK(std::string(entries.status().message()).starts_with("fuzz.safetensors:"));
    return 0;
  }
  for (const SafetensorsEntry& entry : *entries) {
    PONDER_CHECK(entry.data.data() >= bytes.data() &&
                 entry.data.data() + entry.data.size() <= bytes.data() + bytes.size());
    size_t count = 1;
    for (const int64_t length : entry.shape) count *= static_cast<size_t>(length);
    PONDER_CHECK(count <= bytes.size());
    std::vector<float> values(count);
    (void)DecodeSafetensors(entry, 0, static_cast<int64_t>(count), values.data());
  }
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  const auto file = [](const std::string& header, size_t data_bytes) {
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header +
           std::string(data_bytes, '\x3f');
  };
  return {file(R"({"__metadata__":{"format":"pt"},)"
               R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
               R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})",
               32),
          file(R"({"h":{"dtype":"F16","shape":[],"data_offsets":[0,2]}})", 2), file("{}", 0)};
}
