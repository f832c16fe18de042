#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ponder {

// Files with every system call checked. Paths in messages are as given.

// The whole file; refuses one over `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t max_bytes = uint64_t{1} << 32);

// Writes aside, syncs, renames over `path`, syncs the folder: afterwards the file is whole, old or
// new, whatever happens.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);

// Creates the folder and its parents where missing.
absl::Status MakeDirectories(const std::string& path);

// Renames a finished folder into place and syncs the parent.
absl::Status RenameDirectory(const std::string& from, const std::string& to);

// fsync of a folder: makes renames inside it durable.
absl::Status SyncDirectory(const std::string& path);

// A file written piece by piece; Close() syncs. The destructor closes without sync and ignores
// errors, so call Close. Not thread-safe.
class FileWriter {
 public:
  static absl::StatusOr<FileWriter> Create(const std::string& path);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;
  ~FileWriter();

  absl::Status Append(std::string_view bytes);
  absl::Status Close();

 private:
  FileWriter(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_ = -1;
  std::string path_;
};

// A file mapped read-only; the bytes live as long as the object. Safe to read from many threads.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view Bytes() const { return {static_cast<const char*>(data_), size_}; }
  const std::string& Path() const { return path_; }

 private:
  MappedFile(void* data, size_t size, std::string path)
      : data_(data), size_(size), path_(std::move(path)) {}

  void* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace ponder
