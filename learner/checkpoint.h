#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace ponder {

// Calls `fill` with an empty folder aside of `directory` ("<directory>.tmp-<pid>"), then syncs it
// and renames it into place; an older `directory` is exchanged in one step and removed. Until then
// it is untouched, and stays whole where `fill` fails, the disk is full, or the process is killed.
// Folders that a killed save has left are removed first.
absl::Status WriteDirectoryAside(const std::string& directory,
                                 const std::function<absl::Status(const std::string&)>& fill);

// Copies what belongs to the tokenizer and the chat template from one Hugging Face directory to
// another, synced. Files that are not there or that `to` already has are left out.
absl::Status CopyTokenizerFiles(const std::string& from, const std::string& to);

// trainer_state.bin: a sequence of named sections, each in chunks with an XXH3 checksum, so that a
// damaged file is found before anything is taken from it. Little-endian:
//   file:  magic "PNDTRN01", chunks, an end chunk (kind 0, no bytes)
//   chunk: u32 kind, u32 index (0, 1, ... over the file), u64 bytes, u64 XXH3 of (kind, index,
//   bytes, payload), payload
inline constexpr std::string_view kTrainerStateMagic = "PNDTRN01";
inline constexpr int64_t kStateChunkBytes = int64_t{16} << 20;
inline constexpr uint32_t kStateEnd = 0;  // kinds of sections are the caller's, from 1

class StateWriter {
 public:
  static absl::StatusOr<StateWriter> Create(const std::string& path);

  // A section may come in as many calls as the caller likes; each call makes one chunk.
  absl::Status Append(uint32_t kind, std::string_view bytes);
  // Writes the end and syncs.
  absl::Status Close();

 private:
  explicit StateWriter(FileWriter file) : file_(std::move(file)) {}

  FileWriter file_;
  uint32_t next_index_ = 0;
};

// Checks the whole file, then calls `take` for each chunk in order. DATA_LOSS where a checksum does
// not fit, chunks are missing or the file is cut short: `take` has then not been called. Errors of
// `take` end the reading.
absl::Status ReadState(
    const std::string& path,
    const std::function<absl::Status(uint32_t kind, std::string_view bytes)>& take);

}  // namespace ponder
