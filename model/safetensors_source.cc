#include <absl/container/flat_hash_map.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "model/json_text.h"
#include "model/safetensors.h"
#include "model/tensor_names.h"
#include "model/tensor_source.h"

namespace ponder {
namespace {

constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;

class SafetensorsSource : public TensorSource {
 public:
  explicit SafetensorsSource(std::string directory) : directory_(std::move(directory)) {}

  absl::Status AddFile(const std::string& path) {
    PONDER_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    PONDER_ASSIGN_OR_RETURN(std::vector<SafetensorsEntry> entries,
                            ParseSafetensors(file.Bytes(), path));
    for (SafetensorsEntry& entry : entries) {
      const std::string name = entry.name;
      if (!entries_.emplace(name, std::move(entry)).second) {
        return InvalidArgument("{}: tensor {} is in another shard as well", path, name);
      }
      names_.push_back(name);
    }
    files_.push_back(std::move(file));
    return absl::OkStatus();
  }

  std::vector<std::string> Names() const override { return names_; }
  bool Has(const std::string& name) const override { return entries_.contains(name); }

  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const override {
    PONDER_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, Find(name));
    return entry->shape;
  }

  absl::StatusOr<std::string> StoredType(const std::string& name) const override {
    PONDER_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, Find(name));
    return entry->dtype;
  }

  absl::Status Read(const std::string& name, float* out, int64_t count) const override {
    PONDER_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, Find(name));
    int64_t found = 1;
    for (const int64_t size : entry->shape) found *= size;
    if (count != found) {
      return InvalidArgument("tensor {}: expected {} values, found {}", name, count, found);
    }
    return DecodeSafetensors(*entry, 0, count, out);
  }

  absl::Status ReadPart(const std::string& name, int64_t begin, int64_t count,
                        float* out) const override {
    PONDER_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, Find(name));
    return DecodeSafetensors(*entry, begin, count, out);
  }

 private:
  absl::StatusOr<const SafetensorsEntry*> Find(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return NoSuchTensor(name, names_, directory_);
    return &found->second;
  }

  std::string directory_;
  std::vector<MappedFile> files_;
  absl::flat_hash_map<std::string, SafetensorsEntry> entries_;  // their data lie in files_
  std::vector<std::string> names_;
};

absl::Status AddShards(const std::string& directory, const std::string& index_path,
                       SafetensorsSource& source) {
  PONDER_ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path, kMaxIndexBytes));
  PONDER_ASSIGN_OR_RETURN(const nlohmann::json index, ParseJsonText(text, index_path));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return InvalidArgument(
        "{}: expected an object with the key weight_map (tensor name to file name)", index_path);
  }
  std::set<std::string> shards;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string()) {
      return InvalidArgument("{}: {}: expected a file name", index_path, name);
    }
    // A name, never a path: an index must not reach out of its folder.
    const std::string shard = file.get<std::string>();
    if (shard.empty() || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos || shard == "." || shard == "..") {
      return InvalidArgument("{}: {}: expected the name of a file beside the index, found \"{}\"",
                             index_path, name, shard);
    }
    shards.insert(shard);
  }
  if (shards.empty()) return InvalidArgument("{}: weight_map names no file", index_path);
  for (const std::string& shard : shards) {
    if (!std::filesystem::exists(directory + "/" + shard)) {
      return NotFound("{}: expected the shard {} beside it, found none; fetch the model again",
                      index_path, shard);
    }
    PONDER_RETURN_IF_ERROR(source.AddFile(directory + "/" + shard));
  }
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!source.Has(name)) {
      return InvalidArgument("{}: expected tensor {} in {}, found none there", index_path, name,
                             file.get<std::string>());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> OpenSafetensors(const std::string& directory) {
  auto source = std::make_unique<SafetensorsSource>(directory);
  const std::string single = directory + "/model.safetensors";
  const std::string index = directory + "/model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    PONDER_RETURN_IF_ERROR(source->AddFile(single));
  } else if (std::filesystem::exists(index)) {
    PONDER_RETURN_IF_ERROR(AddShards(directory, index, *source));
  } else {
    return NotFound(
        "expected model.safetensors or model.safetensors.index.json in {}, found neither",
        directory);
  }
  return source;
}

}  // namespace ponder
