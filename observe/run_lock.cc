#include "observe/run_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ponder {
namespace {

// A lock of the open file, not of the process: it goes with the descriptor, and unlike that of
// flock() it can be looked at.
struct flock WholeFile() {
  return {.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

std::string LockPath(const std::string& run_directory) { return run_directory + "/lock"; }

}  // namespace

absl::StatusOr<RunLock> RunLock::Take(const std::string& run_directory) {
  const std::string path = LockPath(run_directory);
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return Internal("cannot open {}: {}", path, std::strerror(errno));
  RunLock lock(descriptor);
  struct flock whole = WholeFile();
  if (fcntl(descriptor, F_OFD_SETLK, &whole) == 0) return lock;
  if (errno != EAGAIN && errno != EACCES) {
    return Internal("cannot lock {}: {}", path, std::strerror(errno));
  }
  return FailedPrecondition("another process is working on the run {}; wait for it or end it",
                            run_directory);
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool RunLock::IsHeld(const std::string& run_directory) {
  const int descriptor = open(LockPath(run_directory).c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;  // nobody has ever worked on it
  struct flock whole = WholeFile();
  const bool held = fcntl(descriptor, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
  close(descriptor);
  return held;
}

}  // namespace ponder
