#include "app/replay_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/rollout/byte_tokenizer.h"

namespace ponder {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ReplayReportTest : public testing::Test {
 protected:
  static ReplayedSample Same() {
    const Completion completion{
        .token_ids = {65, 66}, .logprobs = {-1, -2}, .versions = {{0, 3}}, .text = "AB"};
    ReplayedSample sample{.found = completion};
    sample.recorded = {.rowid = 7, .step = 2, .phase = "train"};
    sample.recorded.completion = completion;
    sample.recorded.task.id = "t\033[2J";
    sample.recorded.verdict = {.status = VerdictStatus::kCorrect, .score = 1};
    return sample;
  }
  std::string Concluded(const std::string& learning = "") {
    std::string words;
    const absl::Status status = report_.Conclude(learning, words);
    EXPECT_EQ(status.ok(), !words.empty());
    return status.ok() ? words : std::string(status.message());
  }

  const ByteTokenizer tokenizer_;
  ReplayReport report_{tokenizer_};
};

TEST_F(ReplayReportTest, SaysWhereADifferenceBeginsAndWhy) {
  ReplayedSample sample = Same();
  EXPECT_THAT(report_.ToText(sample, nullptr),
              AllOf(HasSubstr("task t?[2J #0  2 tokens  the same"), Not(HasSubstr("\033"))));
  sample.found.token_ids = {65};
  sample.difference = ReplayDifference{.token = 1};
  sample.likely_cause = "another\033 processor";
  EXPECT_THAT(report_.ToText(sample, nullptr),
              AllOf(HasSubstr("from token 1 on: expected 66 \"B\", found the end"),
                    HasSubstr("log-probs up to there: the same to the last bit"),
                    HasSubstr("why: another? processor")));
  const nlohmann::json row = report_.ToJson(sample, nullptr);
  EXPECT_EQ(row["same"], false);
  EXPECT_EQ(row["difference"]["expected"]["text"], "B");
  EXPECT_TRUE(row["difference"]["found"].is_null());
}

TEST_F(ReplayReportTest, AVerifierThatFailedIsNoOtherVerdict) {
  const ReplayedSample sample = Same();
  const Verdict right = sample.recorded.verdict;
  const Verdict failed{.status = VerdictStatus::kInternal, .reason = "gone"};
  const Rejudged none{.regenerated = failed, .recorded_text = failed};
  EXPECT_THAT(report_.ToText(sample, &none), HasSubstr("none, the verifier failed: \"gone\""));
  report_.Count(sample, &none);
  EXPECT_EQ(Concluded(), "1 of 1 samples has no verdict now");
  const Rejudged other{.regenerated = {.status = VerdictStatus::kWrong}, .recorded_text = right};
  report_.Count(sample, &other);
  EXPECT_EQ(Concluded(),
            "1 of 2 samples is judged otherwise than recorded; 1 of 2 samples has no verdict now");
}

TEST_F(ReplayReportTest, ConcludesOverAllSamples) {
  report_.Count(Same(), nullptr);
  report_.Count(Same(), nullptr);
  EXPECT_EQ(Concluded(),
            "2 samples of 1 step: the same, token for token and log-prob for log-prob (4 tokens)");
  EXPECT_EQ(Concluded("step 2 is another"), "the samples are the same, but step 2 is another");
  ReplayedSample sample = Same();
  sample.difference = ReplayDifference{.field = "finish"};
  report_.Count(sample, nullptr);
  sample = Same();
  sample.impossible = "no tokens";
  report_.Count(sample, nullptr);
  EXPECT_EQ(Concluded("step 2 is another"),
            "1 of 4 samples cannot be regenerated; 1 of 4 samples is not what the run recorded");
}

}  // namespace
}  // namespace ponder
