#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/safetensors.h"

namespace ponder {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are copied as they lie in memory");

int64_t CountOf(const TensorToWrite& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  return count;
}

// Header with its length before it, padded with blanks so that the data begins at a multiple of 64
// bytes.
std::string MakeHeader(std::span<const TensorToWrite> tensors, kernels::DType stored) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t end = begin + CountOf(tensor) * kernels::SizeOf(stored);
    header[tensor.name] = {{"dtype", stored == kernels::DType::kF32 ? "F32" : "BF16"},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.append((64 - (text.size() + 8) % 64) % 64, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                              kernels::DType stored) {
  PONDER_ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  PONDER_RETURN_IF_ERROR(file.Append(MakeHeader(tensors, stored)));
  std::vector<kernels::BF16> rounded;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t count = CountOf(tensor);
    if (stored == kernels::DType::kF32) {
      PONDER_RETURN_IF_ERROR(file.Append({reinterpret_cast<const char*>(tensor.values),
                                          static_cast<size_t>(count) * sizeof(float)}));
      continue;
    }
    constexpr int64_t kChunk = int64_t{1} << 20;
    for (int64_t begin = 0; begin < count; begin += kChunk) {
      rounded.resize(static_cast<size_t>(std::min(kChunk, count - begin)));
      std::transform(tensor.values + begin, tensor.values + begin + rounded.size(), rounded.begin(),
                     kernels::ToBF16);
      PONDER_RETURN_IF_ERROR(file.Append(
          {reinterpret_cast<const char*>(rounded.data()), rounded.size() * sizeof(kernels::BF16)}));
    }
  }
  return file.Close();
}

absl::Status WriteSafetensorsDirectory(const std::string& directory,
                                       std::span<const TensorToWrite> tensors,
                                       kernels::DType stored, int64_t max_bytes) {
  std::vector<std::vector<TensorToWrite>> shards(1);
  int64_t shard_bytes = 0;
  int64_t all_bytes = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t bytes = CountOf(tensor) * kernels::SizeOf(stored);
    if (shard_bytes + bytes > max_bytes && !shards.back().empty()) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shards.back().push_back(tensor);
    shard_bytes += bytes;
    all_bytes += bytes;
  }
  if (shards.size() == 1) {
    PONDER_RETURN_IF_ERROR(
        WriteSafetensors(directory + "/model.safetensors", shards.front(), stored));
    return SyncDirectory(directory);
  }
  nlohmann::ordered_json index;
  index["metadata"] = {{"total_size", all_bytes}};
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    PONDER_RETURN_IF_ERROR(WriteSafetensors(directory + "/" + name, shards[i], stored));
    for (const TensorToWrite& tensor : shards[i]) index["weight_map"][tensor.name] = name;
  }
  return WriteFileAtomically(directory + "/model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace ponder
