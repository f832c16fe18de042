#include "learner/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace ponder {
namespace {

namespace fs = std::filesystem;

struct ChunkHeader {
  uint32_t kind = 0;
  uint32_t index = 0;
  uint64_t bytes = 0;
  uint64_t checksum = 0;
};
static_assert(sizeof(ChunkHeader) == 24);

uint64_t Checksum(const ChunkHeader& header, std::string_view payload) {
  // The header's own fields are the seed: a chunk with a changed kind, place or size does not fit
  // either.
  const uint64_t seed = XXH3_64bits(&header, offsetof(ChunkHeader, checksum));
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

fs::path WithoutSlash(const std::string& directory) {
  const fs::path path = fs::path(directory).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

void RemoveTree(const fs::path& path) {
  std::error_code ignored;  // what cannot be removed now is tried again at the next save
  fs::remove_all(path, ignored);
}

bool IsLeftover(const std::string& name, const std::string& prefix) {
  return name.size() > prefix.size() && name.starts_with(prefix) &&
         name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
}

void RemoveLeftovers(const fs::path& directory) {
  const fs::path parent = directory.has_parent_path() ? directory.parent_path() : fs::path(".");
  const std::string prefix = directory.filename().string() + ".tmp-";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    if (IsLeftover(entry.path().filename().string(), prefix)) RemoveTree(entry.path());
  }
}

absl::Status MoveIntoPlace(const fs::path& aside, const fs::path& directory) {
  std::error_code error;
  if (!fs::exists(directory, error)) return RenameDirectory(aside.string(), directory.string());
  if (renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, directory.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS)
      return Internal("cannot exchange {} with {}: {}", aside.string(), directory.string(),
                      std::strerror(errno));
    // A file system without the exchange: the old one steps aside under a name that the next save
    // cleans up.
    const fs::path old = directory.string() + fmt::format(".tmp-{}0", getpid());
    PONDER_RETURN_IF_ERROR(RenameDirectory(directory.string(), old.string()));
    PONDER_RETURN_IF_ERROR(RenameDirectory(aside.string(), directory.string()));
    RemoveTree(old);
    return absl::OkStatus();
  }
  const fs::path parent = directory.has_parent_path() ? directory.parent_path() : fs::path(".");
  PONDER_RETURN_IF_ERROR(SyncDirectory(parent.string()));
  RemoveTree(aside);  // now the old one
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteDirectoryAside(const std::string& directory,
                                 const std::function<absl::Status(const std::string&)>& fill) {
  const fs::path target = WithoutSlash(directory);
  if (target.has_parent_path())
    PONDER_RETURN_IF_ERROR(MakeDirectories(target.parent_path().string()));
  RemoveLeftovers(target);
  const fs::path aside = target.string() + fmt::format(".tmp-{}", getpid());
  absl::Status status = MakeDirectories(aside.string());
  if (status.ok()) status = fill(aside.string());
  if (status.ok()) status = SyncDirectory(aside.string());
  if (status.ok()) status = MoveIntoPlace(aside, target);
  if (!status.ok()) {
    RemoveTree(aside);
    return Annotate(status, fmt::format("saving {}", directory));
  }
  return absl::OkStatus();
}

absl::Status CopyTokenizerFiles(const std::string& from, const std::string& to) {
  constexpr std::array kNames = {"tokenizer.json",
                                 "tokenizer_config.json",
                                 "special_tokens_map.json",
                                 "added_tokens.json",
                                 "vocab.json",
                                 "merges.txt",
                                 "tokenizer.model",
                                 "chat_template.jinja",
                                 "chat_template.json",
                                 "generation_config.json"};
  for (const char* name : kNames) {
    const fs::path source = fs::path(from) / name;
    const fs::path target = fs::path(to) / name;
    std::error_code error;
    if (!fs::exists(source, error) || fs::exists(target, error)) continue;
    PONDER_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(source.string()));
    PONDER_ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(target.string()));
    PONDER_RETURN_IF_ERROR(writer.Append(file.Bytes()));
    PONDER_RETURN_IF_ERROR(writer.Close());
  }
  return absl::OkStatus();
}

absl::StatusOr<StateWriter> StateWriter::Create(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  PONDER_RETURN_IF_ERROR(file.Append(kTrainerStateMagic));
  return StateWriter(std::move(file));
}

absl::Status StateWriter::Append(uint32_t kind, std::string_view bytes) {
  ChunkHeader header{.kind = kind, .index = next_index_++, .bytes = bytes.size()};
  header.checksum = Checksum(header, bytes);
  PONDER_RETURN_IF_ERROR(file_.Append({reinterpret_cast<const char*>(&header), sizeof(header)}));
  return file_.Append(bytes);
}

absl::Status StateWriter::Close() {
  PONDER_RETURN_IF_ERROR(Append(kStateEnd, ""));
  return file_.Close();
}

absl::Status ReadState(
    const std::string& path,
    const std::function<absl::Status(uint32_t kind, std::string_view bytes)>& take) {
  PONDER_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view all = file.Bytes();
  if (!all.starts_with(kTrainerStateMagic))
    return DataLoss("{} is no trainer state of this version: expected it to begin with {}", path,
                    kTrainerStateMagic);

  // Once for the checksums, once to hand out: nothing is taken from a file that is not whole.
  for (const bool hand_out : {false, true}) {
    std::string_view left = all.substr(kTrainerStateMagic.size());
    for (uint32_t index = 0;; ++index) {
      const size_t at = all.size() - left.size();
      ChunkHeader header;
      if (left.size() < sizeof(header))
        return DataLoss("{} is cut short: it ends at byte {} without its end chunk", path,
                        all.size());
      std::memcpy(&header, left.data(), sizeof(header));
      left.remove_prefix(sizeof(header));
      if (header.index != index)
        return DataLoss("{} is damaged: chunk {} was expected at byte {}, found {}", path, index,
                        at, header.index);
      if (header.bytes > left.size())
        return DataLoss("{} is cut short: the chunk at byte {} has {} bytes, {} are missing", path,
                        at, header.bytes, header.bytes - left.size());
      const std::string_view payload = left.substr(0, header.bytes);
      left.remove_prefix(header.bytes);
      if (!hand_out && Checksum(header, payload) != header.checksum)
        return DataLoss("{} is damaged: the checksum of chunk {} at byte {} does not fit", path,
                        index, at);
      if (header.kind == kStateEnd) break;
      if (hand_out) PONDER_RETURN_IF_ERROR(take(header.kind, payload));
    }
    if (!left.empty()) return DataLoss("{} is damaged: {} bytes follow its end", path, left.size());
  }
  return absl::OkStatus();
}

}  // namespace ponder
