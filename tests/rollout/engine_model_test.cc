// The engine over a real decoder: what it samples, and every log-prob, to the last bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <thread>

#include "rollout/engine.h"
#include "rollout/fed_engine.h"
#include "rollout/spread_engine.h"
#include "tests/rollout/tiny_model.h"

namespace ponder {
namespace {

using Results = std::map<std::pair<uint64_t, int64_t>, Completion>;

std::vector<RolloutRequest> MixedRequests() {
  std::vector<RolloutRequest> requests;
  const int64_t prompts[] = {1, 15, 16, 17, 33, 70, 5, 48};
  const float temperatures[] = {1, 0.7f, 1.3f, 0, 1, 0.5f, 1, 1};
  for (int64_t i = 0; i < 8; ++i) {
    RolloutRequest request = MakeRequest(i + 1, prompts[i], 1 + i % 4, 10 + 6 * i);
    request.sampling.temperature = temperatures[i];
    if (i == 4) request.sampling.top_k = 20;
    if (i == 6) request.sampling.top_p = 0.8f;
    requests.push_back(request);
  }
  return requests;
}

Results RunAll(RolloutEngine& engine, const std::vector<RolloutRequest>& requests) {
  for (const RolloutRequest& request : requests) EXPECT_TRUE(engine.Submit(request).ok());
  Results results;
  while (engine.Step().value()) {
    for (RolloutResult& result : engine.Poll()) {
      results.emplace(std::pair(result.request_id, result.completion.sample_index),
                      result.completion);
    }
  }
  EXPECT_EQ(engine.Load().free_pages, engine.Load().total_pages);
  return results;
}

// Each completion in an engine of its own, one sequence at a time.
Results RunAlone(const TinyModel& model, const std::vector<RolloutRequest>& requests) {
  Results results;
  for (const RolloutRequest& request : requests) {
    for (int64_t i = 0; i < request.sample_count; ++i) {
      RolloutRequest single = request;
      single.sample_begin = i;
      single.sample_count = 1;
      results.merge(RunAll(
          *model.MakeEngine({.max_sequences = 1, .max_step_tokens = 300, .cache_tokens = 320}),
          {single}));
    }
  }
  return results;
}

class EngineWithModel : public testing::TestWithParam<kernels::DType> {};

TEST_P(EngineWithModel, SamplesTheSameInAnyBatchOrderAndCacheWithAnyThreads) {
  const Results alone = RunAlone(TinyModel::Make(GetParam(), 1), MixedRequests());
  ASSERT_EQ(alone.size(), 20u);
  struct Setting {
    int64_t threads;
    EngineOptions engine;
    bool reversed;
    bool preempts;
  };
  const EngineOptions large{.max_sequences = 128, .max_step_tokens = 1000, .cache_tokens = 4000};
  const EngineOptions narrow{.max_sequences = 3, .max_step_tokens = 20, .cache_tokens = 400};
  const EngineOptions tight{.max_sequences = 128, .max_step_tokens = 128, .cache_tokens = 160};
  const Setting settings[] = {{1, large, false, false}, {2, large, true, false},
                              {3, large, false, false}, {1, tight, false, true},
                              {2, tight, true, true},   {2, narrow, true, false}};
  for (const Setting& setting : settings) {
    std::vector<RolloutRequest> requests = MixedRequests();
    if (setting.reversed) std::ranges::reverse(requests);
    const TinyModel model = TinyModel::Make(GetParam(), setting.threads);
    const auto engine = model.MakeEngine(setting.engine);
    EXPECT_EQ(RunAll(*engine, requests), alone)
        << setting.threads << " threads, " << setting.engine.max_sequences << " sequences, "
        << setting.engine.cache_tokens << " cache tokens";
    EXPECT_EQ(engine->Load().preemptions > 0, setting.preempts);
  }
}

TEST_P(EngineWithModel, SeveralEnginesGiveWhatOneGives) {
  const TinyModel models[] = {TinyModel::Make(GetParam(), 1), TinyModel::Make(GetParam(), 2),
                              TinyModel::Make(GetParam(), 1)};
  std::vector<std::unique_ptr<RolloutEngine>> engines;
  for (const TinyModel& model : models) {
    engines.push_back(
        model.MakeEngine({.max_sequences = 3, .max_step_tokens = 20, .cache_tokens = 400}));
  }
  const auto spread = CreateSpreadEngine(std::move(engines)).value();
  EXPECT_EQ(RunAll(*spread, MixedRequests()), RunAlone(models[0], MixedRequests()));
}

TEST_P(EngineWithModel, AFedEngineSamplesWithTheWeightsOfAnotherDevice) {
  TinyModel source = TinyModel::Make(GetParam(), 1), target = TinyModel::Make(GetParam(), 2, 99);
  const std::vector<RolloutRequest> requests = {MakeRequest(1, 40, 3, 12), MakeRequest(2, 5, 2, 9)};
  kernels::Backend* const backends[] = {source.backend.get(), target.backend.get()};
  const auto ends = kernels::CreateHostCollectives(backends);
  const auto fed = CreateFedEngine(
      target.MakeEngine({.max_sequences = 3, .max_step_tokens = 20, .cache_tokens = 400}),
      *source.weights, *ends[0], {{target.weights.get(), ends[1].get()}});
  EXPECT_EQ(RunAll(*fed, requests), RunAlone(source, requests));
  source.Randomize(2, 1);
  fed->WeightsChanged(1);
  EXPECT_EQ(RunAll(*fed, requests), RunAlone(source, requests));
}

// The engine's thread goes on by itself: nobody calls Step.
TEST_P(EngineWithModel, AFedEngineGoesOnWhileNobodyWaitsForIt) {
  const TinyModel source = TinyModel::Make(GetParam(), 1);
  TinyModel target = TinyModel::Make(GetParam(), 1, 99);
  kernels::Backend* const backends[] = {source.backend.get(), target.backend.get()};
  const auto ends = kernels::CreateHostCollectives(backends);
  const auto fed = CreateFedEngine(
      target.MakeEngine({.max_sequences = 3, .max_step_tokens = 20, .cache_tokens = 400}),
      *source.weights, *ends[0], {{target.weights.get(), ends[1].get()}});
  const std::vector<RolloutRequest> requests = {MakeRequest(1, 20, 2, 6)};
  ASSERT_TRUE(fed->Submit(requests[0]).ok());
  Results results;
  while (results.size() < 2) {
    for (RolloutResult& result : fed->Poll()) {
      results.emplace(std::pair(result.request_id, result.completion.sample_index),
                      result.completion);
    }
    std::this_thread::yield();
  }
  EXPECT_EQ(results, RunAlone(source, requests));
  EXPECT_FALSE(fed->Step().value());
}

TEST_P(EngineWithModel, ChunksOfAPromptChangeNothing) {
  const TinyModel model = TinyModel::Make(GetParam(), 1);
  std::vector<RolloutRequest> requests = {MakeRequest(1, 200, 3, 30), MakeRequest(2, 90, 2, 30)};
  const Results whole = RunAlone(model, requests);
  for (const int64_t max_step_tokens : {4, 7, 33}) {
    const auto engine = model.MakeEngine(
        {.max_sequences = 4, .max_step_tokens = max_step_tokens, .cache_tokens = 4000});
    EXPECT_EQ(RunAll(*engine, requests), whole) << max_step_tokens;
  }
}

TEST_P(EngineWithModel, LogProbsAreThoseOfALearnersForward) {
  const TinyModel model = TinyModel::Make(GetParam(), 1);
  const std::vector<RolloutRequest> requests = MixedRequests();
  const auto engine =
      model.MakeEngine({.max_sequences = 6, .max_step_tokens = 50, .cache_tokens = 300});
  const Results results = RunAll(*engine, requests);

  // All sequences packed into one batch, as the learner does.
  DecoderBatch batch;
  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
  std::vector<float> inverse_temperatures, logprobs, entropies;
  int32_t next_page = 0;
  for (const auto& [key, completion] : results) {
    const RolloutRequest& request = requests[key.first - 1];
    std::vector<int32_t> tokens = request.prompt_ids;
    tokens.insert(tokens.end(), completion.token_ids.begin(), completion.token_ids.end());
    std::vector<int32_t> pages(kernels::KvPagesFor(std::ssize(tokens)));
    std::iota(pages.begin(), pages.end(), next_page);
    next_page += static_cast<int32_t>(pages.size());
    const int64_t first_row = batch.Rows() + std::ssize(request.prompt_ids) - 1;
    batch.Add(tokens, 0, pages);
    const float temperature = request.sampling.temperature;
    for (int64_t i = 0; i < std::ssize(completion.token_ids); ++i) {
      rows.push_back(first_row + i);
      targets.push_back(completion.token_ids[i]);
      inverse_temperatures.push_back(temperature == 0 ? 1 : 1 / temperature);
      logprobs.push_back(completion.logprobs[i]);
      entropies.push_back(completion.entropies[i]);
    }
  }
  const auto cache =
      KvCache::Create(*model.backend, model.weights->Config(), model.weights->Dtype(), next_page)
          .value();
  const void* hidden = model.decoder->Forward(batch, *cache).value();
  hidden = model.decoder->GatherRows(hidden, rows).value();
  const Decoder::Scored scored = model.decoder->LogProbs(hidden, targets, inverse_temperatures);
  EXPECT_EQ(scored.logprobs, logprobs);
  EXPECT_EQ(scored.entropies, entropies);
  EXPECT_GT(*std::ranges::max_element(entropies), 0.5f)
      << "a model that is sure of everything tests little";
}

TEST_P(EngineWithModel, NeverSamplesIdsBeyondTheTokenizer) {
  const TinyModel model = TinyModel::Make(GetParam(), 1);
  RolloutRequest request = MakeRequest(1, 5, 16, 200);
  request.sampling.temperature = 100;  // nearly uniform over what can be drawn
  request.sampling.stop_ids.clear();
  const auto engine =
      model.MakeEngine({.max_sequences = 16, .max_step_tokens = 100, .cache_tokens = 4000});
  int32_t largest = 0;
  for (const auto& [key, completion] : RunAll(*engine, {request})) {
    largest = std::max(largest, *std::ranges::max_element(completion.token_ids));
  }
  EXPECT_EQ(largest, 256);
}

TEST_P(EngineWithModel, NewWeightsGiveWhatAFreshEngineWouldGive) {
  TinyModel model = TinyModel::Make(GetParam(), 1);
  const auto engine =
      model.MakeEngine({.max_sequences = 8, .max_step_tokens = 100, .cache_tokens = 4000});
  RunAll(*engine, MixedRequests());
  model.Randomize(2, 1);
  engine->WeightsChanged(1);
  Results results = RunAll(*engine, MixedRequests());
  const Results fresh =
      RunAll(*model.MakeEngine({.max_sequences = 8, .max_step_tokens = 100, .cache_tokens = 4000}),
             MixedRequests());
  EXPECT_EQ(results, fresh);
}

TEST(EngineWithModelOptions, RefusesATokenizerSmallerThanWhatCanBeDrawn) {
  const TinyModel model = TinyModel::Make(kernels::DType::kF32, 1);
  model.weights->SetDrawableTokens(258);
  EXPECT_EQ(CreateEngine(*model.decoder, model.tokenizer, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(EngineWithModelOptions, ReportsWeightsThatAreNotFinite) {
  TinyModel model = TinyModel::Make(kernels::DType::kF32, 1);
  std::vector<float> broken(model.weights->Layout().count, std::numeric_limits<float>::quiet_NaN());
  model.weights->SetFromFlat(broken.data());
  const auto engine =
      model.MakeEngine({.max_sequences = 1, .max_step_tokens = 10, .cache_tokens = 100});
  ASSERT_TRUE(engine->Submit(MakeRequest(1, 5, 1, 5)).ok());
  absl::StatusOr<bool> worked = engine->Step();
  if (worked.ok()) worked = engine->Step();  // where the first one is looked at a step later
  EXPECT_EQ(worked.status().code(), absl::StatusCode::kInternal);
}

INSTANTIATE_TEST_SUITE_P(DTypes, EngineWithModel,
                         testing::Values(kernels::DType::kF32, kernels::DType::kBF16),
                         [](const auto& info) { return std::string(ToString(info.param)); });

}  // namespace
}  // namespace ponder
