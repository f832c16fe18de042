#include "model/attention_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/kv_cache.h"

namespace ponder {
namespace {

using kernels::AttentionRun;
using kernels::AttentionSequence;
using testing::ElementsAre;

// Sequences that share their first pages with the ones before.
struct Sequences {
  void Add(int64_t keys, int64_t shared_pages, int64_t queries = 1) {
    std::vector<int32_t> table(static_cast<size_t>(kernels::KvPagesFor(keys)));
    std::iota(table.begin(), table.end(), next_page);
    next_page += static_cast<int32_t>(table.size());
    if (!pages.empty()) std::copy_n(pages.back().begin(), shared_pages, table.begin());
    pages.push_back(table);
    all.push_back({.query_count = queries, .key_count = keys});
  }
  // "first+count:keys" of each run.
  std::vector<std::string> Runs(int64_t group) {
    std::vector<std::string> found;
    for (const AttentionRun& run : FindRuns(all, pages, group)) {
      found.push_back(std::to_string(run.first) + "+" + std::to_string(run.count) + ":" +
                      std::to_string(run.keys));
    }
    return found;
  }
  std::vector<int64_t> SharedKeys() const {
    std::vector<int64_t> keys;
    for (const AttentionSequence& sequence : all) keys.push_back(sequence.shared_keys);
    return keys;
  }

  std::vector<AttentionSequence> all;
  std::vector<std::vector<int32_t>> pages;
  int32_t next_page = 0;
};

TEST(AttentionRuns, AreTheNeighboursOfAGroupUpToTheEndOfTheirPrompt) {
  Sequences sequences;
  sequences.Add(150, 0);
  sequences.Add(170, 9);
  sequences.Add(155, 9);
  sequences.Add(300, 0);
  sequences.Add(310, 18);
  EXPECT_THAT(sequences.Runs(4), ElementsAre("0+3:128", "3+2:288"));
  EXPECT_THAT(sequences.SharedKeys(), ElementsAre(128, 128, 128, 288, 288));
}

TEST(AttentionRuns, ShortBeginningsAreNotWorthOne) {
  Sequences sequences;
  sequences.Add(150, 0);
  sequences.Add(150, 7);
  EXPECT_THAT(sequences.Runs(4), ElementsAre());
  EXPECT_THAT(sequences.SharedKeys(), ElementsAre(0, 0));
}

TEST(AttentionRuns, ASystemPromptInCommonDoesNotShortenThoseOfTheGroups) {
  Sequences sequences;
  sequences.Add(400, 0);
  sequences.Add(400, 20);
  sequences.Add(400, 10);  // another prompt behind the same 160 tokens
  sequences.Add(400, 20);
  EXPECT_THAT(sequences.Runs(1), ElementsAre("0+2:320", "2+2:320"));
}

TEST(AttentionRuns, HoldWhatOneBlockOfThreadsHolds) {
  Sequences sequences;
  for (int i = 0; i < 20; ++i) sequences.Add(200, i == 0 ? 0 : 12);
  EXPECT_THAT(sequences.Runs(7), ElementsAre("0+9:192", "9+9:192", "18+2:192"));
  EXPECT_THAT(sequences.Runs(64), ElementsAre());
}

TEST(AttentionRuns, PromptsAreNotInThemAndLastKeysAreNotBeyondASequence) {
  Sequences sequences;
  sequences.Add(200, 0, 200);
  sequences.Add(200, 12);
  sequences.Add(129, 9);  // its ninth page holds one key
  EXPECT_THAT(sequences.Runs(2), ElementsAre("1+2:128"));
}

}  // namespace
}  // namespace ponder
