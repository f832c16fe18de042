#include "rollout/service/weight_borrower.h"

#include <absl/cleanup/cleanup.h>
#include <absl/time/clock.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "rollout/service/unix_socket.h"
#include "rollout/service/weight_snapshot.h"

namespace ponder {
namespace {

constexpr absl::Duration kAnswerLimit = absl::Seconds(2);
// Without a single new byte, from a learner whose process is there.
constexpr absl::Duration kStandstillLimit = absl::Seconds(10);
// A learner writes a piece in about a tenth of a millisecond.
constexpr absl::Duration kPause = absl::Microseconds(20);
constexpr int64_t kPieceBytes = 256 << 10;

// The learner says nothing more, so that anything to read is the end.
bool HasEnded(int socket) {
  pollfd waiting = {.fd = socket, .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 0) != 0;
}

}  // namespace

WeightBorrower::WeightBorrower(const Weights& weights)
    : weights_(weights), layout_(LayoutHash(weights)) {}

absl::Status WeightBorrower::Map(int descriptor) {
  if (view_ != nullptr && view_->IsOf(descriptor)) {
    close(descriptor);
    return absl::OkStatus();
  }
  view_ = nullptr;
  PONDER_ASSIGN_OR_RETURN(view_, SegmentView::Map(descriptor, layout_, weights_.ArenaBytes()));
  return absl::OkStatus();
}

absl::Status WeightBorrower::Read(const std::string& name, int64_t version,
                                  kernels::DeviceBuffer& arena,
                                  const std::function<bool()>& cancelled) {
  PONDER_ASSIGN_OR_RETURN(const int socket, ConnectAbstract(name, kAnswerLimit));
  const absl::Cleanup closing = [socket] { close(socket); };
  if (send(socket, &version, sizeof(version), MSG_NOSIGNAL) != sizeof(version)) {
    return Unavailable("@{} does not take a request", name);
  }
  PONDER_ASSIGN_OR_RETURN(const NumberAndDescriptor answer, ReceiveWithDescriptor(socket));
  if (answer.descriptor < 0) {
    return NotFound("policy version {} is not the current one", version);
  }
  PONDER_RETURN_IF_ERROR(Map(answer.descriptor));

  const int64_t sequence = view_->Sequence();
  const auto is_whole = [&] {
    return view_->Version() == version && view_->Sequence() == sequence;
  };
  const int64_t bytes = weights_.ArenaBytes();
  absl::Time last_news = absl::Now();
  for (int64_t done = 0; done < bytes;) {
    if (!is_whole()) break;
    const int64_t ready = std::min(view_->Ready(), bytes);
    if (ready > done) {
      const int64_t count = std::min(ready - done, kPieceBytes);
      weights_.ImportArena(arena, done, count, view_->Data() + done);
      done += count;
      last_news = absl::Now();
      continue;
    }
    if (cancelled()) return absl::CancelledError("reading weights was cancelled");
    if (HasEnded(socket)) return Unavailable("the learner ended while it published weights");
    if (absl::Now() - last_news > kStandstillLimit) {
      return Unavailable("the learner came no further than byte {} of {} of policy version {}",
                         done, bytes, version);
    }
    absl::SleepFor(kPause);
  }
  if (is_whole()) return absl::OkStatus();
  return DataLoss("shared weights: expected policy version {} to the end, found version {}",
                  version, view_->Version());
}

}  // namespace ponder
