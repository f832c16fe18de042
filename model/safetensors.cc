#include "model/safetensors.h"

#include <absl/container/flat_hash_set.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <tuple>

#include "base/check.h"
#include "model/half.h"
#include "model/tensor_names.h"

namespace ponder {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are copied as they lie in the file");

namespace dom = simdjson::dom;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr size_t kMaxHeaderDepth = 8;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxNameBytes = 1024;

struct StoredType {
  std::string_view name;
  int64_t bytes;
};
constexpr std::array kStoredTypes = {
    StoredType{"F32", 4},     StoredType{"BF16", 2},    StoredType{"F16", 2}, StoredType{"F64", 8},
    StoredType{"I64", 8},     StoredType{"U64", 8},     StoredType{"I32", 4}, StoredType{"U32", 4},
    StoredType{"I16", 2},     StoredType{"U16", 2},     StoredType{"I8", 1},  StoredType{"U8", 1},
    StoredType{"F8_E4M3", 1}, StoredType{"F8_E5M2", 1}, StoredType{"BOOL", 1}};

// Where a tensor lies, before it is known that the file is that long.
struct Place {
  SafetensorsEntry entry;
  uint64_t begin = 0;
  uint64_t end = 0;
};

absl::Status ReadShape(dom::element value, const std::string& where, std::vector<int64_t>& shape) {
  dom::array sizes;
  if (value.get(sizes) != simdjson::SUCCESS || sizes.size() > kMaxRank) {
    return InvalidArgument("{}: shape: expected an array of at most {} sizes", where, kMaxRank);
  }
  for (const dom::element size : sizes) {
    int64_t number = 0;
    if (size.get(number) != simdjson::SUCCESS || number < 0) {
      return InvalidArgument("{}: shape: expected whole numbers of at least 0, found {}", where,
                             simdjson::minify(size));
    }
    shape.push_back(number);
  }
  return absl::OkStatus();
}

absl::Status ReadOffsets(dom::element value, const std::string& where, Place& place) {
  dom::array offsets;
  const bool is_pair = value.get(offsets) == simdjson::SUCCESS && offsets.size() == 2 &&
                       offsets.at(0).get(place.begin) == simdjson::SUCCESS &&
                       offsets.at(1).get(place.end) == simdjson::SUCCESS &&
                       place.begin <= place.end;
  if (is_pair) return absl::OkStatus();
  return InvalidArgument("{}: data_offsets: expected [begin, end] with begin <= end, found {}",
                         where, simdjson::minify(value));
}

absl::Status CheckSize(const Place& place, const std::string& where) {
  const auto type =
      std::find_if(kStoredTypes.begin(), kStoredTypes.end(),
                   [&](const StoredType& known) { return known.name == place.entry.dtype; });
  if (type == kStoredTypes.end()) {
    return InvalidArgument(
        "{}: dtype: expected one of the format's types (F32, BF16, F16, ...), found \"{}\"", where,
        place.entry.dtype);
  }
  int64_t bytes = type->bytes;
  for (const int64_t size : place.entry.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      return InvalidArgument("{}: shape {} is larger than any file", where,
                             ShapeText(place.entry.shape));
    }
  }
  if (static_cast<uint64_t>(bytes) == place.end - place.begin) return absl::OkStatus();
  return InvalidArgument("{}: {} of shape {} takes {} bytes, but data_offsets give it {}", where,
                         place.entry.dtype, ShapeText(place.entry.shape), bytes,
                         place.end - place.begin);
}

absl::StatusOr<Place> ReadPlace(std::string_view name, dom::element value,
                                const std::string& path) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return InvalidArgument("{}: expected tensor names of 1 to {} bytes, found one of {}", path,
                           kMaxNameBytes, name.size());
  }
  const std::string where = fmt::format("{}: tensor {}", path, name);
  dom::object object;
  dom::element dtype, shape, offsets;
  std::string_view dtype_name;
  if (value.get(object) != simdjson::SUCCESS || object["dtype"].get(dtype) != simdjson::SUCCESS ||
      dtype.get(dtype_name) != simdjson::SUCCESS ||
      object["shape"].get(shape) != simdjson::SUCCESS ||
      object["data_offsets"].get(offsets) != simdjson::SUCCESS) {
    return InvalidArgument("{}: expected an object with dtype, shape and data_offsets", where);
  }
  Place place;
  place.entry.name = name;
  place.entry.dtype = dtype_name.substr(0, 32);
  PONDER_RETURN_IF_ERROR(ReadShape(shape, where, place.entry.shape));
  PONDER_RETURN_IF_ERROR(ReadOffsets(offsets, where, place));
  PONDER_RETURN_IF_ERROR(CheckSize(place, where));
  return place;
}

absl::StatusOr<std::vector<Place>> ReadHeader(std::string_view header, const std::string& path) {
  dom::parser parser(kMaxHeaderBytes);
  // simdjson does nothing with less room than its smallest capacity.
  const size_t capacity = std::max<size_t>(header.size(), 64);
  if (parser.allocate(capacity, kMaxHeaderDepth) != simdjson::SUCCESS) {
    return ResourceExhausted("{}: no memory to read a header of {} bytes", path, header.size());
  }
  const simdjson::padded_string padded(header);
  dom::element root;
  if (const simdjson::error_code error = parser.parse(padded).get(root);
      error != simdjson::SUCCESS) {
    return InvalidArgument("{}: the header is not JSON: {}", path, simdjson::error_message(error));
  }
  dom::object tensors;
  if (root.get(tensors) != simdjson::SUCCESS) {
    return InvalidArgument("{}: expected a JSON object as header", path);
  }
  std::vector<Place> places;
  absl::flat_hash_set<std::string_view> seen;
  for (const auto [name, value] : tensors) {
    if (!seen.insert(name).second) {
      return InvalidArgument("{}: tensor {} is named twice in the header", path, name);
    }
    if (name == "__metadata__") continue;
    PONDER_ASSIGN_OR_RETURN(Place place, ReadPlace(name, value, path));
    places.push_back(std::move(place));
  }
  return places;
}

template <typename Stored, typename Convert>
void ConvertAll(std::string_view data, float* out, Convert convert) {
  const size_t count = data.size() / sizeof(Stored);
  for (size_t i = 0; i < count; ++i) {
    Stored value;  // nothing in the format aligns the data
    std::memcpy(&value, data.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
}

}  // namespace

absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(std::string_view bytes,
                                                               const std::string& path) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) {
    return DataLoss(
        "{}: expected a safetensors file, found {} bytes; its header's length alone takes 8", path,
        bytes.size());
  }
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  bytes.remove_prefix(sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes) {
    return InvalidArgument(
        "{}: expected a header of at most {} bytes, found a length of {}; this is no safetensors "
        "file",
        path, kMaxHeaderBytes, header_bytes);
  }
  if (header_bytes > bytes.size()) {
    return DataLoss("{}: truncated: the header takes {} bytes, {} are missing", path, header_bytes,
                    header_bytes - bytes.size());
  }
  PONDER_ASSIGN_OR_RETURN(std::vector<Place> places,
                          ReadHeader(bytes.substr(0, header_bytes), path));
  bytes.remove_prefix(header_bytes);

  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.begin, a.end, a.entry.name) < std::tie(b.begin, b.end, b.entry.name);
  });
  uint64_t end = 0;
  for (const Place& place : places) {
    if (place.begin != end) {
      return InvalidArgument(
          "{}: tensor {}: expected its data to begin at {}, where the one before ends, found {}: "
          "the data {}",
          path, place.entry.name, end, place.begin, place.begin < end ? "overlap" : "have a gap");
    }
    end = place.end;
  }
  if (end > bytes.size()) {
    return DataLoss(
        "{}: truncated: the tensors take {} bytes, {} are missing; fetch the file again", path, end,
        end - bytes.size());
  }
  if (end < bytes.size()) {
    return InvalidArgument("{}: expected the file to end with its tensors, found {} more bytes",
                           path, bytes.size() - end);
  }
  std::vector<SafetensorsEntry> entries;
  entries.reserve(places.size());
  for (Place& place : places) {
    place.entry.data = bytes.substr(place.begin, place.end - place.begin);
    entries.push_back(std::move(place.entry));
  }
  return entries;
}

absl::Status DecodeSafetensors(const SafetensorsEntry& entry, int64_t begin, int64_t count,
                               float* out) {
  const size_t size = entry.dtype == "F32" ? 4 : 2;
  if (entry.dtype != "F32" && entry.dtype != "BF16" && entry.dtype != "F16") {
    return InvalidArgument("tensor {}: expected F32, BF16 or F16, found {}", entry.name,
                           entry.dtype);
  }
  PONDER_CHECK(
      begin >= 0 && count >= 0 && static_cast<size_t>(begin + count) * size <= entry.data.size(),
      entry.name);
  const std::string_view data = entry.data.substr(begin * size, count * size);
  if (data.empty()) return absl::OkStatus();
  if (entry.dtype == "F32") {
    std::memcpy(out, data.data(), data.size());
  } else if (entry.dtype == "BF16") {
    ConvertAll<uint16_t>(data, out,
                         [](uint16_t bits) { return kernels::ToF32(kernels::BF16{bits}); });
  } else {
    ConvertAll<uint16_t>(data, out, HalfToF32);
  }
  return absl::OkStatus();
}

}  // namespace ponder
