#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "model/dequantise.h"

namespace ponder {

// The file format of llama.cpp (versions 2 and 3, little-endian): magic, counts, typed key/value
// pairs, tensor descriptions, aligned data.

// An array's elements: strings, or whole numbers; arrays of floats are stepped over and left empty.
struct GgufArray {
  std::vector<std::string_view> strings;
  std::vector<int64_t> integers;
};

// fp32 stays fp32, so that 1e-5 can be written as 1e-5 again.
using GgufValue = std::variant<bool, int64_t, uint64_t, float, double, std::string_view, GgufArray>;

struct GgufTensor {
  std::string name;            // llama.cpp's name: "blk.0.attn_q.weight"
  std::vector<int64_t> shape;  // row-major, outermost first (the file has it the other way round)
  const GgmlType* type = nullptr;
  std::string_view data;  // whole blocks for all values of the shape

  int64_t Count() const;
};

// A parsed file; everything points into its bytes.
class GgufFile {
 public:
  // The bytes are untrusted: every count, length, offset and size is checked against them. `path`
  // is for messages.
  static absl::StatusOr<GgufFile> Parse(std::string_view bytes, const std::string& path);

  const std::vector<GgufTensor>& Tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;  // null where there is none
  const std::map<std::string, GgufValue, std::less<>>& Metadata() const { return metadata_; }
  const std::string& Path() const { return path_; }

  // Values by key, of the type asked for; without a fallback a missing key is an error.
  bool Has(std::string_view key) const { return metadata_.contains(key); }
  absl::StatusOr<int64_t> Integer(std::string_view key,
                                  std::optional<int64_t> fallback = std::nullopt) const;
  absl::StatusOr<float> Number(std::string_view key,
                               std::optional<float> fallback = std::nullopt) const;
  absl::StatusOr<bool> Bool(std::string_view key,
                            std::optional<bool> fallback = std::nullopt) const;
  absl::StatusOr<std::string> String(std::string_view key,
                                     std::optional<std::string> fallback = std::nullopt) const;
  absl::StatusOr<const std::vector<std::string_view>*> Strings(std::string_view key) const;
  absl::StatusOr<const std::vector<int64_t>*> Integers(std::string_view key) const;

 private:
  std::string path_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace ponder
