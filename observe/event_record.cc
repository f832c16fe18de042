#include "observe/event_record.h"

#include <array>
#include <bit>

namespace ponder {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, bits reversed
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}

// TFRecord's rotation and offset: a CRC over data that holds CRCs would be weak.
uint32_t MaskedCrc(std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u; }

template <typename T>
void AppendLittleEndian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i));
}

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void AppendTag(std::string& out, uint32_t field, WireType type) {
  AppendVarint(out, field << 3 | type);
}

void AppendBytes(std::string& out, uint32_t field, std::string_view bytes) {
  AppendTag(out, field, kLengthDelimited);
  AppendVarint(out, bytes.size());
  out += bytes;
}

void AppendDouble(std::string& out, uint32_t field, double value) {
  AppendTag(out, field, kFixed64);
  AppendLittleEndian(out, std::bit_cast<uint64_t>(value));
}

void AppendFloat(std::string& out, uint32_t field, float value) {
  AppendTag(out, field, kFixed32);
  AppendLittleEndian(out, std::bit_cast<uint32_t>(value));
}

void AppendPackedDoubles(std::string& out, uint32_t field, const std::vector<double>& values) {
  std::string packed;
  for (const double value : values) AppendLittleEndian(packed, std::bit_cast<uint64_t>(value));
  AppendBytes(out, field, packed);
}

std::string EncodeHistogram(const Histogram& histogram) {
  std::string out;
  AppendDouble(out, /*min*/ 1, histogram.min);
  AppendDouble(out, /*max*/ 2, histogram.max);
  AppendDouble(out, /*num*/ 3, histogram.count);
  AppendDouble(out, /*sum*/ 4, histogram.sum);
  AppendDouble(out, /*sum_squares*/ 5, histogram.sum_squares);
  AppendPackedDoubles(out, /*bucket_limit*/ 6, histogram.limits);
  AppendPackedDoubles(out, /*bucket*/ 7, histogram.counts);
  return out;
}

// What tells the text plugin that a value is its own.
std::string EncodeTextMetadata() {
  constexpr uint64_t kTensorData = 2;
  std::string plugin, metadata;
  AppendBytes(plugin, /*plugin_name*/ 1, "text");
  AppendBytes(metadata, /*plugin_data*/ 1, plugin);
  AppendTag(metadata, /*data_class*/ 4, kVarint);
  AppendVarint(metadata, kTensorData);
  return metadata;
}

// A tensor of no dimension.
std::string EncodeStringTensor(std::string_view text) {
  constexpr uint64_t kString = 7;
  std::string tensor;
  AppendTag(tensor, /*dtype*/ 1, kVarint);
  AppendVarint(tensor, kString);
  AppendBytes(tensor, /*tensor_shape*/ 2, "");
  AppendBytes(tensor, /*string_val*/ 8, text);
  return tensor;
}

std::string EncodeSummaryEvent(double wall_time_s, int64_t step, std::string_view summary) {
  std::string event;
  AppendDouble(event, /*wall_time*/ 1, wall_time_s);
  AppendTag(event, /*step*/ 2, kVarint);
  AppendVarint(event, static_cast<uint64_t>(step));
  AppendBytes(event, /*summary*/ 5, summary);
  return event;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

std::string FrameTfRecord(std::string_view payload) {
  std::string record;
  AppendLittleEndian(record, uint64_t{payload.size()});
  AppendLittleEndian(record, MaskedCrc(record));
  record += payload;
  AppendLittleEndian(record, MaskedCrc(payload));
  return record;
}

std::string EncodeVersionEvent(double wall_time_s) {
  std::string event;
  AppendDouble(event, /*wall_time*/ 1, wall_time_s);
  AppendBytes(event, /*file_version*/ 3, "brain.Event:2");
  return event;
}

std::string EncodeScalarEvent(double wall_time_s, int64_t step, const Metrics& metrics) {
  std::string summary;
  for (const auto& [name, number] : metrics) {
    std::string value;
    AppendBytes(value, /*tag*/ 1, name);
    AppendFloat(value, /*simple_value*/ 2, static_cast<float>(number));
    AppendBytes(summary, /*value*/ 1, value);
  }
  return EncodeSummaryEvent(wall_time_s, step, summary);
}

std::string EncodeSampleEvent(double wall_time_s, int64_t step,
                              const std::map<std::string, Histogram>& histograms,
                              const std::map<std::string, std::string>& texts) {
  std::string summary;
  for (const auto& [tag, histogram] : histograms) {
    std::string value;
    AppendBytes(value, /*tag*/ 1, tag);
    AppendBytes(value, /*histo*/ 5, EncodeHistogram(histogram));
    AppendBytes(summary, /*value*/ 1, value);
  }
  for (const auto& [tag, text] : texts) {
    std::string value;
    AppendBytes(value, /*tag*/ 1, tag);
    AppendBytes(value, /*tensor*/ 8, EncodeStringTensor(text));
    AppendBytes(value, /*metadata*/ 9, EncodeTextMetadata());
    AppendBytes(summary, /*value*/ 1, value);
  }
  return EncodeSummaryEvent(wall_time_s, step, summary);
}

}  // namespace ponder
