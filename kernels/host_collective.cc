#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <algorithm>

#include "base/check.h"
#include "kernels/collective.h"

namespace ponder::kernels {
namespace {

// What is added up at a time: bounds the copies of devices whose memory the host does not reach.
constexpr int64_t kPieceFloats = int64_t{4} << 20;

// Where the ranks wait for one another.
class Meeting {
 public:
  explicit Meeting(size_t ranks) : pieces_(ranks) {}

  struct Piece {
    float* values = nullptr;
    int64_t count = 0;
  };

  // Shows the others a piece and waits for theirs.
  absl::StatusOr<std::vector<Piece>> Show(size_t rank, Piece piece) {
    absl::MutexLock lock(&mutex_);
    pieces_[rank] = piece;
    PONDER_RETURN_IF_ERROR(Arrive());
    return pieces_;
  }
  absl::Status Wait() {
    absl::MutexLock lock(&mutex_);
    return Arrive();
  }
  void Abort(const absl::Status& why) {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = why;
  }

 private:
  absl::Status Arrive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PONDER_RETURN_IF_ERROR(status_);
    const int64_t round = round_;
    if (++arrived_ == std::ssize(pieces_)) {
      arrived_ = 0;
      ++round_;
      return absl::OkStatus();
    }
    const auto is_over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return round_ != round || !status_.ok();
    };
    mutex_.Await(absl::Condition(&is_over));
    return round_ != round ? absl::OkStatus() : status_;
  }

  absl::Mutex mutex_;
  std::vector<Piece> pieces_ ABSL_GUARDED_BY(mutex_);
  int64_t arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t round_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

class HostCollective final : public Collective {
 public:
  HostCollective(Backend& backend, size_t rank, std::shared_ptr<Meeting> meeting,
                 std::string description)
      : backend_(&backend),
        rank_(rank),
        meeting_(std::move(meeting)),
        description_(std::move(description)) {}

  std::string Describe() const override { return description_; }

  absl::Status AllReduceSum(float* values, int64_t count) override {
    PONDER_CHECK(count >= 0);
    for (int64_t begin = 0; begin < count; begin += kPieceFloats)
      PONDER_RETURN_IF_ERROR(AddUp(values + begin, std::min(kPieceFloats, count - begin)));
    return absl::OkStatus();
  }

  absl::Status Broadcast(void* data, int64_t bytes, int64_t root) override {
    PONDER_CHECK(bytes >= 0 && bytes % int64_t{sizeof(float)} == 0);
    const int64_t count = bytes / int64_t{sizeof(float)};
    for (int64_t begin = 0; begin < count; begin += kPieceFloats) {
      PONDER_RETURN_IF_ERROR(Give(static_cast<float*>(data) + begin,
                                  std::min(kPieceFloats, count - begin),
                                  static_cast<size_t>(root)));
    }
    return absl::OkStatus();
  }
  absl::Status Settle() override { return absl::OkStatus(); }  // they are over

  void Abort(const absl::Status& why) override { meeting_->Abort(why); }

 private:
  absl::Status Give(float* values, int64_t count, size_t root) {
    const int64_t bytes = count * int64_t{sizeof(float)};
    const bool is_apart = !backend_->Info().is_host_memory;
    if (is_apart) copy_.resize(static_cast<size_t>(count));
    float* const mine = is_apart ? copy_.data() : values;
    if (is_apart && rank_ == root) backend_->CopyOut(mine, values, bytes);
    PONDER_ASSIGN_OR_RETURN(const std::vector<Meeting::Piece> pieces,
                            meeting_->Show(rank_, {mine, count}));
    for (const Meeting::Piece& piece : pieces) PONDER_CHECK(piece.count == count);
    PONDER_CHECK(root < pieces.size());
    if (rank_ != root) std::copy_n(pieces[root].values, count, mine);
    PONDER_RETURN_IF_ERROR(meeting_->Wait());
    if (is_apart && rank_ != root) {
      backend_->CopyIn(values, mine, bytes);
      backend_->Synchronize();
    }
    return absl::OkStatus();
  }

  absl::Status AddUp(float* values, int64_t count) {
    const int64_t bytes = count * int64_t{sizeof(float)};
    const bool is_apart = !backend_->Info().is_host_memory;
    if (is_apart) {
      copy_.resize(static_cast<size_t>(count));
      backend_->CopyOut(copy_.data(), values, bytes);
    }
    float* const mine = is_apart ? copy_.data() : values;
    PONDER_ASSIGN_OR_RETURN(const std::vector<Meeting::Piece> pieces,
                            meeting_->Show(rank_, {mine, count}));
    for (const Meeting::Piece& piece : pieces) PONDER_CHECK(piece.count == count);
    // Each rank adds up a part and gives it to all.
    const auto ranks = std::ssize(pieces), rank = static_cast<int64_t>(rank_);
    const int64_t begin = rank * count / ranks, end = (rank + 1) * count / ranks;
    float* const sums = pieces[0].values;
    for (size_t r = 1; r < pieces.size(); ++r) {
      for (int64_t i = begin; i < end; ++i) sums[i] += pieces[r].values[i];
    }
    for (size_t r = 1; r < pieces.size(); ++r)
      std::copy(sums + begin, sums + end, pieces[r].values + begin);
    PONDER_RETURN_IF_ERROR(meeting_->Wait());
    if (is_apart) {
      backend_->CopyIn(values, copy_.data(), bytes);
      backend_->Synchronize();
    }
    return absl::OkStatus();
  }

  Backend* backend_;
  size_t rank_;
  std::shared_ptr<Meeting> meeting_;
  std::string description_;
  std::vector<float> copy_;
};

}  // namespace

std::vector<std::unique_ptr<Collective>> CreateHostCollectives(std::span<Backend* const> backends,
                                                               const std::string& why) {
  const std::string description =
      why.empty() ? "the host's memory" : fmt::format("the host's memory ({})", why);
  const auto meeting = std::make_shared<Meeting>(backends.size());
  std::vector<std::unique_ptr<Collective>> collectives;
  for (size_t rank = 0; rank < backends.size(); ++rank)
    collectives.push_back(
        std::make_unique<HostCollective>(*backends[rank], rank, meeting, description));
  return collectives;
}

}  // namespace ponder::kernels
