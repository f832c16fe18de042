#include "rollout/fed_engine.h"

#include <algorithm>
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
        threads_(1 + std::ssize(targets_)) {
    for (const FeedTarget& target : targets_)
      PONDER_CHECK(target.weights->ArenaBytes() == source_.ArenaBytes() &&
                   target.weights->Order() == source_.Order());
  }

  EngineCapabilities Capabilities() const override { return inner_->Capabilities(); }
  absl::Status Submit(RolloutRequest request) override {
    return inner_->Submit(std::move(request));
  }
  void Cancel(uint64_t request_id) override { inner_->Cancel(request_id); }
  absl::StatusOr<bool> Step() override {
    if (source_.Version() != fed_version_) PONDER_RETURN_IF_ERROR(Feed());
    return inner_->Step();
  }
  std::vector<RolloutResult> Poll() override { return inner_->Poll(); }
  EngineLoad Load() const override { return inner_->Load(); }
  void WeightsChanged(int64_t version) override { inner_->WeightsChanged(version); }

 private:
  absl::Status Feed() {
    const int64_t version = source_.Version(), bytes = source_.ArenaBytes();
    PONDER_RETURN_IF_ERROR(threads_.Run(
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
  RankThreads threads_;
  int64_t fed_version_ = -1;  // none yet
};

}  // namespace

std::unique_ptr<RolloutEngine> CreateFedEngine(std::unique_ptr<RolloutEngine> inner,
                                               const Weights& source, kernels::Collective& root,
                                               std::vector<FeedTarget> targets) {
  return std::make_unique<FedEngine>(std::move(inner), source, root, std::move(targets));
}

}  // namespace ponder
