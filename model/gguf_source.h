#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "model/gguf.h"
#include "model/tensor_source.h"

namespace ponder {

// A GGUF file's tensors under their Hugging Face names. llama.cpp stores the q and k rows of the
// architecture "llama" with the two halves of a head interleaved; Read puts them back.
class GgufSource : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<GgufSource>> Open(const std::string& path);
  // From a parsed file, whose bytes outlive the source.
  static absl::StatusOr<std::unique_ptr<GgufSource>> Create(GgufFile file);

  std::vector<std::string> Names() const override { return names_; }
  bool Has(const std::string& name) const override { return tensors_.contains(name); }
  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const override;
  absl::StatusOr<std::string> StoredType(const std::string& name) const override;
  absl::Status Read(const std::string& name, float* out, int64_t count) const override;

  const GgufFile& File() const { return file_; }

 private:
  struct Place {
    int64_t index = 0;              // into file_.Tensors()
    int64_t interleaved_heads = 0;  // 0: rows are as they should be
  };
  explicit GgufSource(GgufFile file) : file_(std::move(file)) {}
  absl::StatusOr<const Place*> Find(const std::string& name) const;

  std::unique_ptr<MappedFile> mapping_;  // null where the bytes belong to somebody else
  GgufFile file_;
  absl::flat_hash_map<std::string, Place> tensors_;
  std::vector<std::string> names_;
};

// The Hugging Face name of llama.cpp's tensor name; the same name where there is none.
std::string HuggingFaceName(const std::string& gguf_name);

}  // namespace ponder
