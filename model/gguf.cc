#include "model/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "model/tensor_names.h"

namespace ponder {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied as they lie in the file");

constexpr size_t kMaxKeyBytes = 65535;
constexpr size_t kMaxTensorNameBytes = 1024;
constexpr uint32_t kMaxRank = 4;
constexpr int64_t kMaxAlignment = 65536;
constexpr int64_t kDefaultAlignment = 32;

enum class ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Bytes of one value; a string has at least its length.
int64_t LeastBytes(ValueType type) {
  switch (type) {
    case ValueType::kUint8:
    case ValueType::kInt8:
    case ValueType::kBool:
      return 1;
    case ValueType::kUint16:
    case ValueType::kInt16:
      return 2;
    case ValueType::kUint32:
    case ValueType::kInt32:
    case ValueType::kFloat32:
      return 4;
    default:
      return 8;
  }
}

// Reads forward through the bytes and never past them.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  size_t Position() const { return position_; }
  size_t Left() const { return bytes_.size() - position_; }

  absl::StatusOr<std::string_view> Take(uint64_t count, std::string_view what) {
    if (count > Left()) {
      return DataLoss("{}: truncated: expected {} bytes of {} at byte {}, found {}", path_, count,
                      what, position_, Left());
    }
    const std::string_view taken = bytes_.substr(position_, count);
    position_ += count;
    return taken;
  }

  template <typename T>
  absl::StatusOr<T> Number(std::string_view what) {
    PONDER_ASSIGN_OR_RETURN(const std::string_view taken, Take(sizeof(T), what));
    T value;
    std::memcpy(&value, taken.data(), sizeof(T));
    return value;
  }

  absl::StatusOr<std::string_view> String(std::string_view what, uint64_t max_bytes) {
    PONDER_ASSIGN_OR_RETURN(const uint64_t length, Number<uint64_t>(what));
    if (length > max_bytes && max_bytes <= Left()) {
      return InvalidArgument("{}: expected {} of at most {} bytes, found a length of {} at byte {}",
                             path_, what, max_bytes, length, position_);
    }
    return Take(length, what);
  }

  // A count of things that take at least `least_bytes` each: what follows must be able to hold
  // them.
  absl::StatusOr<int64_t> Count(std::string_view what, int64_t least_bytes) {
    PONDER_ASSIGN_OR_RETURN(const uint64_t count, Number<uint64_t>(what));
    if (count > Left() / static_cast<uint64_t>(least_bytes)) {
      return DataLoss("{}: found a count of {} {}, but only {} bytes follow", path_, count, what,
                      Left());
    }
    return static_cast<int64_t>(count);
  }

  const std::string& Path() const { return path_; }

 private:
  std::string_view bytes_;
  const std::string& path_;
  size_t position_ = 0;
};

template <typename T, typename As>
absl::StatusOr<GgufValue> ReadNumber(Reader& reader, std::string_view key) {
  PONDER_ASSIGN_OR_RETURN(const T value, reader.Number<T>(key));
  return GgufValue(static_cast<As>(value));
}

absl::StatusOr<GgufValue> ReadScalar(Reader& reader, ValueType type, std::string_view key) {
  switch (type) {
    case ValueType::kUint8:
      return ReadNumber<uint8_t, int64_t>(reader, key);
    case ValueType::kInt8:
      return ReadNumber<int8_t, int64_t>(reader, key);
    case ValueType::kUint16:
      return ReadNumber<uint16_t, int64_t>(reader, key);
    case ValueType::kInt16:
      return ReadNumber<int16_t, int64_t>(reader, key);
    case ValueType::kUint32:
      return ReadNumber<uint32_t, int64_t>(reader, key);
    case ValueType::kInt32:
      return ReadNumber<int32_t, int64_t>(reader, key);
    case ValueType::kFloat32:
      return ReadNumber<float, float>(reader, key);
    case ValueType::kUint64:
      return ReadNumber<uint64_t, uint64_t>(reader, key);
    case ValueType::kInt64:
      return ReadNumber<int64_t, int64_t>(reader, key);
    case ValueType::kFloat64:
      return ReadNumber<double, double>(reader, key);
    case ValueType::kBool: {
      PONDER_ASSIGN_OR_RETURN(const uint8_t value, reader.Number<uint8_t>(key));
      return GgufValue(value != 0);
    }
    case ValueType::kString: {
      PONDER_ASSIGN_OR_RETURN(const std::string_view value,
                              reader.String(key, std::numeric_limits<uint64_t>::max()));
      return GgufValue(value);
    }
    case ValueType::kArray:
      break;
  }
  return InvalidArgument("{}: {}: expected a value type from 0 to 12, found {}", reader.Path(), key,
                         static_cast<uint32_t>(type));
}

absl::StatusOr<GgufValue> ReadArray(Reader& reader, std::string_view key) {
  PONDER_ASSIGN_OR_RETURN(const uint32_t raw_type, reader.Number<uint32_t>(key));
  const auto type = static_cast<ValueType>(raw_type);
  if (type == ValueType::kArray || type > ValueType::kFloat64) {
    return InvalidArgument("{}: {}: expected an array of plain values, found one of type {}",
                           reader.Path(), key, raw_type);
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t count, reader.Count(key, LeastBytes(type)));
  GgufArray array;
  if (type == ValueType::kFloat32 || type == ValueType::kFloat64) {
    PONDER_RETURN_IF_ERROR(
        reader.Take(static_cast<uint64_t>(count * LeastBytes(type)), key).status());
    return GgufValue(std::move(array));
  }
  (type == ValueType::kString ? array.strings.reserve(count) : array.integers.reserve(count));
  for (int64_t i = 0; i < count; ++i) {
    PONDER_ASSIGN_OR_RETURN(const GgufValue value, ReadScalar(reader, type, key));
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      array.strings.push_back(*text);
    } else if (const auto* number = std::get_if<int64_t>(&value)) {
      array.integers.push_back(*number);
    } else if (const auto* large = std::get_if<uint64_t>(&value)) {
      array.integers.push_back(
          static_cast<int64_t>(std::min<uint64_t>(*large, std::numeric_limits<int64_t>::max())));
    } else {
      array.integers.push_back(std::get<bool>(value) ? 1 : 0);
    }
  }
  return GgufValue(std::move(array));
}

// A tensor's description, before its data are known to be there.
struct Description {
  GgufTensor tensor;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<Description> ReadDescription(Reader& reader) {
  Description description;
  PONDER_ASSIGN_OR_RETURN(const std::string_view name,
                          reader.String("a tensor's name", kMaxTensorNameBytes));
  description.tensor.name = name;
  const std::string where = fmt::format("{}: tensor {}", reader.Path(), name);
  PONDER_ASSIGN_OR_RETURN(const uint32_t rank, reader.Number<uint32_t>("a tensor's rank"));
  if (rank > kMaxRank) {
    return InvalidArgument("{}: expected at most {} dimensions, found {}", where, kMaxRank, rank);
  }
  int64_t values = 1;
  std::vector<int64_t>& shape = description.tensor.shape;
  for (uint32_t i = 0; i < rank; ++i) {
    PONDER_ASSIGN_OR_RETURN(const uint64_t size, reader.Number<uint64_t>("a tensor's shape"));
    if (size == 0 || size > uint64_t{std::numeric_limits<int64_t>::max()} ||
        __builtin_mul_overflow(values, static_cast<int64_t>(size), &values)) {
      return InvalidArgument(
          "{}: expected sizes of at least 1 whose product is a size of memory, found {}", where,
          size);
    }
    shape.insert(shape.begin(), static_cast<int64_t>(size));
  }
  PONDER_ASSIGN_OR_RETURN(const uint32_t type_id, reader.Number<uint32_t>("a tensor's type"));
  const GgmlType* type = FindGgmlType(type_id);
  if (type == nullptr) {
    return InvalidArgument("{}: expected the type {}, found type number {}", where, GgmlTypeNames(),
                           type_id);
  }
  description.tensor.type = type;
  if (rank > 0 && shape.back() % type->block_values != 0) {
    return InvalidArgument("{}: {} lies in blocks of {} values, but rows have {}", where,
                           type->name, type->block_values, shape.back());
  }
  int64_t bytes = 0;
  if (values % type->block_values != 0 ||
      __builtin_mul_overflow(values / type->block_values, type->block_bytes, &bytes)) {
    return InvalidArgument("{}: {} of shape {} is no size of memory", where, type->name,
                           ShapeText(shape));
  }
  description.bytes = static_cast<uint64_t>(bytes);
  PONDER_ASSIGN_OR_RETURN(description.offset, reader.Number<uint64_t>("a tensor's offset"));
  return description;
}

absl::Status PlaceTensors(std::vector<Description>& descriptions, std::string_view data,
                          int64_t alignment, const std::string& path) {
  std::sort(descriptions.begin(), descriptions.end(),
            [](const Description& a, const Description& b) { return a.offset < b.offset; });
  uint64_t end = 0;
  for (Description& description : descriptions) {
    const std::string where = fmt::format("{}: tensor {}", path, description.tensor.name);
    if (description.offset % static_cast<uint64_t>(alignment) != 0) {
      return InvalidArgument("{}: expected an offset that is a multiple of {}, found {}", where,
                             alignment, description.offset);
    }
    if (description.offset < end) {
      return InvalidArgument(
          "{}: expected its data behind byte {}, found them at {}: tensors overlap", where, end,
          description.offset);
    }
    if (description.offset > data.size() || description.bytes > data.size() - description.offset) {
      return DataLoss("{}: truncated: expected {} bytes at {} of the data, found data of {}", where,
                      description.bytes, description.offset, data.size());
    }
    description.tensor.data = data.substr(description.offset, description.bytes);
    end = description.offset + description.bytes;
  }
  return absl::OkStatus();
}

absl::Status NoKey(const std::string& path, std::string_view key) {
  return InvalidArgument("{}: expected the key {}, found none", path, key);
}

absl::Status WrongType(const std::string& path, std::string_view key, std::string_view expected) {
  return InvalidArgument("{}: {}: expected {}, found a value of another type", path, key, expected);
}

}  // namespace

int64_t GgufTensor::Count() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::StatusOr<GgufFile> GgufFile::Parse(std::string_view bytes, const std::string& path) {
  GgufFile file;
  file.path_ = path;
  Reader reader(bytes, path);
  PONDER_ASSIGN_OR_RETURN(const std::string_view magic, reader.Take(4, "the format's mark"));
  if (magic != "GGUF") return InvalidArgument("{}: expected a GGUF file, found no such mark", path);
  PONDER_ASSIGN_OR_RETURN(const uint32_t version, reader.Number<uint32_t>("the version"));
  if (version != 2 && version != 3) {
    return InvalidArgument("{}: expected GGUF version 2 or 3 (little-endian), found {}", path,
                           version);
  }
  // The least that a tensor and a key take: two lengths or counts and a type.
  PONDER_ASSIGN_OR_RETURN(const int64_t tensor_count, reader.Count("tensors", 24));
  PONDER_ASSIGN_OR_RETURN(const int64_t key_count, reader.Count("keys", 13));

  for (int64_t i = 0; i < key_count; ++i) {
    PONDER_ASSIGN_OR_RETURN(const std::string_view key, reader.String("a key", kMaxKeyBytes));
    PONDER_ASSIGN_OR_RETURN(const uint32_t type, reader.Number<uint32_t>(key));
    PONDER_ASSIGN_OR_RETURN(GgufValue value,
                            static_cast<ValueType>(type) == ValueType::kArray
                                ? ReadArray(reader, key)
                                : ReadScalar(reader, static_cast<ValueType>(type), key));
    if (!file.metadata_.emplace(key, std::move(value)).second) {
      return InvalidArgument("{}: the key {} is there twice", path, key);
    }
  }

  std::vector<Description> descriptions;
  for (int64_t i = 0; i < tensor_count; ++i) {
    PONDER_ASSIGN_OR_RETURN(Description description, ReadDescription(reader));
    descriptions.push_back(std::move(description));
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t alignment,
                          file.Integer("general.alignment", kDefaultAlignment));
  if (alignment < 1 || alignment > kMaxAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return InvalidArgument("{}: general.alignment: expected a power of two up to {}, found {}",
                           path, kMaxAlignment, alignment);
  }
  const size_t step = static_cast<size_t>(alignment);
  const size_t begin = std::min(bytes.size(), (reader.Position() + step - 1) / step * step);
  PONDER_RETURN_IF_ERROR(PlaceTensors(descriptions, bytes.substr(begin), alignment, path));
  for (Description& description : descriptions) {
    file.tensors_.push_back(std::move(description.tensor));
  }
  std::vector<std::string_view> names;
  for (const GgufTensor& tensor : file.tensors_) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    return InvalidArgument("{}: tensor {} is there twice", path, *twice);
  }
  return file;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [name](const GgufTensor& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

absl::StatusOr<int64_t> GgufFile::Integer(std::string_view key,
                                          std::optional<int64_t> fallback) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    if (fallback) return *fallback;
    return NoKey(path_, key);
  }
  if (const auto* value = std::get_if<int64_t>(&found->second)) return *value;
  if (const auto* value = std::get_if<uint64_t>(&found->second)) {
    return static_cast<int64_t>(std::min<uint64_t>(*value, std::numeric_limits<int64_t>::max()));
  }
  return WrongType(path_, key, "a whole number");
}

absl::StatusOr<float> GgufFile::Number(std::string_view key, std::optional<float> fallback) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    if (fallback) return *fallback;
    return NoKey(path_, key);
  }
  if (const auto* value = std::get_if<float>(&found->second)) return *value;
  if (const auto* value = std::get_if<double>(&found->second)) return static_cast<float>(*value);
  return WrongType(path_, key, "a floating-point number");
}

absl::StatusOr<bool> GgufFile::Bool(std::string_view key, std::optional<bool> fallback) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    if (fallback) return *fallback;
    return NoKey(path_, key);
  }
  if (const auto* value = std::get_if<bool>(&found->second)) return *value;
  return WrongType(path_, key, "true or false");
}

absl::StatusOr<std::string> GgufFile::String(std::string_view key,
                                             std::optional<std::string> fallback) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    if (fallback) return *fallback;
    return NoKey(path_, key);
  }
  if (const auto* value = std::get_if<std::string_view>(&found->second)) return std::string(*value);
  return WrongType(path_, key, "a string");
}

absl::StatusOr<const std::vector<std::string_view>*> GgufFile::Strings(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return NoKey(path_, key);
  if (const auto* array = std::get_if<GgufArray>(&found->second);
      array && array->integers.empty()) {
    return &array->strings;
  }
  return WrongType(path_, key, "an array of strings");
}

absl::StatusOr<const std::vector<int64_t>*> GgufFile::Integers(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return NoKey(path_, key);
  if (const auto* array = std::get_if<GgufArray>(&found->second); array && array->strings.empty()) {
    return &array->integers;
  }
  return WrongType(path_, key, "an array of whole numbers");
}

}  // namespace ponder
