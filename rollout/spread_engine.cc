#include "rollout/spread_engine.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/rank_threads.h"

namespace ponder {
namespace {

// Of each engine before the others are waited for: engines whose rounds are not equally long lose
// an eighth of the difference, and results wait for eight tokens at most.
constexpr int kRounds = 8;

class SpreadEngine : public RolloutEngine {
 public:
  explicit SpreadEngine(std::vector<std::unique_ptr<RolloutEngine>> engines)
      : engines_(std::move(engines)), threads_(std::ssize(engines_)) {}

  EngineCapabilities Capabilities() const override {
    EngineCapabilities all = engines_.front()->Capabilities();
    all.max_sequences = 0;
    for (const auto& engine : engines_) {
      const EngineCapabilities one = engine->Capabilities();
      all.max_sequences += one.max_sequences;
      all.max_positions = std::min(all.max_positions, one.max_positions);
    }
    return all;
  }

  absl::Status Submit(RolloutRequest request) override {
    // One at a time, so that each sees where the last one went.
    absl::MutexLock lock(&submitting_);
    const auto open = [](const auto& engine) {
      const EngineLoad load = engine->Load();
      return load.waiting + load.running;
    };
    return (*std::ranges::min_element(engines_, {}, open))->Submit(std::move(request));
  }

  void Cancel(uint64_t request_id) override {
    for (const auto& engine : engines_) engine->Cancel(request_id);
  }

  absl::StatusOr<bool> Step() override {
    std::vector<uint8_t> worked(engines_.size(), 0);
    PONDER_RETURN_IF_ERROR(threads_.Run([&](int64_t rank) -> absl::Status {
      const auto at = static_cast<size_t>(rank);
      for (int round = 0; round < kRounds; ++round) {
        PONDER_ASSIGN_OR_RETURN(const bool more, engines_[at]->Step());
        if (!more) break;
        worked[at] = 1;
      }
      return absl::OkStatus();
    }));
    return std::ranges::any_of(worked, [](uint8_t one) { return one != 0; });
  }

  std::vector<RolloutResult> Poll() override {
    std::vector<RolloutResult> all;
    for (const auto& engine : engines_) {
      std::vector<RolloutResult> results = engine->Poll();
      std::ranges::move(results, std::back_inserter(all));
    }
    return all;
  }

  EngineLoad Load() const override {
    EngineLoad all;
    for (const auto& engine : engines_) {
      const EngineLoad one = engine->Load();
      all.waiting += one.waiting;
      all.running += one.running;
      all.free_pages += one.free_pages;
      all.total_pages += one.total_pages;
      all.prefill_tokens += one.prefill_tokens;
      all.decode_tokens += one.decode_tokens;
      all.cached_tokens += one.cached_tokens;
      all.preemptions += one.preemptions;
    }
    return all;
  }

  void WeightsChanged(int64_t version) override {
    for (const auto& engine : engines_) engine->WeightsChanged(version);
  }

 private:
  const std::vector<std::unique_ptr<RolloutEngine>> engines_;
  RankThreads threads_;
  absl::Mutex submitting_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateSpreadEngine(
    std::vector<std::unique_ptr<RolloutEngine>> engines) {
  PONDER_CHECK(!engines.empty());
  const std::string first = engines.front()->Capabilities().fingerprint;
  for (const auto& engine : engines) {
    if (const std::string found = engine->Capabilities().fingerprint; found != first)
      return FailedPrecondition(
          "the engines compute other bits: {} and {}; choose devices of one kind", first, found);
  }
  return std::make_unique<SpreadEngine>(std::move(engines));
}

}  // namespace ponder
