#include "rollout/scheduler.h"

#include <algorithm>
#include <span>

#include "base/check.h"

namespace ponder {

using kernels::kPageTokens;
using kernels::KvPagesFor;

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options), pages_(options.pages) {
  PONDER_CHECK(options.max_sequences > 0 && options.max_step_tokens >= options.max_sequences);
}

void Scheduler::Add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

std::vector<Chunk> Scheduler::Plan() {
  std::vector<Chunk> chunks;
  int64_t decoding = 0;
  for (const auto& sequence : running_)
    decoding += !sequence->IsFull() && sequence->Remaining() == 1;
  int64_t prefill = options_.max_step_tokens - decoding;

  // Oldest first: whoever is preempted on the way is younger, so not in the plan yet.
  const int64_t preemptions_before = preemptions_;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.IsFull()) continue;
    const bool decodes = sequence.Remaining() == 1;
    const int64_t count = decodes ? 1 : std::min(sequence.Remaining(), prefill);
    if (count == 0) continue;
    if (!MakeRoom(i, sequence.computed + count)) break;
    if (!decodes) prefill -= count;
    PublishPages(sequence, count);
    chunks.push_back({&sequence, count});
  }
  // A step that had to preempt admits nobody: the newcomer would be the next to go.
  if (preemptions_ == preemptions_before) {
    while (prefill > 0 && Admit(prefill, chunks)) prefill -= chunks.back().count;
  }
  const auto is_full = [](const auto& sequence) { return sequence->IsFull(); };
  PONDER_CHECK(!chunks.empty() ||
               (std::ranges::all_of(running_, is_full) && (!running_.empty() || waiting_.empty())));
  std::ranges::stable_partition(chunks,
                                [](const Chunk& chunk) { return chunk.sequence->pending > 0; });
  return chunks;
}

void Scheduler::Commit(const std::vector<Chunk>& chunks) {
  int64_t draws = 0;
  for (const Chunk& chunk : chunks) {
    Sequence& sequence = *chunk.sequence;
    if (chunk.Samples()) {
      sequence.draw = draws++;
      ++sequence.pending;
    }
    sequence.computed += chunk.count;
  }
}

void Scheduler::Abandon() {
  while (!running_.empty()) PreemptYoungest();
  for (const auto& sequence : waiting_) sequence->pending = 0;
  pages_.ForgetContent();
}

std::unique_ptr<Sequence> Scheduler::Finish(Sequence* sequence) {
  std::unique_ptr<Sequence> finished;
  const auto take_from = [&](auto& sequences) {
    const auto place = std::ranges::find(sequences, sequence, &std::unique_ptr<Sequence>::get);
    if (place == sequences.end()) return;
    finished = std::move(*place);
    sequences.erase(place);
  };
  take_from(running_);
  if (finished == nullptr) take_from(waiting_);  // preempted behind the step that drew its end
  PONDER_CHECK(finished != nullptr);
  ReleasePages(*finished);
  return finished;
}

std::vector<std::unique_ptr<Sequence>> Scheduler::Remove(
    const std::function<bool(const RolloutRequest& request)>& unwanted) {
  std::vector<std::unique_ptr<Sequence>> removed;
  const auto take_from = [&](auto& sequences) {
    for (auto place = sequences.begin(); place != sequences.end();) {
      if (!unwanted(*(*place)->request)) {
        ++place;
        continue;
      }
      ReleasePages(**place);
      removed.push_back(std::move(*place));
      place = sequences.erase(place);
    }
  };
  take_from(running_);
  take_from(waiting_);
  return removed;
}

void Scheduler::WeightsChanged() {
  // A completion's versions say which weights sampled it, and so those of the keys and values
  // before its first token: what an older version has computed of a prompt alone is computed again.
  for (auto place = running_.end(); place != running_.begin();) {
    --place;
    if ((*place)->Drawn() > 0) {
      (*place)->shareable = false;
      continue;
    }
    ReleasePages(**place);
    waiting_.push_front(std::move(*place));
    place = running_.erase(place);
  }
  pages_.ForgetContent();
}

// Starts the first waiting sequence where a place and pages for all its tokens are there.
bool Scheduler::Admit(int64_t budget, std::vector<Chunk>& chunks) {
  const int64_t decoding =
      std::ranges::count_if(running_, [](const auto& sequence) { return !sequence->IsFull(); });
  if (waiting_.empty() || decoding == options_.max_sequences) return false;
  Sequence& sequence = *waiting_.front();
  const std::span<const int32_t> tokens = sequence.tokens;

  // At least the last token is run, for the hidden state behind it.
  std::vector<int32_t> shared;
  int64_t idle = 0;
  for (int64_t begin = 0; begin + kPageTokens < std::ssize(tokens); begin += kPageTokens) {
    const int32_t parent = shared.empty() ? -1 : shared.back();
    const auto page = pages_.Find(parent, tokens.subspan(begin, kPageTokens));
    if (!page.has_value()) break;
    shared.push_back(*page);
    idle += pages_.References(*page) == 0;
  }
  // One page more, so that it does not go at the next step already.
  const int64_t needed = KvPagesFor(std::ssize(tokens)) - std::ssize(shared) + idle;
  if (pages_.Free() < needed + (running_.empty() ? 0 : 1)) return false;

  for (const int32_t page : shared) pages_.Retain(page);
  sequence.pages = std::move(shared);
  sequence.published = std::ssize(sequence.pages);
  sequence.computed = sequence.published * kPageTokens;
  sequence.shareable = true;
  cached_tokens_ += sequence.computed;
  running_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();

  const int64_t count = std::min(sequence.Remaining(), budget);
  PONDER_CHECK(MakeRoom(running_.size() - 1, sequence.computed + count));
  PublishPages(sequence, count);
  chunks.push_back({&sequence, count});
  return true;
}

// Gives running sequence `index` pages for its first `tokens` tokens. False where it had to be
// preempted itself.
bool Scheduler::MakeRoom(size_t index, int64_t tokens) {
  Sequence& sequence = *running_[index];
  while (std::ssize(sequence.pages) < KvPagesFor(tokens)) {
    if (pages_.Free() > 0) {
      sequence.pages.push_back(pages_.Take());
      continue;
    }
    const bool itself = index + 1 == running_.size();
    PreemptYoungest();
    if (itself) return false;
  }
  return true;
}

void Scheduler::PreemptYoungest() {
  std::unique_ptr<Sequence> victim = std::move(running_.back());
  running_.pop_back();
  ReleasePages(*victim);
  waiting_.push_front(std::move(victim));
  ++preemptions_;
}

// Indexes the pages that are full of known tokens once the next `count` were run.
void Scheduler::PublishPages(Sequence& sequence, int64_t count) {
  if (!sequence.shareable) return;
  const std::span<const int32_t> tokens = sequence.tokens;
  const int64_t end = std::min(sequence.computed + count, std::ssize(tokens)) / kPageTokens;
  for (; sequence.published < end; ++sequence.published) {
    const int64_t i = sequence.published;
    pages_.Publish(sequence.pages[i], i == 0 ? -1 : sequence.pages[i - 1],
                   tokens.subspan(i * kPageTokens, kPageTokens));
  }
}

void Scheduler::ReleasePages(Sequence& sequence) {
  while (!sequence.pages.empty()) {
    pages_.Release(sequence.pages.back());
    sequence.pages.pop_back();
  }
  sequence.computed = 0;
  sequence.published = 0;
}

}  // namespace ponder
