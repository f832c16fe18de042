#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ponder {

// Writes small GGUF files for tests, field by field as llama.cpp's specification has them.
class GgufBuilder {
 public:
  template <typename T>
  static std::string Raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }
  static std::string Text(std::string_view text) {
    return Raw<uint64_t>(text.size()) + std::string(text);
  }
  template <typename T>
  static std::string Floats(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

  void Uint32(std::string_view key, uint32_t value) { Key(key, 4, Raw(value)); }
  void Float(std::string_view key, float value) { Key(key, 6, Raw(value)); }
  void Bool(std::string_view key, bool value) { Key(key, 7, Raw<uint8_t>(value)); }
  void String(std::string_view key, std::string_view value) { Key(key, 8, Text(value)); }
  void Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = Raw<uint32_t>(8) + Raw<uint64_t>(values.size());
    for (const std::string& value : values) bytes += Text(value);
    Key(key, 9, bytes);
  }
  void Ints(std::string_view key, const std::vector<int32_t>& values) {
    Key(key, 9, Raw<uint32_t>(5) + Raw<uint64_t>(values.size()) + Floats(values));
  }
  void Key(std::string_view key, uint32_t type, const std::string& value) {
    keys_.emplace_back(key, Raw(type) + value);
  }

  // `sizes` as in the file: the fastest-running one first.
  void Tensor(std::string_view name, const std::vector<uint64_t>& sizes, uint32_t type,
              const std::string& data) {
    Tensor(name, sizes, type, data, data_.size());
    data_ += data;
    data_.resize((data_.size() + 31) / 32 * 32);
  }
  // With an offset of one's own and no data.
  void Tensor(std::string_view name, const std::vector<uint64_t>& sizes, uint32_t type,
              const std::string&, uint64_t offset) {
    std::string description = Text(name) + Raw(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) description += Raw(size);
    tensors_.push_back(description + Raw(type) + Raw(offset));
  }

  void Drop(std::string_view key) {
    std::erase_if(keys_, [key](const auto& entry) { return entry.first == key; });
  }

  std::string Build(uint32_t version = 3) const {
    std::string bytes =
        "GGUF" + Raw(version) + Raw<uint64_t>(tensors_.size()) + Raw<uint64_t>(keys_.size());
    for (const auto& [key, value] : keys_) bytes += Text(key) + value;
    for (const std::string& tensor : tensors_) bytes += tensor;
    bytes.resize((bytes.size() + 31) / 32 * 32);
    return bytes + data_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> keys_;
  std::vector<std::string> tensors_;
  std::string data_;
};

}  // namespace ponder
