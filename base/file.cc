#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ponder {
namespace {

absl::Status SystemError(std::string_view action, const std::string& path) {
  const int code = errno;
  const std::string message = fmt::format("cannot {} {}: {}", action, path, std::strerror(code));
  switch (code) {
    case ENOENT:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message + "; free some space and try again");
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError("open", path);
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = read(descriptor, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const absl::Status status = SystemError("read", path);
      close(descriptor);
      return status;
    }
    if (got == 0) break;
    if (content.size() + static_cast<size_t>(got) > max_bytes) {
      close(descriptor);
      return ResourceExhausted("{} is larger than the {} bytes that are read of such a file", path,
                               max_bytes);
    }
    content.append(buffer, static_cast<size_t>(got));
  }
  close(descriptor);
  return content;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content) {
  const std::string aside = fmt::format("{}.{}.tmp", path, getpid());
  auto write_aside = [&]() -> absl::Status {
    PONDER_ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(aside));
    PONDER_RETURN_IF_ERROR(writer.Append(content));
    return writer.Close();
  };
  if (absl::Status status = write_aside(); !status.ok()) {
    unlink(aside.c_str());
    return status;
  }
  if (rename(aside.c_str(), path.c_str()) != 0) {
    const absl::Status status = SystemError("rename into place", path);
    unlink(aside.c_str());
    return status;
  }
  return SyncDirectory(ParentOf(path));
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    return absl::InternalError(fmt::format("cannot create folder {}: {}", path, error.message()));
  return absl::OkStatus();
}

absl::Status RenameDirectory(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0)
    return SystemError(fmt::format("rename {} to", from), to);
  return SyncDirectory(ParentOf(to));
}

absl::Status SyncDirectory(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return SystemError("open folder", path);
  const int result = fsync(descriptor);
  absl::Status status = result == 0 ? absl::OkStatus() : SystemError("sync folder", path);
  close(descriptor);
  return status;
}

absl::StatusOr<FileWriter> FileWriter::Create(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return SystemError("create", path);
  return FileWriter(descriptor, path);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

FileWriter& FileWriter::operator=(FileWriter&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status FileWriter::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status FileWriter::Close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor < 0) return absl::OkStatus();
  absl::Status status = fsync(descriptor) == 0 ? absl::OkStatus() : SystemError("sync", path_);
  if (close(descriptor) != 0 && status.ok()) status = SystemError("close", path_);
  return status;
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError("open", path);
  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    const absl::Status status = SystemError("stat", path);
    close(descriptor);
    return status;
  }
  if (!S_ISREG(info.st_mode)) {
    close(descriptor);
    return InvalidArgument("{} is not a regular file", path);
  }
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
      const absl::Status status = SystemError("map", path);
      close(descriptor);
      return status;
    }
  }
  close(descriptor);
  return MappedFile(data, size, path);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace ponder
