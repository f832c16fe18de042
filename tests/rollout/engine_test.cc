// The engine over a fake model whose samples depend on everything that stands in the pages it is
// given.
#include "rollout/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "base/random.h"
#include "rollout/fake_step_runner.h"
#include "tests/rollout/byte_tokenizer.h"

namespace ponder {
namespace {

using testing::HasSubstr;

using ResultKey = std::pair<uint64_t, int64_t>;  // request, sample index
using Results = std::map<ResultKey, Completion>;

constexpr StepRunnerInfo kModel = {
    .vocabulary = 300, .drawable_tokens = 257, .max_positions = 1000, .pages = 64};

// Every test with a runner that is waited for at each step and with one that runs a step ahead.
class Engine : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { runs_ahead = GetParam(); }

 public:
  static inline bool runs_ahead = false;
};
INSTANTIATE_TEST_SUITE_P(, Engine, testing::Bool(), [](const testing::TestParamInfo<bool>& info) {
  return info.param ? "OneStepAhead" : "StepByStep";
});

struct Fixture {
  explicit Fixture(const EngineOptions& options = {}, StepRunnerInfo info = kModel) {
    info.fingerprint = "fake";
    info.runs_ahead = Engine::runs_ahead;
    auto owned = std::make_unique<FakeStepRunner>(info);
    runner = owned.get();
    engine = CreateEngineOver(std::move(owned), tokenizer, options).value();
  }

  // Steps until nothing is left to do.
  Results Drain() {
    Results results;
    int64_t steps = 0;
    while (engine->Step().value()) {
      EXPECT_LT(++steps, 100000);
      for (RolloutResult& result : engine->Poll()) {
        const ResultKey key(result.request_id, result.completion.sample_index);
        EXPECT_TRUE(results.emplace(key, std::move(result.completion)).second) << "twice";
      }
    }
    const EngineLoad load = engine->Load();
    EXPECT_EQ(load.waiting + load.running, 0);
    EXPECT_EQ(load.free_pages, load.total_pages);
    return results;
  }

  ByteTokenizer tokenizer;
  FakeStepRunner* runner = nullptr;
  std::unique_ptr<RolloutEngine> engine;
};

RolloutRequest MakeRequest(uint64_t id, int64_t prompt, int64_t samples, int64_t max_new_tokens) {
  RolloutRequest request{
      .id = id, .task_id = "task-" + std::to_string(id), .seed = 7, .sample_count = samples};
  RandomStream random(MakeRandomKey(id, "prompt"));
  for (int64_t i = 0; i < prompt; ++i)
    request.prompt_ids.push_back(static_cast<int32_t>(random.Between(0, 299)));
  request.sampling.max_new_tokens = max_new_tokens;
  request.sampling.stop_ids = {3, 30, 200};
  return request;
}

// What a completion must be, from its request alone.
Completion Expected(const FakeStepRunner& runner, const RolloutRequest& request,
                    int64_t sample_index, int64_t version = 0) {
  Completion completion;
  completion.sample_index = sample_index;
  completion.versions = {{0, version}};
  std::vector<int32_t> tokens = request.prompt_ids;
  const SamplingParams& sampling = request.sampling;
  while (completion.finish == FinishReason::kUnspecified) {
    const int64_t position = std::ssize(completion.token_ids);
    const SampledToken token = runner.Expected(
        tokens,
        {.temperature = sampling.temperature,
         .uniform = SamplingUniform(request.seed, request.task_id, sample_index, position)});
    tokens.push_back(token.id);
    completion.token_ids.push_back(token.id);
    completion.sampled_mask.push_back(1);
    completion.logprobs.push_back(token.logprob);
    completion.entropies.push_back(token.entropy);
    if (std::ranges::count(sampling.stop_ids, token.id) > 0) {
      completion.finish = FinishReason::kStop;
    } else if (position + 1 == sampling.max_new_tokens) {
      completion.finish = FinishReason::kLength;
    }
  }
  completion.text = ByteTokenizer().Decode(completion.token_ids, true);
  return completion;
}

std::vector<RolloutRequest> MixedRequests() {
  std::vector<RolloutRequest> requests;
  const int64_t prompts[] = {1, 15, 16, 17, 32, 33, 100, 150, 5, 64};
  for (int64_t i = 0; i < 10; ++i)
    requests.push_back(MakeRequest(i + 1, prompts[i], 1 + i % 4, 20 + 7 * i));
  return requests;
}

TEST_P(Engine, ACompletionDependsOnItsRequestAlone) {
  for (const int64_t max_sequences : {1, 2, 7, 128}) {
    for (const int64_t max_step_tokens : {128, 131, 1000}) {
      for (const int64_t pages : {16, 23, 400}) {
        StepRunnerInfo info = kModel;
        info.pages = pages;
        Fixture fixture({.max_sequences = max_sequences, .max_step_tokens = max_step_tokens}, info);
        std::vector<RolloutRequest> requests = MixedRequests();
        if (pages == 23) std::ranges::reverse(requests);
        for (const RolloutRequest& request : requests)
          ASSERT_TRUE(fixture.engine->Submit(request).ok());
        const Results results = fixture.Drain();
        size_t expected = 0;
        for (const RolloutRequest& request : requests) {
          expected += request.sample_count;
          for (int64_t i = 0; i < request.sample_count; ++i) {
            EXPECT_EQ(results.at({request.id, i}), Expected(*fixture.runner, request, i))
                << "request " << request.id << " sample " << i << " at " << max_sequences
                << " sequences, " << max_step_tokens << " tokens, " << pages << " pages";
          }
        }
        EXPECT_EQ(results.size(), expected);
        EXPECT_LE(fixture.runner->LargestBatch(), max_step_tokens);
        if (pages == 16 && max_sequences > 7) {
          EXPECT_GT(fixture.engine->Load().preemptions, 0);
        }
        if (pages == 400) {
          EXPECT_EQ(fixture.engine->Load().preemptions, 0);
        }
      }
    }
  }
}

TEST_P(Engine, RequestsMayComeAtAnyTime) {
  Fixture fixture({.max_sequences = 4, .max_step_tokens = 40});
  RandomStream random(MakeRandomKey(5, "engine test"));
  std::map<uint64_t, RolloutRequest> requests;
  Results results;
  for (int round = 0; round < 400; ++round) {
    if (random.Between(0, 3) == 0) {
      const RolloutRequest request = MakeRequest(requests.size() + 1, random.Between(1, 90),
                                                 random.Between(1, 5), random.Between(1, 60));
      requests.emplace(request.id, request);
      ASSERT_TRUE(fixture.engine->Submit(request).ok());
    }
    ASSERT_TRUE(fixture.engine->Step().ok());
    for (RolloutResult& result : fixture.engine->Poll()) {
      results.emplace(ResultKey(result.request_id, result.completion.sample_index),
                      result.completion);
    }
  }
  results.merge(fixture.Drain());
  size_t expected = 0;
  for (const auto& [id, request] : requests) expected += request.sample_count;
  EXPECT_EQ(results.size(), expected);
  for (const auto& [key, completion] : results) {
    EXPECT_EQ(completion, Expected(*fixture.runner, requests.at(key.first), key.second));
  }
}

TEST_P(Engine, TheWholePagesOfAPromptAreRunOnce) {
  Fixture fixture;
  ASSERT_TRUE(fixture.engine->Submit(MakeRequest(1, 100, 8, 1)).ok());
  EXPECT_EQ(fixture.Drain().size(), 8u);
  EXPECT_EQ(fixture.runner->Rows(), 96 + 8 * 4);
  EXPECT_EQ(fixture.engine->Load().prefill_tokens, 96 + 8 * 4);
  EXPECT_EQ(fixture.engine->Load().cached_tokens, 7 * 96);
  EXPECT_EQ(fixture.engine->Load().decode_tokens, 8);
}

TEST_P(Engine, PromptsWithACommonBeginningShareItsPages) {
  Fixture fixture;
  RolloutRequest first = MakeRequest(1, 80, 1, 1), second = MakeRequest(2, 80, 1, 1);
  std::copy_n(first.prompt_ids.begin(), 50, second.prompt_ids.begin());
  ASSERT_TRUE(fixture.engine->Submit(first).ok());
  ASSERT_TRUE(fixture.engine->Submit(second).ok());
  const Results results = fixture.Drain();
  EXPECT_EQ(fixture.runner->Rows(), 80 + 80 - 48);
  EXPECT_EQ(results.at({2, 0}), Expected(*fixture.runner, second, 0));
}

TEST_P(Engine, AFinishedSequencesPlaceIsTakenAtOnce) {
  Fixture fixture({.max_sequences = 2, .max_step_tokens = 100});
  RolloutRequest request = MakeRequest(1, 4, 10, 1);
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  if (runs_ahead) {
    ASSERT_TRUE(fixture.engine->Step().value());
  }
  for (int step = 0; step < 5; ++step) {
    ASSERT_TRUE(fixture.engine->Step().value());
    EXPECT_EQ(fixture.engine->Poll().size(), 2u);
  }
  EXPECT_FALSE(fixture.engine->Step().value());
}

TEST_P(Engine, DecodesWhileALongPromptIsPrefilledInChunks) {
  Fixture fixture({.max_sequences = 4, .max_step_tokens = 10});
  RolloutRequest brief = MakeRequest(1, 3, 1, 50), longer = MakeRequest(2, 60, 1, 5);
  brief.sampling.stop_ids.clear();
  ASSERT_TRUE(fixture.engine->Submit(brief).ok());
  ASSERT_TRUE(fixture.engine->Step().value());
  ASSERT_TRUE(fixture.engine->Submit(longer).ok());
  for (int step = 0; step < 6; ++step) {
    const int64_t before = fixture.engine->Load().decode_tokens;
    ASSERT_TRUE(fixture.engine->Step().value());
    EXPECT_EQ(fixture.engine->Load().decode_tokens, before + 1) << "the running sequence goes on";
  }
  EXPECT_EQ(fixture.Drain().at({2, 0}), Expected(*fixture.runner, longer, 0));
}

TEST_P(Engine, EndsAtAStopTokenWhichIsPartOfTheCompletion) {
  Fixture fixture;
  RolloutRequest request = MakeRequest(1, 4, 1, 100);
  request.sampling.stop_ids.clear();
  const Completion free_running = Expected(*fixture.runner, request, 0);
  request.sampling.stop_ids = {free_running.token_ids[10]};
  const auto first = std::ranges::find(free_running.token_ids, free_running.token_ids[10]);
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  const Completion completion = fixture.Drain().at({1, 0});
  EXPECT_EQ(completion.finish, FinishReason::kStop);
  EXPECT_EQ(std::ssize(completion.token_ids), first - free_running.token_ids.begin() + 1);
}

TEST_P(Engine, EndsOnceTheBytesHoldAStopStringEvenAcrossTokens) {
  Fixture fixture;
  RolloutRequest request = MakeRequest(1, 4, 1, 100);
  request.sampling.stop_ids.clear();
  const auto bytes_of = [&](const Completion& completion) {
    std::string bytes;
    for (const int32_t id : completion.token_ids) {
      if (!fixture.tokenizer.IsSpecial(id)) bytes += fixture.tokenizer.TokenBytes(id);
    }
    return bytes;
  };
  // Not all of it is text by itself: a character may be spread over several tokens.
  const std::string bytes = bytes_of(Expected(*fixture.runner, request, 0));
  request.sampling.stop_strings = {"never there", bytes.substr(20, 5)};
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  const Completion completion = fixture.Drain().at({1, 0});
  EXPECT_EQ(completion.finish, FinishReason::kStop);
  EXPECT_EQ(bytes_of(completion), bytes.substr(0, 25));
}

TEST_P(Engine, GreedyAndSampledRowsGetTheirOwnSettings) {
  Fixture fixture;
  RolloutRequest greedy = MakeRequest(1, 20, 1, 5), warm = MakeRequest(2, 20, 1, 5);
  greedy.sampling.temperature = 0;
  warm.sampling.temperature = 2;
  ASSERT_TRUE(fixture.engine->Submit(greedy).ok());
  ASSERT_TRUE(fixture.engine->Submit(warm).ok());
  const Results results = fixture.Drain();
  EXPECT_EQ(results.at({1, 0}), Expected(*fixture.runner, greedy, 0));
  EXPECT_EQ(results.at({2, 0}), Expected(*fixture.runner, warm, 0));
}

TEST_P(Engine, SampleIndicesStartWhereTheRequestSays) {
  Fixture fixture;
  RolloutRequest request = MakeRequest(1, 20, 2, 30);
  request.sample_begin = 5;
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  const Results results = fixture.Drain();
  EXPECT_EQ(results.at({1, 5}), Expected(*fixture.runner, request, 5));
  EXPECT_EQ(results.at({1, 6}), Expected(*fixture.runner, request, 6));
}

TEST_P(Engine, CancelGivesUnfinishedCompletionsBackAndKeepsTheOthers) {
  Fixture fixture({.max_sequences = 3, .max_step_tokens = 100});
  RolloutRequest cancelled = MakeRequest(1, 20, 5, 100), other = MakeRequest(2, 20, 2, 30);
  cancelled.sampling.stop_ids.clear();
  ASSERT_TRUE(fixture.engine->Submit(cancelled).ok());
  ASSERT_TRUE(fixture.engine->Submit(other).ok());
  for (int step = 0; step < 4; ++step) ASSERT_TRUE(fixture.engine->Step().value());
  fixture.engine->Cancel(1);
  const Results results = fixture.Drain();
  ASSERT_EQ(results.size(), 7u);
  for (int64_t i = 0; i < 5; ++i) {
    const Completion& completion = results.at({1, i});
    EXPECT_EQ(completion.finish, FinishReason::kCancelled);
    EXPECT_EQ(completion.token_ids.size(), i < 3 ? 4u - runs_ahead : 0u);
  }
  EXPECT_EQ(results.at({2, 1}), Expected(*fixture.runner, other, 1));
}

TEST_P(Engine, ARequestWhoseTimeIsUpGivesWhatItHas) {
  FakeClock clock;
  Fixture fixture({.max_sequences = 3, .max_step_tokens = 100, .clock = &clock});
  RolloutRequest brief = MakeRequest(1, 20, 4, 100), later = MakeRequest(2, 20, 1, 100);
  const RolloutRequest other = MakeRequest(3, 20, 1, 30);
  brief.sampling.stop_ids.clear();
  later.sampling.stop_ids.clear();
  brief.deadline = clock.Now() + absl::Seconds(10);
  later.deadline = clock.Now() + absl::Seconds(20);
  for (const RolloutRequest& request : {brief, later, other}) {
    ASSERT_TRUE(fixture.engine->Submit(request).ok());
  }
  const auto steps = [&](int count) {
    for (int step = 0; step < count; ++step) ASSERT_TRUE(fixture.engine->Step().value());
  };
  clock.Advance(absl::Milliseconds(9999));
  steps(4);
  clock.Advance(absl::Milliseconds(1));
  steps(5);
  clock.Advance(absl::Seconds(10));
  const Results results = fixture.Drain();
  ASSERT_EQ(results.size(), 6u);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(results.at({1, i}).finish, FinishReason::kCancelled);
    EXPECT_EQ(results.at({1, i}).token_ids.size(), i < 3 ? 4u - runs_ahead : 0u);
  }
  EXPECT_EQ(results.at({2, 0}).finish, FinishReason::kCancelled);
  EXPECT_EQ(results.at({2, 0}).token_ids.size(), 5u - runs_ahead);
  EXPECT_EQ(results.at({3, 0}), Expected(*fixture.runner, other, 0));
}

TEST_P(Engine, CancelDoesNotReachARequestSubmittedLaterUnderTheSameId) {
  Fixture fixture;
  const RolloutRequest request = MakeRequest(1, 20, 1, 30);
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  fixture.engine->Cancel(1);
  RolloutRequest again = request;
  again.sample_begin = 1;
  ASSERT_TRUE(fixture.engine->Submit(again).ok());
  const Results results = fixture.Drain();
  EXPECT_EQ(results.at({1, 0}).finish, FinishReason::kCancelled);
  EXPECT_EQ(results.at({1, 1}), Expected(*fixture.runner, again, 1));
}

TEST_P(Engine, TokensCarryTheVersionThatSampledThem) {
  Fixture fixture;
  RolloutRequest request = MakeRequest(1, 20, 1, 10);
  request.sampling.stop_ids.clear();
  fixture.engine->WeightsChanged(4);
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  for (int step = 0; step < 3; ++step) ASSERT_TRUE(fixture.engine->Step().value());
  fixture.engine->WeightsChanged(5);
  EXPECT_EQ(fixture.Drain().at({1, 0}).versions, (std::vector<VersionSpan>{{0, 4}, {3, 5}}));
}

TEST_P(Engine, NewWeightsMeetNoPageOfOlderOnes) {
  Fixture fixture({.max_sequences = 2, .max_step_tokens = 100});
  RolloutRequest before = MakeRequest(1, 40, 1, 60);  // still running when the weights change
  before.sampling.stop_ids.clear();
  ASSERT_TRUE(fixture.engine->Submit(before).ok());
  RolloutRequest brief = MakeRequest(2, 7, 1, 60);  // its first page is half full then
  brief.sampling.stop_ids.clear();
  ASSERT_TRUE(fixture.engine->Submit(brief).ok());
  for (int step = 0; step < 4; ++step) ASSERT_TRUE(fixture.engine->Step().value());
  fixture.runner->SetWeights(1);
  fixture.engine->WeightsChanged(1);
  Results results = fixture.Drain();

  // The same prompts again, and one that continues what the mixed pages hold.
  before.id = 3;
  RolloutRequest continued = MakeRequest(4, 1, 1, 60);
  continued.prompt_ids = brief.prompt_ids;
  const std::vector<int32_t>& tokens = results.at({2, 0}).token_ids;
  continued.prompt_ids.insert(continued.prompt_ids.end(), tokens.begin(), tokens.end());
  ASSERT_TRUE(fixture.engine->Submit(before).ok());
  ASSERT_TRUE(fixture.engine->Submit(continued).ok());
  results = fixture.Drain();
  EXPECT_EQ(results.at({3, 0}), Expected(*fixture.runner, before, 0, 1));
  EXPECT_EQ(results.at({4, 0}), Expected(*fixture.runner, continued, 0, 1));
}

TEST_P(Engine, ACompletionWithoutATokenYetBelongsToTheNewWeightsAlone) {
  Fixture fixture({.max_sequences = 4, .max_step_tokens = 16});
  const RolloutRequest request = MakeRequest(1, 40, 3, 20);  // three steps for its prompt
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  for (int step = 0; step < 2; ++step) ASSERT_TRUE(fixture.engine->Step().value());
  ASSERT_GT(fixture.engine->Load().running, 0);
  fixture.runner->SetWeights(1);
  fixture.engine->WeightsChanged(1);
  const Results results = fixture.Drain();
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_EQ(results.at({1, i}), Expected(*fixture.runner, request, i, 1));
}

TEST_P(Engine, ReportsEachTokenOnceEvenWhereASequenceIsComputedAgain) {
  StepRunnerInfo info = kModel;
  info.pages = 8;
  Fixture fixture({.max_sequences = 8, .max_step_tokens = 100}, info);
  RolloutRequest request = MakeRequest(1, 30, 4, 60);
  std::map<int64_t, std::vector<int32_t>> reported;
  request.on_token = [&](int64_t sample, int32_t token) { reported[sample].push_back(token); };
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  const Results results = fixture.Drain();
  EXPECT_GT(fixture.engine->Load().preemptions, 0);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(reported[i], results.at({1, i}).token_ids);
  }
}

TEST_P(Engine, AFailedStepIsReportedAndNothingIsLost) {
  Fixture fixture({.max_sequences = 4, .max_step_tokens = 30});
  const std::vector<RolloutRequest> requests = MixedRequests();
  for (const RolloutRequest& request : requests) ASSERT_TRUE(fixture.engine->Submit(request).ok());
  Results results;
  for (int step = 0; step < 60; ++step) {
    if (step % 7 == 3) fixture.runner->FailNextRun();
    const absl::StatusOr<bool> worked = fixture.engine->Step();
    EXPECT_EQ(worked.status().code(),
              step % 7 == 3 ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kOk);
    for (RolloutResult& result : fixture.engine->Poll()) {
      results.emplace(ResultKey(result.request_id, result.completion.sample_index),
                      result.completion);
    }
  }
  results.merge(fixture.Drain());
  for (const RolloutRequest& request : requests) {
    for (int64_t i = 0; i < request.sample_count; ++i) {
      EXPECT_EQ(results.at({request.id, i}), Expected(*fixture.runner, request, i));
    }
  }
}

TEST_P(Engine, ThreadsMaySubmitCancelAndPollWhileItSteps) {
  Fixture fixture({.max_sequences = 8, .max_step_tokens = 64});
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t i = 0; i < 20; ++i) {
        const uint64_t id = thread * 100 + i + 1;
        EXPECT_TRUE(fixture.engine->Submit(MakeRequest(id, 20, 2, 10)).ok());
        if (i % 5 == 0) fixture.engine->Cancel(id);
        EXPECT_GE(fixture.engine->Load().waiting, 0);
      }
    });
  }
  size_t results = 0;
  for (int step = 0; step < 50; ++step) {
    ASSERT_TRUE(fixture.engine->Step().ok());
    results += fixture.engine->Poll().size();
  }
  for (std::thread& thread : threads) thread.join();
  results += fixture.Drain().size();
  EXPECT_EQ(results, 3u * 20 * 2);
}

TEST_P(Engine, RefusesRequestsThatCannotBeServed) {
  Fixture fixture;
  const auto refusal = [&](auto change) {
    RolloutRequest request = MakeRequest(1, 20, 2, 30);
    change(request);
    const absl::Status status = fixture.engine->Submit(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids.clear(); }),
              HasSubstr("task \"task-1\": the prompt is empty"));
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids[3] = 300; }),
              HasSubstr("token 3 of the prompt is id 300"));
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids[0] = -1; }), HasSubstr("id -1"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.max_new_tokens = 981; }),
              HasSubstr("1000 positions"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.max_new_tokens = 0; }), HasSubstr("max_new_tokens"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.max_new_tokens = INT64_MAX; }),
              HasSubstr("1000 positions"));
  EXPECT_THAT(refusal([](auto& r) { r.sample_count = 0; }), HasSubstr("samples"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.temperature = -1; }), HasSubstr("temperature"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.temperature = NAN; }), HasSubstr("temperature"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.top_p = 0; }), HasSubstr("top_p"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.top_p = 1.5f; }), HasSubstr("top_p"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.top_k = -1; }), HasSubstr("top_k"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.stop_strings = {""}; }), HasSubstr("stop string"));
  EXPECT_FALSE(fixture.engine->Step().value());
}

TEST_P(Engine, TakesARequestThatJustFitsTheCacheAndRefusesOneMore) {
  StepRunnerInfo info = kModel;
  info.pages = 4;
  Fixture fixture({}, info);
  EXPECT_EQ(fixture.engine->Capabilities().max_positions, 64);
  RolloutRequest request = MakeRequest(1, 34, 3, 31);  // 65 tokens, of which 64 in the cache
  request.sampling.stop_ids.clear();
  ASSERT_TRUE(fixture.engine->Submit(request).ok());
  EXPECT_EQ(fixture.Drain().at({1, 2}), Expected(*fixture.runner, request, 2));
  request.sampling.max_new_tokens = 32;
  EXPECT_THAT(std::string(fixture.engine->Submit(request).message()),
              HasSubstr("cache of 64 tokens"));
}

TEST_P(Engine, RefusesOptionsThatCannotWork) {
  const ByteTokenizer tokenizer;
  const auto create = [&](const EngineOptions& options, const StepRunnerInfo& info) {
    return CreateEngineOver(std::make_unique<FakeStepRunner>(info), tokenizer, options).status();
  };
  EXPECT_EQ(create({.max_sequences = 0}, kModel).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(create({.max_sequences = 8, .max_step_tokens = 7}, kModel).code(),
            absl::StatusCode::kInvalidArgument);
  StepRunnerInfo info = kModel;
  info.drawable_tokens = 258;
  EXPECT_THAT(std::string(create({}, info).message()),
              HasSubstr("258 ids can be sampled, but the tokenizer has 257"));
}

}  // namespace
}  // namespace ponder
