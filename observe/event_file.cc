#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "observe/event_record.h"
#include "observe/histogram.h"
#include "observe/metric_sink.h"
#include "observe/sample_text.h"

namespace ponder {
namespace {

double NowSeconds() { return absl::ToDoubleSeconds(RealClock().Now() - absl::UnixEpoch()); }

std::map<std::string, Histogram> Histograms(std::span<const ScoredGroup> groups) {
  std::map<std::string, std::vector<double>> values;
  for (const ScoredGroup& scored : groups) {
    for (const Completion& completion : scored.group.completions) {
      values["completions/length"].push_back(static_cast<double>(completion.token_ids.size()));
      for (size_t t = 0; t < completion.token_ids.size(); ++t) {
        if (completion.sampled_mask[t] == 0) continue;
        values["tokens/logprob"].push_back(completion.logprobs[t]);
        values["tokens/entropy"].push_back(completion.entropies[t]);
      }
    }
    for (const Reward& reward : scored.rewards)
      values["completions/reward"].push_back(reward.total);
    for (const float advantage : scored.advantages) {
      values["completions/advantage"].push_back(advantage);
    }
  }
  std::map<std::string, Histogram> histograms;
  for (const auto& [name, of_name] : values) {
    if (Histogram histogram = MakeHistogram(of_name); histogram.count > 0) {
      histograms[name] = std::move(histogram);
    }
  }
  return histograms;
}

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

  absl::Status WriteGroups(int64_t step, std::span<const ScoredGroup> groups) override {
    std::map<std::string, std::string> texts;
    if (const SamplePick pick = PickSamples(step, groups); pick.group != nullptr) {
      texts["samples/best"] = SampleMarkdown(*pick.group, pick.best);
      if (pick.worst != pick.best) {
        texts["samples/worst"] = SampleMarkdown(*pick.group, pick.worst);
      }
    }
    return Append(FrameTfRecord(EncodeSampleEvent(NowSeconds(), step, Histograms(groups), texts)));
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
