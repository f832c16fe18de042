#include "learner/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/random.h"
#include "kernels/kv_cache.h"

namespace ponder {
namespace {

using kernels::kPageTokens;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr PackingLimits kRoomy = {.max_rows = 4096,
                                  .max_pages = 512,
                                  .max_positions = 1024,
                                  .vocabulary = 100,
                                  .valid_vocabulary = 90};

Completion MakeCompletion(std::vector<int32_t> ids) {
  Completion completion;
  completion.sampled_mask.assign(ids.size(), 1);
  completion.logprobs.assign(ids.size(), -0.5f);
  completion.versions = {{0, 7}};
  completion.token_ids = std::move(ids);
  return completion;
}

std::vector<int32_t> Iota(int64_t count, int32_t first = 0) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

ScoredGroup MakeGroup(std::vector<int32_t> prompt, std::vector<Completion> completions,
                      std::vector<float> advantages) {
  ScoredGroup scored;
  scored.group.task.id = "sum-1";
  scored.group.prompt_ids = std::move(prompt);
  scored.group.completions = std::move(completions);
  scored.advantages = std::move(advantages);
  return scored;
}

// Groups of many shapes: prompts around page borders, completions of 0 to 50 tokens, some tokens
// that were not sampled.
std::vector<ScoredGroup> RandomGroups(uint64_t seed) {
  RandomStream random(MakeRandomKey(seed, "packing-test"));
  std::vector<ScoredGroup> groups;
  const int64_t count = random.Between(1, 12);
  for (int64_t g = 0; g < count; ++g) {
    std::vector<int32_t> prompt;
    for (int64_t t = random.Between(1, 50); t > 0; --t)
      prompt.push_back(static_cast<int32_t>(random.Between(0, 99)));
    std::vector<Completion> completions;
    std::vector<float> advantages;
    for (int64_t c = random.Between(1, 9); c > 0; --c) {
      Completion completion;
      for (int64_t t = random.Between(0, 50); t > 0; --t) {
        completion.token_ids.push_back(static_cast<int32_t>(random.Between(0, 89)));
        completion.sampled_mask.push_back(random.Uniform() < 0.8 ? 1 : 0);
        completion.logprobs.push_back(static_cast<float>(-random.Uniform()));
      }
      completion.versions = {{0, 3}, {10, 4}};
      completions.push_back(completion);
      advantages.push_back(g % 4 == 3 ? 0.0f : static_cast<float>(random.Normal()));
    }
    groups.push_back(MakeGroup(prompt, completions, advantages));
    groups.back().group.temperature = g % 2 == 0 ? 0.5f : 0.0f;
  }
  return groups;
}

bool HasSignal(const ScoredGroup& group) {
  return std::ranges::any_of(group.advantages, [](float value) { return value != 0; });
}

// The tokens that a row sees, itself included, read back through the page tables.
std::vector<int32_t> ContextOfRow(const MicroBatch& micro_batch, int64_t row) {
  const DecoderBatch& batch = micro_batch.batch;
  std::map<int32_t, int32_t> id_of_slot;
  for (size_t i = 0; i < batch.slots.size(); ++i) id_of_slot[batch.slots[i]] = batch.ids[i];
  for (const kernels::AttentionSequence& sequence : batch.sequences) {
    if (row < sequence.query_begin || row >= sequence.query_begin + sequence.query_count) continue;
    const int64_t position = sequence.key_count - sequence.query_count + row - sequence.query_begin;
    std::vector<int32_t> context;
    for (int64_t p = 0; p <= position; ++p) {
      context.push_back(id_of_slot.at(
          static_cast<int32_t>(sequence.pages[p / kPageTokens] * kPageTokens + p % kPageTokens)));
    }
    return context;
  }
  return {};
}

TEST(PackGroups, DealsEveryGroupToOneRankAndCountsAllOfThemOnEach) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<ScoredGroup> groups = RandomGroups(seed);
    const Packing whole = PackGroups(groups, "token_mean", 64, kRoomy).value();
    EXPECT_EQ(whole.all_target_tokens, whole.target_tokens);
    std::map<TokenOrigin, float> expected, found;
    const auto note = [](const Packing& packing, std::map<TokenOrigin, float>& weights) {
      for (const MicroBatch& micro_batch : packing.micro_batches) {
        for (size_t i = 0; i < micro_batch.rows.size(); ++i)
          weights.emplace(micro_batch.origins[i], micro_batch.weights[i]);
      }
    };
    note(whole, expected);
    const int64_t ranks = 2 + static_cast<int64_t>(seed % 3);
    int64_t targets = 0, rows = 0, most = 0;
    std::map<int64_t, int64_t> rank_of;  // by group
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const Packing share =
          PackGroups(groups, "token_mean", 64, kRoomy, {.rank = rank, .ranks = ranks}).value();
      EXPECT_EQ(share.completions, whole.completions);
      EXPECT_EQ(share.sampled_tokens, whole.sampled_tokens);
      EXPECT_EQ(share.left_out_completions, whole.left_out_completions);
      EXPECT_EQ(share.all_target_tokens, whole.target_tokens);
      targets += share.target_tokens;
      rows += share.rows;
      most = std::max(most, share.rows);
      note(share, found);
      for (const MicroBatch& micro_batch : share.micro_batches) {
        for (const TokenOrigin& origin : micro_batch.origins)
          EXPECT_EQ(rank_of.emplace(origin.group, rank).first->second, rank) << "a group in two";
      }
    }
    EXPECT_EQ(found, expected) << "the same tokens, with the weights of the whole";
    EXPECT_EQ(targets, whole.target_tokens);
    EXPECT_EQ(rows, whole.rows);
    // The largest first: no rank has more than its part and one group beyond.
    int64_t largest = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
      if (!HasSignal(groups[g])) continue;
      largest = std::max(
          largest, PackGroups(std::span(groups).subspan(g, 1), "token_mean", 64, kRoomy)->rows);
    }
    EXPECT_LE(most, rows / ranks + largest);
  }
}

TEST(PackGroups, PutsEverySampledTokenOfGroupsWithSignalExactlyOnceBehindItsOwnContext) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<ScoredGroup> groups = RandomGroups(seed);
    PackingLimits limits = kRoomy;
    limits.max_rows = seed % 2 == 0 ? 101 : 700;
    limits.max_pages = MicroBatchPages(limits.max_rows);
    auto packing = PackGroups(groups, "token_mean", 64, limits);
    ASSERT_TRUE(packing.ok()) << packing.status();

    std::set<TokenOrigin> expected;
    for (size_t g = 0; g < groups.size(); ++g) {
      if (!HasSignal(groups[g])) continue;
      for (size_t c = 0; c < groups[g].group.completions.size(); ++c) {
        const Completion& completion = groups[g].group.completions[c];
        for (size_t t = 0; t < completion.token_ids.size(); ++t) {
          if (completion.sampled_mask[t] != 0)
            expected.insert(
                {static_cast<int64_t>(g), static_cast<int64_t>(c), static_cast<int64_t>(t)});
        }
      }
    }
    std::set<TokenOrigin> found;
    for (const MicroBatch& micro_batch : packing->micro_batches) {
      std::set<int64_t> rows;
      for (size_t i = 0; i < micro_batch.rows.size(); ++i) {
        const TokenOrigin& origin = micro_batch.origins[i];
        EXPECT_TRUE(found.insert(origin).second) << "a token twice";
        EXPECT_TRUE(rows.insert(micro_batch.rows[i]).second) << "a row twice";
        const ScoredGroup& scored = groups[static_cast<size_t>(origin.group)];
        const Completion& completion =
            scored.group.completions[static_cast<size_t>(origin.completion)];
        const size_t token = static_cast<size_t>(origin.token);
        EXPECT_EQ(micro_batch.targets[i], completion.token_ids[token]);
        EXPECT_EQ(micro_batch.behaviour[i], completion.logprobs[token]);
        EXPECT_EQ(micro_batch.advantages[i],
                  scored.advantages[static_cast<size_t>(origin.completion)]);
        EXPECT_EQ(micro_batch.versions[i], token < 10 ? 3 : 4);
        EXPECT_EQ(micro_batch.inverse_temperatures[i], scored.group.temperature > 0 ? 2.0f : 1.0f);
        std::vector<int32_t> context = scored.group.prompt_ids;
        context.insert(context.end(), completion.token_ids.begin(),
                       completion.token_ids.begin() + origin.token);
        EXPECT_EQ(ContextOfRow(micro_batch, micro_batch.rows[i]), context);
      }
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(packing->target_tokens, static_cast<int64_t>(expected.size()));
  }
}

TEST(PackGroups, KeepsLimitsAndGivesNoSlotToTwoRows) {
  for (uint64_t seed = 100; seed < 140; ++seed) {
    PackingLimits limits = kRoomy;
    limits.max_rows = 120;
    limits.max_pages = MicroBatchPages(limits.max_rows);
    auto packing = PackGroups(RandomGroups(seed), "token_mean", 64, limits);
    ASSERT_TRUE(packing.ok()) << packing.status();
    int64_t rows = 0;
    for (const MicroBatch& micro_batch : packing->micro_batches) {
      EXPECT_LE(micro_batch.batch.Rows(), limits.max_rows);
      EXPECT_LE(micro_batch.pages, limits.max_pages);
      const std::set<int32_t> slots(micro_batch.batch.slots.begin(), micro_batch.batch.slots.end());
      EXPECT_EQ(slots.size(), micro_batch.batch.slots.size());
      for (const int32_t slot : slots) EXPECT_LT(slot, micro_batch.pages * kPageTokens);
      rows += micro_batch.batch.Rows();
    }
    EXPECT_EQ(packing->rows, rows);
  }
}

TEST(PackGroups, ComputesWholePagesOfAPromptOnce) {
  // 35 prompt tokens: two pages shared, three tokens in front of each of two completions.
  auto packing = PackGroups(
      std::vector{MakeGroup(Iota(35), {MakeCompletion({1, 2, 3}), MakeCompletion({4})}, {1, -1})},
      "token_mean", 8, kRoomy);
  ASSERT_TRUE(packing.ok()) << packing.status();
  ASSERT_EQ(packing->micro_batches.size(), 1u);
  const MicroBatch& micro_batch = packing->micro_batches[0];
  EXPECT_EQ(micro_batch.batch.Rows(), 32 + (3 + 2) + 3);
  EXPECT_THAT(micro_batch.batch.page_tables,
              ElementsAre(ElementsAre(0, 1), ElementsAre(0, 1, 2), ElementsAre(0, 1, 3)));
  EXPECT_THAT(micro_batch.rows, ElementsAre(34, 35, 36, 39));
  EXPECT_THAT(micro_batch.targets, ElementsAre(1, 2, 3, 4));
}

TEST(PackGroups, LeavesAPromptTokenToEachCompletionWhereThePromptEndsOnAPage) {
  auto packing = PackGroups(
      std::vector{MakeGroup(Iota(16), {MakeCompletion({1}), MakeCompletion({2})}, {1, -1})},
      "token_mean", 8, kRoomy);
  ASSERT_TRUE(packing.ok()) << packing.status();
  // No page is shared: 16 rows each, the last one predicts the only token.
  EXPECT_THAT(packing->micro_batches[0].rows, ElementsAre(15, 31));
}

TEST(PackGroups, RepeatsThePrefixWhereAGroupIsSplit) {
  PackingLimits limits = kRoomy;
  limits.max_rows = 40;
  limits.max_pages = 5;
  std::vector<Completion> completions;
  for (int i = 0; i < 4; ++i) completions.push_back(MakeCompletion(Iota(10)));
  auto packing = PackGroups(std::vector{MakeGroup(Iota(17), completions, {1, 2, 3, 4})},
                            "token_mean", 16, limits);
  ASSERT_TRUE(packing.ok()) << packing.status();
  ASSERT_EQ(packing->micro_batches.size(), 2u);
  for (const MicroBatch& micro_batch : packing->micro_batches) {
    EXPECT_EQ(micro_batch.batch.Rows(), 16 + 2 * 10);
    EXPECT_EQ(micro_batch.rows.size(), 20u);
  }
}

TEST(PackGroups, WeighsTokensByTheAggregationAndCountsWhatIsLeftOut) {
  // Two completions of 2 and 4 tokens with signal, two of 3 tokens without: 12 tokens, 4 sequences.
  const std::vector<ScoredGroup> groups = {
      MakeGroup({1}, {MakeCompletion({1, 2}), MakeCompletion({1, 2, 3, 4})}, {1, -1}),
      MakeGroup({1}, {MakeCompletion({1, 2, 3}), MakeCompletion({1, 2, 3})}, {0, 0})};
  const auto weights = [&](const std::string& aggregation) {
    auto packing = PackGroups(groups, aggregation, 10, kRoomy);
    EXPECT_TRUE(packing.ok()) << packing.status();
    EXPECT_EQ(packing->left_out_completions, 2);
    EXPECT_EQ(packing->completions, 4);
    EXPECT_EQ(packing->sampled_tokens, 12);
    return packing->micro_batches[0].weights;
  };
  const float by_2 = 1.0f / 8, by_4 = 1.0f / 16;
  EXPECT_THAT(weights("sequence_mean"), ElementsAre(by_2, by_2, by_4, by_4, by_4, by_4));
  EXPECT_THAT(weights("token_mean"), ::testing::Each(static_cast<float>(1.0 / 12)));
  EXPECT_THAT(weights("constant"), ::testing::Each(static_cast<float>(1.0 / 40)));
}

TEST(PackGroups, ComputesNothingBehindTheLastSampledToken) {
  Completion completion = MakeCompletion({1, 2, 3, 4, 5});
  completion.sampled_mask = {1, 0, 1, 0, 0};
  auto packing =
      PackGroups(std::vector{MakeGroup({9, 9}, {completion}, {1})}, "token_mean", 8, kRoomy);
  ASSERT_TRUE(packing.ok()) << packing.status();
  EXPECT_THAT(packing->micro_batches[0].batch.ids, ElementsAre(9, 9, 1, 2));
  EXPECT_THAT(packing->micro_batches[0].rows, ElementsAre(1, 3));
  EXPECT_THAT(packing->micro_batches[0].targets, ElementsAre(1, 3));
}

TEST(PackGroups, NamesTaskAndCompletionOfBadData) {
  const auto message = [](ScoredGroup group, PackingLimits limits = kRoomy) {
    const auto packing = PackGroups(std::vector{std::move(group)}, "token_mean", 8, limits);
    EXPECT_EQ(packing.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(packing.status().message());
  };
  EXPECT_THAT(message(MakeGroup({}, {MakeCompletion({1})}, {1})),
              HasSubstr("task 'sum-1': the prompt has no tokens"));
  EXPECT_THAT(message(MakeGroup({100}, {MakeCompletion({1})}, {1})),
              HasSubstr("id 100, expected one in [0, 100)"));
  EXPECT_THAT(
      message(MakeGroup({1}, {MakeCompletion({1}), MakeCompletion({95})}, {1, 2})),
      HasSubstr("task 'sum-1', completion 1: token 0 has id 95, which no model can sample"));
  EXPECT_THAT(message(MakeGroup({1}, {MakeCompletion({1})}, {1, 2})),
              HasSubstr("2 advantages for 1 completions"));
  ScoredGroup short_mask = MakeGroup({1}, {MakeCompletion({1, 2})}, {1});
  short_mask.group.completions[0].sampled_mask = {1};
  EXPECT_THAT(message(short_mask), HasSubstr("2 tokens, but 1 mask entries"));
  PackingLimits tight = kRoomy;
  tight.max_rows = 10;
  EXPECT_THAT(message(MakeGroup({1, 2}, {MakeCompletion(Iota(10))}, {1}), tight),
              HasSubstr("take 11 rows, a micro-batch has room for 10; raise micro_batch_tokens"));
  tight = kRoomy;
  tight.max_positions = 10;
  EXPECT_THAT(message(MakeGroup({1, 2}, {MakeCompletion(Iota(10))}, {1}), tight),
              HasSubstr("take 11 positions, the model has 10"));
}

TEST(PackExamples, TrainsOnCompletionTokensOnly) {
  auto packing = PackExamples(
      std::vector<SftExample>{{{1, 2, 3}, {4, 5}}, {{6}, {7, 8, 9}}, {{6}, {}}}, kRoomy);
  ASSERT_TRUE(packing.ok()) << packing.status();
  const MicroBatch& micro_batch = packing->micro_batches[0];
  EXPECT_THAT(micro_batch.batch.ids, ElementsAre(1, 2, 3, 4, 6, 7, 8));
  EXPECT_THAT(micro_batch.rows, ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(micro_batch.targets, ElementsAre(4, 5, 7, 8, 9));
  EXPECT_THAT(micro_batch.weights, ::testing::Each(0.2f));
}

TEST(PackExamples, NamesTheExampleOfBadData) {
  const auto packing = PackExamples(std::vector<SftExample>{{{1}, {2}}, {{}, {2}}}, kRoomy);
  EXPECT_THAT(std::string(packing.status().message()),
              HasSubstr("example 1: the prompt has no tokens"));
}

}  // namespace
}  // namespace ponder
