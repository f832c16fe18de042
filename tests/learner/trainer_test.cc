#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/learner/tiny_trainer.h"
#include "tests/learner/twin_trainer.h"
#include "tests/model/tiny_models.h"

namespace ponder {
namespace {

using kernels::DType;
using reference::TwinSequence;
using reference::TwinTrainer;

// Adam divides by the root of the second moment, so a gradient element in the noise moves by the
// whole learning rate either way; an epsilon above the noise keeps the comparison well conditioned.
const OptimizerSettings kTwinOptimizer = {.learning_rate = 3e-3,
                                          .beta2 = 0.95,
                                          .epsilon = 1e-5,
                                          .weight_decay = 0.1,
                                          .max_gradient_norm = 0.5};

// fp32 against double. One log-prob is off by rounding of sums over a few dozen terms through two
// layers, some 1e-6. Each update may shift a weight by lr * (gradient noise 1e-7) / epsilon = 3e-5
// where the gradient is smallest, typically 1e-7, which moves the mean loss by less than gradient
// norm * shift; ten updates stay well below 1e-4.
constexpr double kLossTolerance = 2e-5;
constexpr double kNormTolerance = 2e-4;  // relative

TrainerOptions TwinOptions() {
  return {.dtype = DType::kF32, .optimizer = kTwinOptimizer, .micro_batch_tokens = 150};
}

class FamilyTest : public ::testing::TestWithParam<const char*> {
 protected:
  FamilyTest() : config_(WriteTinyModel(GetParam(), folder_.Path("model"))) {}

  reference::NamedTensors Tensors() const {
    const ParameterLayout layout = MakeParameterLayout(config_);
    return ByName(layout, RandomWeights(layout));
  }

  TestFolder folder_;
  ModelConfig config_;
};

INSTANTIATE_TEST_SUITE_P(Families, FamilyTest, ::testing::Values("llama", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(FamilyTest, FollowsLibTorchOverTenSupervisedSteps) {
  TinyTrainer tiny(folder_.Path("model"), TwinOptions());
  TwinTrainer twin(config_, Tensors(), kTwinOptimizer);

  const std::vector<SftExample> examples = RandomExamples(12);
  std::vector<TwinSequence> sequences;
  std::vector<std::vector<double>> d_logprobs;
  double tokens = 0;
  for (const SftExample& example : examples)
    tokens += static_cast<double>(example.completion_ids.size());
  for (const SftExample& example : examples) {
    std::vector<int32_t> ids = example.prompt_ids;
    ids.insert(ids.end(), example.completion_ids.begin(), example.completion_ids.end());
    std::vector<double> d(ids.size() - 1, 0.0);
    for (size_t i = example.prompt_ids.size() - 1; i < d.size(); ++i) d[i] = -1 / tokens;
    sequences.push_back({.ids = ids});
    d_logprobs.push_back(d);
  }
  double first = 0, last = 0;
  for (int step = 0; step < 10; ++step) {
    double expected = 0;
    const auto logprobs = twin.LogProbs(sequences);
    for (size_t s = 0; s < sequences.size(); ++s) {
      for (size_t i = 0; i < d_logprobs[s].size(); ++i)
        expected += d_logprobs[s][i] * logprobs[s][i];
    }
    const double norm = twin.Step(sequences, d_logprobs);
    auto report = tiny.trainer->Supervise(examples);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_NEAR(report->metrics.at("loss/supervised"), expected, kLossTolerance) << "step " << step;
    EXPECT_NEAR(report->metrics.at("optimizer/gradient_norm") / norm, 1, kNormTolerance)
        << "step " << step;
    EXPECT_EQ(report->policy_version, step + 1);
    (step == 0 ? first : last) = expected;
  }
  EXPECT_LT(last, first - 0.1) << "the comparison should see the model learn";
}

// The GRPO loss once more, in doubles and with its derivative by hand.
struct TwinPolicyLoss {
  double loss = 0;
  int64_t clipped = 0;
  std::vector<std::vector<double>> d_logprobs;
};

struct TwinTarget {
  size_t sequence = 0, index = 0;  // of the log-prob
  double behaviour = 0, advantage = 0, weight = 0;
};

TwinPolicyLoss PolicyLossByHand(const PolicyLossSettings& settings,
                                const std::vector<TwinTarget>& targets,
                                const std::vector<std::vector<double>>& logprobs,
                                const std::vector<std::vector<double>>& reference) {
  TwinPolicyLoss result;
  for (const auto& sequence : logprobs) result.d_logprobs.emplace_back(sequence.size(), 0.0);
  for (const TwinTarget& target : targets) {
    const double logp = logprobs[target.sequence][target.index];
    const double ratio = std::exp(logp - target.behaviour);
    const double clipped = std::min(std::max(ratio, 1 - settings.clip_low), 1 + settings.clip_high);
    double term = ratio * target.advantage, slope = ratio * target.advantage;
    if (clipped * target.advantage < term) {
      term = clipped * target.advantage;
      slope = 0;
      ++result.clipped;
    }
    const double r = std::exp(reference[target.sequence][target.index] - logp);
    result.loss += target.weight * (-term + settings.kl_weight * (r - std::log(r) - 1));
    result.d_logprobs[target.sequence][target.index] +=
        target.weight * (-slope + settings.kl_weight * (1 - r));
  }
  return result;
}

TEST_P(FamilyTest, FollowsLibTorchOverTenPolicySteps) {
  TrainerOptions options = TwinOptions();
  options.loss = {
      .aggregation = "sequence_mean", .clip_low = 0.1, .clip_high = 0.15, .kl_weight = 0.05};
  options.valid_vocabulary = kTinyDrawable;
  TinyTrainer tiny(folder_.Path("model"), options);
  TwinTrainer twin(config_, Tensors(), kTwinOptimizer, kTinyDrawable);
  ASSERT_TRUE(tiny.trainer->SetReferenceFromCurrent().ok());

  std::vector<ScoredGroup> groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  groups[1].group.completions[2].sampled_mask[3] = 0;  // a token that the model did not sample
  std::vector<TwinSequence> sequences;
  std::vector<TwinTarget> targets;
  for (const ScoredGroup& scored : groups) {
    for (size_t c = 0; c < scored.group.completions.size(); ++c) {
      const Completion& completion = scored.group.completions[c];
      std::vector<int32_t> ids = scored.group.prompt_ids;
      ids.insert(ids.end(), completion.token_ids.begin(), completion.token_ids.end());
      int64_t sampled = 0;
      for (const uint8_t bit : completion.sampled_mask) sampled += bit;
      for (size_t t = 0; t < completion.token_ids.size(); ++t) {
        if (completion.sampled_mask[t] == 0) continue;
        targets.push_back({.sequence = sequences.size(),
                           .index = scored.group.prompt_ids.size() - 1 + t,
                           .behaviour = completion.logprobs[t],
                           .advantage = scored.advantages[c],
                           .weight = 1.0 / 12 / static_cast<double>(sampled)});
      }
      const float temperature = scored.group.temperature;
      sequences.push_back(
          {.ids = ids, .inverse_temperature = temperature > 0 ? 1 / temperature : 1});
    }
  }
  const auto reference = twin.LogProbs(sequences);
  int64_t clipped = 0;
  for (int step = 0; step < 10; ++step) {
    const TwinPolicyLoss expected =
        PolicyLossByHand(options.loss, targets, twin.LogProbs(sequences), reference);
    const double norm = twin.Step(sequences, expected.d_logprobs);
    auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
    ASSERT_TRUE(report.ok()) << report.status();
    const auto& metrics = report->metrics;
    EXPECT_NEAR(metrics.at("loss/total"), expected.loss, kLossTolerance) << "step " << step;
    EXPECT_NEAR(metrics.at("optimizer/gradient_norm") / norm, 1, kNormTolerance) << "step " << step;
    EXPECT_NEAR((metrics.at("policy/clip_low") + metrics.at("policy/clip_high")) *
                    static_cast<double>(targets.size()),
                static_cast<double>(expected.clipped), 1e-6)
        << "step " << step;
    int64_t noted = 0;
    for (size_t g = 0; g < report->clips.size(); ++g) {
      for (size_t c = 0; c < report->clips[g].size(); ++c) {
        const std::vector<int8_t>& clips = report->clips[g][c];
        if (clips.empty()) continue;
        ASSERT_EQ(clips.size(), groups[g].group.completions[c].token_ids.size());
        for (size_t t = 0; t < clips.size(); ++t) {
          noted += clips[t] != 0;
          // Above is cut off where it would rise further, below where it would fall further.
          EXPECT_GE(static_cast<float>(clips[t]) * groups[g].advantages[c], 0);
          if (clips[t] == 0) continue;
          EXPECT_EQ(groups[g].group.completions[c].sampled_mask[t], 1);
        }
      }
    }
    EXPECT_EQ(noted, expected.clipped) << "step " << step;
    if (step == 0) {
      EXPECT_EQ(metrics.at("exactness/logprob_max_abs_diff"), 0);
      EXPECT_EQ(metrics.at("exactness/tokens"), static_cast<double>(targets.size()));
      EXPECT_EQ(metrics.at("policy/ratio_max"), 1);
      EXPECT_EQ(metrics.at("policy/kl"), 0);
    }
    clipped += expected.clipped;
  }
  EXPECT_GT(clipped, 20) << "the comparison should see clipping";
}

class DtypeTest : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, DtypeTest, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) {
                           return std::string(kernels::ToString(info.param));
                         });

TEST_P(DtypeTest, ComputesTheSamplersLogProbsBitForBitWhateverThePackingAndTheThreads) {
  const TestFolder folder;
  WriteTinyModel("qwen3", folder.Path("model"));
  double loss = 0;
  std::vector<ScoredGroup> groups;
  struct Case {
    int64_t micro_batch_tokens, threads;
  };
  for (const Case& test : {Case{77, 1}, Case{150, 2}, Case{1000, 3}}) {
    TinyTrainer tiny(folder.Path("model"),
                     {.dtype = GetParam(), .micro_batch_tokens = test.micro_batch_tokens},
                     test.threads);
    if (groups.empty()) groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
    std::ranges::reverse(groups);
    auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
    EXPECT_EQ(report->metrics.at("exactness/tokens"), 12.0 / 4 * (1 + 11 + 17 + 40));
    if (loss == 0) loss = report->metrics.at("loss/total");
    // The same float terms, added in another order in double.
    EXPECT_NEAR(report->metrics.at("loss/total"), loss, 1e-12);
  }
}

TEST(Trainer, LearnsTheSameWithAndWithoutSharedPrefixes) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  const TrainerOptions options = {.dtype = DType::kF32, .micro_batch_tokens = 1000};
  TinyTrainer sharing(folder.Path("model"), options), apart(folder.Path("model"), options);
  const std::vector<ScoredGroup> groups =
      SampleGroups(*sharing.backend, sharing.trainer->GetWeights());
  std::vector<ScoredGroup> singles;  // a group for each completion: nothing to share
  for (const ScoredGroup& scored : groups) {
    for (size_t c = 0; c < scored.group.completions.size(); ++c) {
      ScoredGroup single = scored;
      single.group.completions = {scored.group.completions[c]};
      single.advantages = {scored.advantages[c]};
      singles.push_back(single);
    }
  }
  auto with = sharing.trainer->Update(groups, SamplerNumerics::kSame);
  auto without = apart.trainer->Update(singles, SamplerNumerics::kSame);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_LT(with->metrics.at("learner/rows"), without->metrics.at("learner/rows"));
  EXPECT_EQ(without->metrics.at("exactness/logprob_max_abs_diff"), 0);
  EXPECT_NEAR(with->metrics.at("loss/total"), without->metrics.at("loss/total"), 1e-12);
  // Gradients are the same sums of some 200 float terms in another order.
  EXPECT_NEAR(
      with->metrics.at("optimizer/gradient_norm") / without->metrics.at("optimizer/gradient_norm"),
      1, 1e-5);
}

TEST(Trainer, LeavesGroupsWithoutSignalOutButCountsThemInTheMean) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  const TrainerOptions options = {.dtype = DType::kF32, .micro_batch_tokens = 1000};
  TinyTrainer tiny(folder.Path("model"), options), other(folder.Path("model"), options);
  const auto groups =
      SampleGroups(*tiny.backend, tiny.trainer->GetWeights(), {.third_has_signal = false});
  auto all = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  auto two = other.trainer->Update(std::span(groups).first(2), SamplerNumerics::kSame);
  ASSERT_TRUE(all.ok() && two.ok());
  EXPECT_EQ(all->metrics.at("learner/completions"), 12);
  EXPECT_EQ(all->metrics.at("learner/completions_left_out"), 4);
  EXPECT_EQ(all->metrics.at("learner/rows"), two->metrics.at("learner/rows"));
  // token_mean over three groups of equal size instead of two.
  EXPECT_NEAR(all->metrics.at("optimizer/gradient_norm"),
              two->metrics.at("optimizer/gradient_norm") * 2 / 3, 1e-6);
}

TEST(Trainer, MakesNoUpdateWithoutAnySignal) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32});
  const auto groups =
      SampleGroups(*tiny.backend, tiny.trainer->GetWeights(), {.third_has_signal = false});
  const uint64_t before = WorkingHash(tiny.trainer->GetWeights());
  auto report = tiny.trainer->Update(std::span(groups).last(1), SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->policy_version, 0);
  EXPECT_EQ(report->metrics.at("optimizer/updates"), 0);
  EXPECT_EQ(report->metrics.at("learner/target_tokens"), 0);
  EXPECT_EQ(WorkingHash(tiny.trainer->GetWeights()), before);
}

TEST(Trainer, MakesSeveralUpdatesAStepFromMiniBatches) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(
      folder.Path("model"),
      {.dtype = DType::kF32, .optimizer = {.learning_rate = 1e-3}, .updates_per_step = 3});
  const auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->policy_version, 3);
  EXPECT_EQ(report->metrics.at("optimizer/updates"), 3);
  // The first third is on policy, the others are not any more: ratios against the behaviour policy.
  EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
  EXPECT_EQ(report->metrics.at("exactness/tokens"), 1 + 11 + 17 + 40);
  EXPECT_GT(report->metrics.at("policy/ratio_max"), 1);
}

TEST(Trainer, TakesItsOwnLogProbsAsDenominatorWhereTheSamplersAreCapped) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32,
                                          .loss = {.importance_cap = 2},
                                          .optimizer = {.learning_rate = 0},
                                          .updates_per_step = 3});
  auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  for (ScoredGroup& scored : groups) {
    for (Completion& completion : scored.group.completions) {
      for (float& logprob : completion.logprobs)
        logprob -= 0.25f;  // as a sampler of other numerics would
    }
  }
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->metrics.at("policy/ratio_max"), 1) << "a learning rate of 0 keeps the policy";
  EXPECT_NEAR(report->metrics.at("policy/importance_mean"), std::exp(0.25), 1e-5);
  EXPECT_NEAR(report->metrics.at("exactness/logprob_max_abs_diff"), 0.25, 1e-5);
  EXPECT_EQ(report->metrics.at("exactness/tokens"), 3 * (1 + 11 + 17 + 40));
}

TEST(Trainer, CorrectsForSamplersOfOtherNumericsWithoutBeingSet) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(
      folder.Path("model"),
      {.dtype = DType::kF32, .optimizer = {.learning_rate = 0}, .updates_per_step = 3});
  auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  for (ScoredGroup& scored : groups) {
    for (Completion& completion : scored.group.completions) {
      for (float& logprob : completion.logprobs) logprob -= 1;
    }
  }
  auto corrected = tiny.trainer->Update(groups, SamplerNumerics::kDiffer);
  ASSERT_TRUE(corrected.ok()) << corrected.status();
  EXPECT_EQ(corrected->metrics.at("policy/ratio_max"), 1);
  EXPECT_EQ(corrected->metrics.at("policy/importance_mean"), kDefaultImportanceCap) << "e > 2";
  auto plain = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->metrics.count("policy/importance_mean"), 0u) << "only while they differ";
}

TEST(Trainer, ComparesOnlyTokensThatItsCurrentVersionSampled) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32});
  auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  Completion& changed = groups[0].group.completions[3];
  ASSERT_EQ(changed.token_ids.size(), 40u);
  changed.versions = {{0, 0}, {30, 1}};
  for (size_t t = 30; t < 40; ++t) changed.logprobs[t] -= 1;
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
  EXPECT_EQ(report->metrics.at("exactness/tokens"), 3 * (1 + 11 + 17 + 40) - 10);
}

TEST(Trainer, ComparesNothingBehindASwapOfWeights) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32});
  auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  Completion& changed = groups[0].group.completions[3];
  ASSERT_EQ(changed.token_ids.size(), 40u);
  // The current version has sampled the last ten, over keys and values of the one before.
  changed.versions = {{0, -1}, {30, 0}};
  for (float& logprob : changed.logprobs) logprob -= 1;
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
  EXPECT_EQ(report->metrics.at("exactness/tokens"), 3 * (1 + 11 + 17 + 40) - 40);
}

TEST(Trainer, WeighsTokensOfOlderVersionsAndSaysHowStaleTheyAre) {
  const TestFolder folder;
  WriteTinyModel("llama", folder.Path("model"));
  TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32, .loss = {.importance_cap = 2}});
  auto groups = SampleGroups(*tiny.backend, tiny.trainer->GetWeights());
  Completion& stale = groups[0].group.completions[3];
  ASSERT_EQ(stale.token_ids.size(), 40u);
  // The older policies found their first ten tokens a quarter as likely, the next ten 1.5 times.
  stale.versions = {{0, -2}, {10, -1}, {20, 0}};
  for (size_t t = 0; t < 10; ++t) stale.logprobs[t] -= std::log(4.0f);
  for (size_t t = 10; t < 20; ++t) stale.logprobs[t] += std::log(1.5f);
  auto report = tiny.trainer->Update(groups, SamplerNumerics::kSame);
  ASSERT_TRUE(report.ok()) << report.status();
  const double tokens = 3 * (1 + 11 + 17 + 40);
  EXPECT_NEAR(report->metrics.at("policy/importance_mean"),
              (tokens - 20 + 10 * 2 + 10 / 1.5) / tokens, 1e-5);
  EXPECT_EQ(report->metrics.at("staleness/max"), 2);
  EXPECT_NEAR(report->metrics.at("staleness/mean"), 30 / tokens, 1e-12);
  EXPECT_NEAR(report->metrics.at("staleness/stale_tokens"), 20 / tokens, 1e-12);
  EXPECT_EQ(report->metrics.at("policy/ratio_max"), 1) << "against the learner's own log-probs";
  EXPECT_EQ(report->metrics.at("exactness/logprob_max_abs_diff"), 0);
}

TEST(Trainer, PlansTheMemoryOfEachPart) {
  const TestFolder folder;
  const ModelConfig config = WriteTinyModel("llama", folder.Path("model"));
  const int64_t parameters = MakeParameterLayout(config).count;
  std::map<std::string, int64_t> plan;
  for (const MemoryPlanRow& row :
       PlanTrainerMemory(config, {.dtype = DType::kF32, .loss = {.kl_weight = 0.1}}))
    plan[row.name] = row.bytes;
  EXPECT_EQ(plan.at("master weights"), 4 * parameters);
  EXPECT_EQ(plan.at("gradients"), 4 * parameters);
  EXPECT_EQ(plan.at("moments"), 8 * parameters);
  const TinyTrainer tiny(folder.Path("model"), {.dtype = DType::kF32});
  EXPECT_EQ(plan.at("working weights"), tiny.trainer->GetWeights().Bytes());
  EXPECT_EQ(plan.at("reference weights"), plan.at("working weights"));
  // 512 pages (twice 4096 rows) of 16 positions, 2 layers, keys and values, 2 heads of 8 floats.
  EXPECT_EQ(plan.at("cache"), 512 * 16 * 2 * 2 * 2 * 8 * 4);
  EXPECT_GT(plan.at("activations"), 4096 * 2 * 52 * 4);
}

}  // namespace
}  // namespace ponder
