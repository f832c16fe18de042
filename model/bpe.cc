#include "model/bpe.h"

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace ponder {
namespace {

absl::string_view AbslView(std::string_view text) { return {text.data(), text.size()}; }

// The tokens of words seen before: some ten million words of a text are some ten thousand different
// ones. Bounded: a full shard starts anew.
class WordCache {
 public:
  bool Find(std::string_view word, std::vector<int32_t>* ids) {
    Shard& shard = ShardOf(word);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.tokens.find(AbslView(word));
    if (found == shard.tokens.end()) return false;
    ids->insert(ids->end(), found->second.begin(), found->second.end());
    return true;
  }

  void Insert(std::string_view word, std::vector<int32_t> tokens) {
    if (word.size() > kMaxWordBytes) return;
    Shard& shard = ShardOf(word);
    absl::MutexLock lock(&shard.mutex);
    if (shard.tokens.size() >= kShardWords) shard.tokens.clear();
    shard.tokens.insert_or_assign(std::string(word), std::move(tokens));
  }

 private:
  // 16 shards, so that threads seldom wait for each other; 16 x 4096 words of at most 128 bytes
  // stay below some 20 MB.
  static constexpr size_t kShards = 16;
  static constexpr size_t kShardWords = 4096;
  static constexpr size_t kMaxWordBytes = 128;

  struct Shard {
    absl::Mutex mutex;
    absl::flat_hash_map<std::string, std::vector<int32_t>> tokens ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(std::string_view word) { return shards_[absl::HashOf(AbslView(word)) % kShards]; }

  std::array<Shard, kShards> shards_;
};

// A node of the list of tokens that a word is made of so far.
struct Symbol {
  int32_t id = 0;
  int32_t previous = -1;
  int32_t next = -1;
  bool is_merged_away = false;
};

// A pair that could be merged: the symbol at `position` with its next one.
struct Candidate {
  int32_t rank = 0;
  int32_t position = 0;
  int32_t result = 0;

  // For a heap with the lowest rank on top, leftmost first.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

class MergingBpe : public Bpe {
 public:
  explicit MergingBpe(BpeParams params)
      : byte_ids_(std::move(params.byte_ids)),
        unknown_(params.unknown),
        fuse_unknown_(params.fuse_unknown) {
    PONDER_CHECK(byte_ids_.size() == 256);
    merges_.reserve(params.merges.size());
    for (size_t rank = 0; rank < params.merges.size(); ++rank) {
      const BpeMerge& merge = params.merges[rank];
      merges_.insert_or_assign(Key(merge.left, merge.right),
                               Rule{static_cast<int32_t>(rank), merge.result});
    }
    whole_words_.reserve(params.whole_words.size());
    for (auto& [word, id] : params.whole_words) whole_words_.emplace(std::move(word), id);
  }

  void Encode(std::string_view word, std::vector<int32_t>* ids) const override {
    const auto whole = whole_words_.find(AbslView(word));
    if (whole != whole_words_.end()) {
      ids->push_back(whole->second);
      return;
    }
    if (cache_.Find(word, ids)) return;
    const size_t before = ids->size();
    Merge(word, ids);
    cache_.Insert(word, std::vector<int32_t>(ids->begin() + before, ids->end()));
  }

  int64_t EncodeUncached(std::string_view word, std::vector<int32_t>* ids) const override {
    const auto whole = whole_words_.find(AbslView(word));
    if (whole == whole_words_.end()) return Merge(word, ids);
    ids->push_back(whole->second);
    return 0;
  }

 private:
  struct Rule {
    int32_t rank = 0;
    int32_t result = 0;
  };

  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  const Rule* Find(int32_t left, int32_t right) const {
    const auto found = merges_.find(Key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
  }

  std::vector<Symbol> Symbols(std::string_view word) const {
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    bool last_is_unknown = false;
    for (const char byte : word) {
      int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
      const bool is_unknown = id < 0;
      if (is_unknown) {
        const bool fused = last_is_unknown && fuse_unknown_;
        if (!unknown_.has_value() || fused) continue;
        id = *unknown_;
      }
      last_is_unknown = is_unknown;
      const auto position = static_cast<int32_t>(symbols.size());
      if (position > 0) symbols.back().next = position;
      symbols.push_back({id, position - 1, -1, false});
    }
    return symbols;
  }

  // Returns the number of candidates that were looked at: n - 1 at first and at most two more for
  // each of the at most n - 1 merges.
  int64_t Merge(std::string_view word, std::vector<int32_t>* ids) const {
    std::vector<Symbol> symbols = Symbols(word);
    std::vector<Candidate> heap;
    const auto consider = [&](int32_t position) {
      const int32_t next = symbols[position].next;
      if (next < 0) return;
      if (const Rule* rule = Find(symbols[position].id, symbols[next].id)) {
        heap.push_back({rule->rank, position, rule->result});
      }
    };
    for (size_t i = 0; i < symbols.size(); ++i) consider(static_cast<int32_t>(i));
    std::make_heap(heap.begin(), heap.end());

    int64_t looked_at = 0;
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Candidate candidate = heap.back();
      heap.pop_back();
      ++looked_at;
      Symbol& left = symbols[candidate.position];
      if (left.is_merged_away || left.next < 0) continue;
      Symbol& right = symbols[left.next];
      const Rule* rule = Find(left.id, right.id);
      // Since the candidate was noted, one of its two may have grown.
      if (rule == nullptr || rule->result != candidate.result) continue;
      left.id = candidate.result;
      left.next = right.next;
      right.is_merged_away = true;
      if (left.next >= 0) symbols[left.next].previous = candidate.position;
      for (const int32_t position : {left.previous, candidate.position}) {
        if (position < 0) continue;
        const size_t before = heap.size();
        consider(position);
        if (heap.size() > before) std::push_heap(heap.begin(), heap.end());
      }
    }
    for (int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = symbols[i].next)
      ids->push_back(symbols[i].id);
    return looked_at;
  }

  std::vector<int32_t> byte_ids_;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_;
  absl::flat_hash_map<uint64_t, Rule> merges_;
  absl::flat_hash_map<std::string, int32_t> whole_words_;
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<Bpe> CreateBpe(BpeParams params) {
  return std::make_unique<MergingBpe>(std::move(params));
}

}  // namespace ponder
