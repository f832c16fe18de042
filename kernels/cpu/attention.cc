#include "kernels/cpu/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ponder::kernels::cpu {

int64_t AttentionScratchFloats(int64_t group, int64_t head_width) {
  constexpr int64_t kBlock = kBlockPages * kPageTokens;
  const int64_t rows = std::max(kMostAttentionBlocking.rows, group);
  const int64_t stride = (head_width + 15) / 16 * 16;
  // With vectors: at most three [rows, E] and two [rows, 16] arrays and four [16, E] ones (backward
  // by queries).
  const int64_t vectors =
      3 * rows * stride + 2 * rows * kPageTokens + 4 * kPageTokens * stride + 4 * rows;
  // On tiles: at most two [rows, E] arrays and two and a half [rows, 16], with room for a tile
  // behind the rows; a block's keys or values three times in bf16 or the products of three tiles
  // beside them (forward and backward by queries) ...
  const int64_t by_queries = (rows + kPageTokens) * (2 * stride + 40) + 2 * kBlock * stride;
  // ... or the same rows five times in bf16, and the pages of a run in bf16 and twice in fp32.
  const int64_t by_pages =
      5 * kBlock * stride / 2 + 5 * kMostAttentionBlocking.pages * kPageTokens * stride / 2;
  const int64_t of_tiles = 7 * kPageTokens * kBlock;  // scores and the like
  return std::max({vectors, by_queries + of_tiles, by_pages + of_tiles}) + 256;
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

// Whole pages with which both sequences begin.
int64_t SharedPages(const AttentionSequence& a, const AttentionSequence& b) {
  const int64_t pages = std::min(a.key_count, b.key_count) / kPageTokens;
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
                                     int64_t sequence_count, int64_t heads, int64_t most_rows,
                                     bool share) {
  const int64_t step = std::max<int64_t>(1, most_rows / (heads / shape.kv_heads));
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

// Whether `page` is read by the same sequences as the run, right behind it.
bool Continues(const PageRun& run, const PageRun& page) {
  if (run.use_count != page.use_count) return false;
  for (int64_t u = 0; u < run.use_count; ++u) {
    if (page.uses[u].sequence != run.uses[u].sequence ||
        page.uses[u].ordinal != run.uses[u].ordinal + run.count)
      return false;
  }
  return true;
}

// Runs of at most `most` pages; what many queries read first, so that no thread ends with a long
// run alone.
std::vector<PageRun> MakeRuns(const PageReaders& readers, int64_t most) {
  std::vector<PageRun> pages;
  for (size_t i = 0; i + 1 < readers.begins.size(); ++i) {
    pages.push_back(
        {&readers.uses[readers.begins[i]], readers.begins[i + 1] - readers.begins[i], 1});
  }
  std::sort(pages.begin(), pages.end(), [](const PageRun& a, const PageRun& b) {
    return std::pair(a.uses->sequence, a.uses->ordinal) <
           std::pair(b.uses->sequence, b.uses->ordinal);
  });
  std::vector<PageRun> runs;
  for (const PageRun& page : pages) {
    if (!runs.empty() && runs.back().count < most && Continues(runs.back(), page)) {
      ++runs.back().count;
    } else {
      runs.push_back(page);
    }
  }
  const auto work = [](const PageRun& run) {
    int64_t queries = 0;
    for (int64_t u = 0; u < run.use_count; ++u) {
      queries += std::min(run.uses[u].sequence->query_count,
                          run.uses[u].sequence->key_count - run.uses[u].ordinal * kPageTokens);
    }
    return queries * run.count;
  };
  std::stable_sort(runs.begin(), runs.end(),
                   [&](const PageRun& a, const PageRun& b) { return work(a) > work(b); });
  return runs;
}

}  // namespace

void Attention(const CpuContext& context, const AttentionArgs& args) {
  CheckBatch(args.shape, args.sequences, args.sequence_count, args.rows, args.heads);
  if (args.rows == 0) return;
  PONDER_CHECK(args.q != nullptr && args.out != nullptr && args.cache.keys != nullptr &&
               args.cache.values != nullptr);
  const std::vector<AttentionItem> items =
      MakeItems(args.shape, args.sequences, args.sequence_count, args.heads, kAttentionItemRows,
                /*share=*/true);
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
      MakeItems(args.shape, args.sequences, args.sequence_count, args.heads,
                context.primitives.attention_backward_blocking.rows, /*share=*/false);
  context.pool.ParallelFor(static_cast<int64_t>(items.size()), [&](int64_t i) {
    context.primitives.attention_backward_queries(args, items[i], delta, ThreadScratch(floats));
  });

  const PageReaders readers = FindReaders(args.sequences, args.sequence_count);
  // Shorter runs where the threads would not all have some.
  constexpr int64_t kRunsPerThread = 4;
  const int64_t pages = static_cast<int64_t>(readers.begins.size()) - 1;
  const int64_t most =
      std::clamp<int64_t>(pages * args.shape.kv_heads / (kRunsPerThread * context.pool.Threads()),
                          1, context.primitives.attention_backward_blocking.pages);
  const std::vector<PageRun> runs = MakeRuns(readers, most);
  const int64_t count = static_cast<int64_t>(runs.size()) * args.shape.kv_heads;
  context.pool.ParallelFor(count, [&](int64_t i) {
    context.primitives.attention_backward_pages(
        args, runs[i / args.shape.kv_heads], i % args.shape.kv_heads, delta, ThreadScratch(floats));
  });
}

}  // namespace ponder::kernels::cpu
