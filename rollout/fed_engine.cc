#include "rollout/fed_engine.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/rank_threads.h"

namespace ponder {
namespace {

// Long enough to fill the links, short enough that the next one is under way while one arrives.
constexpr int64_t kPieceBytes = int64_t{64} << 20;

class FedEngine : public RolloutEngine {
 public:
  FedEngine(std::unique_ptr<RolloutEngine> inner, const Weights& source, kernels::Collective& root,
            std::vector<FeedTarget> targets)
      : inner_(std::move(inner)),
        source_(source),
        root_(root),
        targets_(std::move(targets)),
        feeders_(1 + std::ssize(targets_)) {
    for (const FeedTarget& target : targets_) {
      PONDER_CHECK(target.weights->ArenaBytes() == source_.ArenaBytes() &&
                   target.weights->Order() == source_.Order());
    }
    thread_ = std::thread([this] { Loop(); });
  }
  ~FedEngine() override {
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    thread_.join();
  }

  EngineCapabilities Capabilities() const override { return inner_->Capabilities(); }
  absl::Status Submit(RolloutRequest request) override {
    if (source_.Version() != fed_version_) {
      absl::MutexLock lock(&stepping_);
      PONDER_RETURN_IF_ERROR(Feed());
    }
    const absl::Status status = inner_->Submit(std::move(request));
    WakeUp();
    return status;
  }
  void Cancel(uint64_t request_id) override {
    inner_->Cancel(request_id);
    WakeUp();
  }
  // Waits for a round that begins from now on; true also where there is something to poll.
  absl::StatusOr<bool> Step() override {
    absl::MutexLock lock(&mutex_);
    const int64_t round = begun_ + 1;
    is_wanted_ = true;
    const auto is_over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return done_ >= round || !status_.ok();
    };
    mutex_.Await(absl::Condition(&is_over));
    PONDER_RETURN_IF_ERROR(std::exchange(status_, absl::OkStatus()));
    return last_worked_ >= round || !finished_.empty();
  }
  std::vector<RolloutResult> Poll() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(finished_, {});
  }
  EngineLoad Load() const override { return inner_->Load(); }
  void WeightsChanged(int64_t version) override {
    absl::Status status;
    {
      absl::MutexLock lock(&stepping_);
      status = Feed();
      inner_->WeightsChanged(version);
    }
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }

 private:
  void WakeUp() {
    absl::MutexLock lock(&mutex_);
    is_wanted_ = true;
  }

  // Rounds, as long as there is something to do.
  void Loop() {
    while (true) {
      int64_t round = 0;
      {
        absl::MutexLock lock(&mutex_);
        const auto has_news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return stop_ || is_wanted_;
        };
        mutex_.Await(absl::Condition(&has_news));
        if (stop_) return;
        is_wanted_ = false;
        round = ++begun_;
      }
      absl::StatusOr<bool> worked = false;
      try {
        absl::MutexLock lock(&stepping_);
        worked = inner_->Step();
      } catch (const std::exception& error) {
        worked = Internal("the engine cannot go on: {}", error.what());
      }
      std::vector<RolloutResult> results = inner_->Poll();
      absl::MutexLock lock(&mutex_);
      done_ = round;
      std::ranges::move(results, std::back_inserter(finished_));
      if (!worked.ok()) {
        status_ = worked.status();
      } else if (*worked) {
        last_worked_ = round;
        is_wanted_ = true;
      }
    }
  }

  absl::Status Feed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stepping_) {
    const int64_t version = source_.Version(), bytes = source_.ArenaBytes();
    PONDER_RETURN_IF_ERROR(feeders_.Run(
        [&](int64_t rank) -> absl::Status {
          const auto at = static_cast<size_t>(rank);
          kernels::Collective& end = rank == 0 ? root_ : *targets_[at - 1].collective;
          const Weights& weights = rank == 0 ? source_ : *targets_[at - 1].weights;
          auto* const arena = static_cast<char*>(weights.Arena().data);
          for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
            PONDER_RETURN_IF_ERROR(
                end.Broadcast(arena + begin, std::min(kPieceBytes, bytes - begin), /*root=*/0));
          }
          return absl::OkStatus();
        },
        [&](const absl::Status& why) { root_.Abort(why); }));
    for (const FeedTarget& target : targets_) target.weights->SetVersion(version);
    fed_version_ = version;
    return absl::OkStatus();
  }

  const std::unique_ptr<RolloutEngine> inner_;
  const Weights& source_;
  kernels::Collective& root_;
  const std::vector<FeedTarget> targets_;
  RankThreads feeders_;
  int64_t fed_version_ = -1;  // none yet; of the thread that updates the source

  absl::Mutex stepping_;  // held while the targets' devices are given work
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_wanted_ ABSL_GUARDED_BY(mutex_) = false;  // a round that may find something to do
  int64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;       // rounds
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_worked_ ABSL_GUARDED_BY(mutex_) = 0;  // the last round that found something
  absl::Status status_ ABSL_GUARDED_BY(mutex_);      // of a round, for the next Step
  std::vector<RolloutResult> finished_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace

std::unique_ptr<RolloutEngine> CreateFedEngine(std::unique_ptr<RolloutEngine> inner,
                                               const Weights& source, kernels::Collective& root,
                                               std::vector<FeedTarget> targets) {
  return std::make_unique<FedEngine>(std::move(inner), source, root, std::move(targets));
}

}  // namespace ponder
