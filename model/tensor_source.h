#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

// A checkpoint's tensors by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight"),
// whatever file they are in. Thread-safe for reading.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual std::vector<std::string> Names() const = 0;
  virtual bool Has(const std::string& name) const = 0;
  // NOT_FOUND with the nearest known name where there is none.
  virtual absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const = 0;
  // "F32", "BF16", "F16", "Q4_1", ...
  virtual absl::StatusOr<std::string> StoredType(const std::string& name) const = 0;
  // Writes the row-major fp32 values; `count` must be the shape's product.
  virtual absl::Status Read(const std::string& name, float* out, int64_t count) const = 0;
  // Elements [begin, begin + count) of them, a range inside the shape's product. The default reads
  // the whole tensor each time.
  virtual absl::Status ReadPart(const std::string& name, int64_t begin, int64_t count,
                                float* out) const;
};

// DIR/model.safetensors or the shards of DIR/model.safetensors.index.json (F32, F16, BF16). Headers
// are untrusted: offsets, overlaps, sizes and names are checked; a truncated file is an error that
// says how many bytes are missing.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenSafetensors(const std::string& directory);

// A GGUF file (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K), names and the q/k
// row order mapped to Hugging Face's. Untrusted likewise.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenGguf(const std::string& path);

}  // namespace ponder
