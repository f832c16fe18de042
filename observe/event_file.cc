#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "observe/event_record.h"
#include "observe/metric_sink.h"

namespace ponder {
namespace {

double NowSeconds() { return absl::ToDoubleSeconds(RealClock().Now() - absl::UnixEpoch()); }

class EventFileSink : public MetricSink {
 public:
  EventFileSink(int descriptor, std::string path)
      : descriptor_(descriptor), path_(std::move(path)) {}
  ~EventFileSink() override { close(descriptor_); }

  absl::Status Append(std::string_view record) {
    while (!record.empty()) {
      const ssize_t written = write(descriptor_, record.data(), record.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return TakeBack();
      record.remove_prefix(static_cast<size_t>(written));
    }
    whole_bytes_ = lseek(descriptor_, 0, SEEK_CUR);
    return absl::OkStatus();
  }

  absl::Status WriteStep(int64_t step, const Metrics& metrics) override {
    return Append(FrameTfRecord(EncodeScalarEvent(NowSeconds(), step, metrics)));
  }

  absl::Status Flush() override {
    if (fdatasync(descriptor_) == 0) return absl::OkStatus();
    return Error("sync");
  }

 private:
  // Half a record would hide all later ones from readers.
  absl::Status TakeBack() {
    absl::Status status = Error("write");
    if (ftruncate(descriptor_, whole_bytes_) != 0 ||
        lseek(descriptor_, whole_bytes_, SEEK_SET) != whole_bytes_) {
      return Annotate(status, "half a record remains");
    }
    return status;
  }

  absl::Status Error(std::string_view action) const {
    const int code = errno;
    const std::string message = fmt::format("cannot {} {}: {}", action, path_, std::strerror(code));
    if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
      return absl::ResourceExhaustedError(message + "; free some space and try again");
    }
    return absl::InternalError(message);
  }

  const int descriptor_;
  const std::string path_;
  off_t whole_bytes_ = 0;  // length up to the last whole record
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricSink>> CreateEventFileSink(const std::string& directory) {
  PONDER_RETURN_IF_ERROR(MakeDirectories(directory));
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  // TensorBoard reads a folder's files in the order of their names, so the time comes first;
  // process and count tell files of the same second apart.
  static std::atomic<int64_t> count{0};
  const std::string path = fmt::format("{}/events.out.tfevents.{:010}.{}.{}.{}", directory,
                                       static_cast<int64_t>(NowSeconds()), host, getpid(), count++);
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return absl::ErrnoToStatus(errno, fmt::format("cannot create {}", path));
  }
  auto sink = std::make_unique<EventFileSink>(descriptor, path);
  PONDER_RETURN_IF_ERROR(sink->Append(FrameTfRecord(EncodeVersionEvent(NowSeconds()))));
  PONDER_RETURN_IF_ERROR(SyncDirectory(directory));
  return sink;
}

}  // namespace ponder
