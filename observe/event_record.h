#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "observe/histogram.h"
#include "observe/metric_sink.h"

namespace ponder {

// The bytes of a TensorBoard event file: records framed as TFRecord, each a protobuf message Event.
// Written by hand: of TensorBoard's messages only a few fields are needed.

// CRC-32C (Castagnoli).
uint32_t Crc32c(std::string_view bytes);

// length (uint64), masked CRC of the length, payload, masked CRC of the payload; all little-endian.
std::string FrameTfRecord(std::string_view payload);

// Event{wall_time, file_version = "brain.Event:2"}: the first record of a file.
std::string EncodeVersionEvent(double wall_time_s);

// Event{wall_time, step, summary{value{tag, simple_value} ...}}.
std::string EncodeScalarEvent(double wall_time_s, int64_t step, const Metrics& metrics);

// Event{wall_time, step, summary{value{tag, histo} ... value{tag, metadata, tensor} ...}}:
// histograms and Markdown for the text plugin, by tag. Texts are valid UTF-8.
std::string EncodeSampleEvent(double wall_time_s, int64_t step,
                              const std::map<std::string, Histogram>& histograms,
                              const std::map<std::string, std::string>& texts);

}  // namespace ponder
