#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "rollout/page_allocator.h"
#include "rollout/sequence.h"

namespace ponder {

struct SchedulerOptions {
  int64_t max_sequences = 0;
  int64_t max_step_tokens = 0;  // at least max_sequences
  int64_t pages = 0;
};

// The next `count` tokens of a sequence, from `sequence->computed` on; a token is sampled where
// they reach its end.
struct Chunk {
  Sequence* sequence = nullptr;
  int64_t count = 0;

  bool Samples() const { return count == sequence->Remaining(); }
};

// Decides what each step runs: a place for every running sequence first, what is left of the token
// limit for prompts, in chunks. Waiting sequences are admitted in order as soon as a place, pages
// and tokens are there. Where pages run out, the youngest running sequence gives up its own and
// waits at the front to be computed again; the oldest never does, so every sequence that fits the
// cache alone comes to its end. Not thread-safe.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  void Add(std::unique_ptr<Sequence> sequence);

  // The chunks of the next step with their pages in place: first those that follow a pending token,
  // then the others, older sequences first. A chunk may read pages that another one fills. Empty
  // where there is no sequence, or none that is not drawing its last token. Call Commit or Abandon
  // before the next Plan; at that time no sequence has more than one token pending, of the step
  // planned last.
  std::vector<Chunk> Plan();
  // The chunks were launched. Those that sample have a token more pending.
  void Commit(const std::vector<Chunk>& chunks);
  // The chunks have failed: what was computed is forgotten, everything waits again.
  void Abandon();

  // Takes a sequence out; its pages and its place are free.
  std::unique_ptr<Sequence> Finish(Sequence* sequence);
  // Takes every sequence out whose request is `unwanted`.
  std::vector<std::unique_ptr<Sequence>> Remove(
      const std::function<bool(const RolloutRequest& request)>& unwanted);
  // Pages computed before do not serve sequences that start from now on, nor those that have not
  // sampled yet.
  void WeightsChanged();

  int64_t Waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t Running() const { return static_cast<int64_t>(running_.size()); }
  int64_t Preemptions() const { return preemptions_; }
  int64_t CachedTokens() const {
    return cached_tokens_;
  }  // found in shared pages instead of computed
  const PageAllocator& Pages() const { return pages_; }

 private:
  bool Admit(int64_t budget, std::vector<Chunk>& chunks);
  bool MakeRoom(size_t index, int64_t tokens);
  void PreemptYoungest();
  void PublishPages(Sequence& sequence, int64_t count);
  void ReleasePages(Sequence& sequence);

  const SchedulerOptions options_;
  PageAllocator pages_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of admission
  int64_t preemptions_ = 0;
  int64_t cached_tokens_ = 0;
};

}  // namespace ponder
