#include "verifiers/plugin/plugin_verifier.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using ::testing::HasSubstr;

Verdict JudgeOne(Verifier& verifier, const std::string& completion, const std::string& gold = "") {
  const VerifyItem item{{.gold = gold}, completion};
  const auto verdicts = verifier.Verify(std::span(&item, 1), absl::InfiniteFuture());
  EXPECT_TRUE(verdicts.ok()) << verdicts.status();
  return (*verdicts)[0];
}

TEST(PluginVerifier, TheExampleJudgesAsTheDocumentationSays) {
  const auto verifier = LoadPluginVerifier(PONDER_EXAMPLE_PLUGIN);
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  EXPECT_EQ((*verifier)->Describe().name, "word-limit");
  EXPECT_EQ((*verifier)->Describe().version, "1");
  const Verdict right = JudgeOne(**verifier, "Two and two. Answer: 4\n", " 4");
  EXPECT_EQ(right.status, VerdictStatus::kCorrect);
  EXPECT_EQ(right.score, 1);
  EXPECT_EQ(right.parts.at("words"), 3);
  EXPECT_EQ(right.extracted, "4");
  EXPECT_EQ(right.reason, "3 words before the answer");
  EXPECT_EQ(JudgeOne(**verifier, "a b c d e f g h i j k Answer: 4", "4").score, 0.5);
  EXPECT_EQ(JudgeOne(**verifier, "Answer: 4 Answer: 5", "4").status, VerdictStatus::kWrong);
  EXPECT_EQ(JudgeOne(**verifier, "4", "4").status, VerdictStatus::kNoAnswer);
  EXPECT_EQ(JudgeOne(**verifier, "", "4").status, VerdictStatus::kNoAnswer);
  EXPECT_EQ(JudgeOne(**verifier, "Answer: " + std::string(10'000, 'x'), "4").extracted,
            std::string(511, 'x'));
}

TEST(PluginVerifier, WhatIsNoVerdictIsInternal) {
  const auto verifier = LoadPluginVerifier(PONDER_TEST_PLUGINS "/misbehaving.so");
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  EXPECT_EQ(JudgeOne(**verifier, "well").status, VerdictStatus::kWrong);
  for (const std::string wish :
       {"throw", "no status", "unknown status", "score", "many parts", "negative parts", "part"}) {
    EXPECT_EQ(JudgeOne(**verifier, wish).status, VerdictStatus::kInternal) << wish;
  }
  EXPECT_THAT(JudgeOne(**verifier, "throw").reason, HasSubstr("thrown by the plugin"));
  EXPECT_EQ(JudgeOne(**verifier, "unended").reason, std::string(512, 'x'));
}

TEST(PluginVerifier, ItemsAfterTheDeadlineAreInternal) {
  const auto verifier = LoadPluginVerifier(PONDER_TEST_PLUGINS "/misbehaving.so");
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  const VerifyItem item;
  const auto verdicts = (*verifier)->Verify(std::span(&item, 1), absl::InfinitePast());
  ASSERT_TRUE(verdicts.ok());
  EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kInternal);
}

TEST(PluginVerifier, RefusesWhatIsNoPluginOfThisVersionWithAReason) {
  const auto message = [](const std::string& path) {
    const auto verifier = LoadPluginVerifier(path);
    return verifier.ok() ? "it was loaded" : std::string(verifier.status().message());
  };
  EXPECT_THAT(message("/no/such/file.so"), HasSubstr("/no/such/file.so"));
  EXPECT_THAT(message("nothing.so"), HasSubstr("./nothing.so"));
  EXPECT_THAT(message(PONDER_TEST_PLUGINS "/old.so"), HasSubstr("version 2 of the plugin"));
  EXPECT_THAT(message(PONDER_TEST_PLUGINS "/refuses.so"), HasSubstr("no word list"));
  EXPECT_THAT(message(PONDER_TEST_PLUGINS "/empty.so"), HasSubstr("is no verifier plugin"));
}

}  // namespace
}  // namespace ponder
