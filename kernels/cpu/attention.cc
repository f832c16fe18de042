#include "kernels/cpu/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace ponder::kernels::cpu {

int64_t AttentionScratchFloats(int64_t group, int64_t head_width) {
  const int64_t rows = std::max(kAttentionItemRows, group);
  const int64_t stride = (head_width + 15) / 16 * 16;
  // At most three [rows, E] and two [rows, 16] arrays, four [16, E] ones, and small change
  // (backward by queries).
  return 3 * rows * stride + 2 * rows * kPageTokens + 4 * kPageTokens * stride + 4 * rows + 64;
}

namespace {

void CheckBatch(const KvShape& shape, const AttentionSequence* sequences, int64_t sequence_count,
                int64_t rows, int64_t heads) {
  PONDER_CHECK(rows >= 0 && sequence_count >= 0);
  PONDER_CHECK(heads > 0 && shape.kv_heads > 0 && heads % shape.kv_heads == 0,
               fmt::format("H = {}, K = {}", heads, shape.kv_heads));
  PONDER_CHECK(
      shape.head_width > 0 && shape.head_width % 2 == 0 && shape.head_width <= kMaxHeadWidth,
      fmt::format("E = {}", shape.head_width));
  for (int64_t i = 0; i < sequence_count; ++i) {
    const AttentionSequence& sequence = sequences[i];
    PONDER_CHECK(sequence.query_count >= 0 && sequence.query_count <= sequence.key_count,
                 fmt::format("sequence {}: {} queries, {} keys", i, sequence.query_count,
                             sequence.key_count));
    PONDER_CHECK(sequence.query_begin >= 0 && sequence.query_begin + sequence.query_count <= rows,
                 fmt::format("sequence {}: queries {} + {} of {} rows", i, sequence.query_begin,
                             sequence.query_count, rows));
    for (int64_t page = 0; page < KvPagesFor(sequence.key_count); ++page) {
      PONDER_CHECK(sequence.pages[page] >= 0 && sequence.pages[page] < shape.pages,
                   fmt::format("sequence {}: page {} of {}", i, sequence.pages[page], shape.pages));
    }
  }
}

// Pages with which both sequences begin.
int64_t SharedPages(const AttentionSequence& a, const AttentionSequence& b) {
  const int64_t pages = std::min(KvPagesFor(a.key_count), KvPagesFor(b.key_count));
  int64_t shared = 0;
  while (shared < pages && a.pages[shared] == b.pages[shared]) ++shared;
  return shared;
}

// Neighbours that decode behind a common prefix, from sequence `first` on, as far as they share a
// block of pages and fit an item: the prefix is then read once for all of them.
AttentionItem DecodingRun(const AttentionSequence* sequences, int64_t sequence_count, int64_t first,
                          int64_t most) {
  AttentionItem run = {.sequence = &sequences[first], .query_end = 1};
  for (int64_t i = first + 1; i < sequence_count && run.sequence_count < most; ++i) {
    if (sequences[i].query_count != 1) break;
    const int64_t shared = SharedPages(sequences[first], sequences[i]);
    if (shared < kBlockPages) break;  // less than a block is not worth a common item
    run.shared_pages = run.sequence_count == 1 ? shared : std::min(run.shared_pages, shared);
    ++run.sequence_count;
  }
  return run;
}

// Every key/value head of every run of queries; long ones first, so that no thread ends with a long
// one alone.
std::vector<AttentionItem> MakeItems(const KvShape& shape, const AttentionSequence* sequences,
                                     int64_t sequence_count, int64_t heads, bool share) {
  const int64_t step = std::max<int64_t>(1, kAttentionItemRows / (heads / shape.kv_heads));
  std::vector<AttentionItem> items;
  const auto add = [&](AttentionItem item) {
    for (item.kv_head = 0; item.kv_head < shape.kv_heads; ++item.kv_head) items.push_back(item);
  };
  for (int64_t i = 0; i < sequence_count;) {
    if (share && sequences[i].query_count == 1) {
      const AttentionItem run = DecodingRun(sequences, sequence_count, i, step);
      add(run);
      i += run.sequence_count;
      continue;
    }
    for (int64_t query = 0; query < sequences[i].query_count; query += step) {
      add({.sequence = &sequences[i],
           .query_begin = query,
           .query_end = std::min(query + step, sequences[i].query_count)});
    }
    ++i;
  }
  const auto work = [](const AttentionItem& item) {
    return item.sequence_count *
           (item.sequence->key_count - item.sequence->query_count + item.query_end);
  };
  std::stable_sort(items.begin(), items.end(), [&](const AttentionItem& a, const AttentionItem& b) {
    return work(a) > work(b);
  });
  return items;
}

// All readers of each page, pages in order of number, readers in order of sequence.
struct PageReaders {
  std::vector<PageUse> uses;
  std::vector<int64_t> begins;  // of each page's run in `uses`, and the end
};

PageReaders FindReaders(const AttentionSequence* sequences, int64_t sequence_count) {
  PageReaders readers;
  for (int64_t i = 0; i < sequence_count; ++i) {
    if (sequences[i].query_count == 0) continue;
    for (int64_t page = 0; page < KvPagesFor(sequences[i].key_count); ++page) {
      readers.uses.push_back({&sequences[i], page});
    }
  }
  const auto number = [](const PageUse& use) { return use.sequence->pages[use.ordinal]; };
  std::stable_sort(readers.uses.begin(), readers.uses.end(),
                   [&](const PageUse& a, const PageUse& b) { return number(a) < number(b); });
  for (size_t i = 0; i < readers.uses.size(); ++i) {
    if (i == 0 || number(readers.uses[i]) != number(readers.uses[i - 1]))
      readers.begins.push_back(i);
  }
  readers.begins.push_back(static_cast<int64_t>(readers.uses.size()));
  return readers;
}

}  // namespace

void Attention(const CpuContext& context, const AttentionArgs& args) {
  CheckBatch(args.shape, args.sequences, args.sequence_count, args.rows, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.q != nullptr && args.out != nullptr && args.cache.keys != nullptr &&
               args.cache.values != nullptr);
  const std::vector<AttentionItem> items =
      MakeItems(args.shape, args.sequences, args.sequence_count, args.heads, /*share=*/true);
  const int64_t floats =
      AttentionScratchFloats(args.heads / args.shape.kv_heads, args.shape.head_width);
  const int64_t count = static_cast<int64_t>(items.size());
  const int64_t threads = context.pool.Threads();
  context.pool.ParallelFor(count, [&](int64_t i) {
    const AttentionItem* next = i + threads < count ? &items[i + threads] : nullptr;
    context.primitives.attention(args, items[i], next, ThreadScratch(floats));
  });
}

void AttentionBackward(const CpuContext& context, const AttentionBackwardArgs& args) {
  CheckBatch(args.shape, args.sequences, args.sequence_count, args.rows, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.q != nullptr && args.out != nullptr && args.cache.keys != nullptr &&
               args.cache.values != nullptr);
  PONDER_CHECK(args.logsumexp != nullptr && args.d_out != nullptr && args.d_q != nullptr);
  PONDER_CHECK(args.d_keys != nullptr && args.d_values != nullptr);
  const int64_t floats =
      AttentionScratchFloats(args.heads / args.shape.kv_heads, args.shape.head_width);
  context.workspace.Reset();
  float* delta = context.workspace.Take<float>(args.rows * args.heads);
  constexpr int64_t kDeltaRows = 64;
  ParallelRuns(context.pool, args.rows, kDeltaRows, [&](int64_t begin, int64_t end) {
    context.primitives.attention_delta(args, begin, end, delta);
  });

  const std::vector<AttentionItem> items =
      MakeItems(args.shape, args.sequences, args.sequence_count, args.heads, /*share=*/false);
  context.pool.ParallelFor(static_cast<int64_t>(items.size()), [&](int64_t i) {
    context.primitives.attention_backward_queries(args, items[i], delta, ThreadScratch(floats));
  });

  const PageReaders readers = FindReaders(args.sequences, args.sequence_count);
  const int64_t pages = static_cast<int64_t>(readers.begins.size()) - 1;
  context.pool.ParallelFor(pages * args.shape.kv_heads, [&](int64_t i) {
    const int64_t page = i / args.shape.kv_heads;
    context.primitives.attention_backward_page(args, readers.uses.data() + readers.begins[page],
                                               readers.begins[page + 1] - readers.begins[page],
                                               i % args.shape.kv_heads, delta,
                                               ThreadScratch(floats));
  });
}

}  // namespace ponder::kernels::cpu
