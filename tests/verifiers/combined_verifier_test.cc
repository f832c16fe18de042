#include "verifiers/combined_verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verifiers/fake_verifier.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr absl::Time kNever = absl::InfiniteFuture();

// Says the same of everything.
std::unique_ptr<FakeVerifier> Saying(Verdict verdict) {
  return std::make_unique<FakeVerifier>([verdict](const VerifyItem&) { return verdict; });
}

Verdict Right() { return {.status = VerdictStatus::kCorrect, .score = 1, .reason = "right"}; }
Verdict Wrong() { return {.status = VerdictStatus::kWrong, .reason = "wrong"}; }
Verdict Broken() { return {.status = VerdictStatus::kInternal, .reason = "it broke"}; }

std::unique_ptr<Verifier> Combine(std::unique_ptr<Verifier> main, CombinedMember member) {
  std::vector<CombinedMember> members;
  members.push_back(std::move(member));
  return CombineVerifiers(std::move(main), std::move(members));
}

VerifyItem Item(const std::string& source, const std::string& kind = "math") {
  return {{.kind = kind, .source = source}, "text"};
}

TEST(CombinedVerifier, APartAddsItsScoreAndItsOwnPartsUnderItsName) {
  const auto verifier = Combine(
      Saying({.status = VerdictStatus::kCorrect, .score = 1, .parts = {{"format", 1}}}),
      {.name = "brevity",
       .verifier =
           Saying({.status = VerdictStatus::kWrong, .score = 0.25, .parts = {{"words", 40}}})});
  const auto verdicts = verifier->Verify(std::vector{Item("a")}, kNever);
  ASSERT_TRUE(verdicts.ok());
  EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kCorrect);
  EXPECT_EQ((*verdicts)[0].score, 1);
  EXPECT_THAT((*verdicts)[0].parts, UnorderedElementsAre(Pair("format", 1), Pair("brevity", 0.25),
                                                         Pair("brevity/words", 40)));
}

TEST(CombinedVerifier, AJudgeTakesTheTasksOfItsSourcesAndKindsFromTheMainOne) {
  std::vector<CombinedMember> members;
  members.push_back(
      {.name = "a", .role = MemberRole::kJudge, .sources = {"a"}, .verifier = Saying(Wrong())});
  members.push_back({.name = "ab",
                     .role = MemberRole::kJudge,
                     .sources = {"a", "b"},
                     .kinds = {"code"},
                     .verifier = Saying({.status = VerdictStatus::kTimeout})});
  const auto verifier = CombineVerifiers(Saying(Right()), std::move(members));
  const auto verdicts = verifier->Verify(
      std::vector{Item("c"), Item("a"), Item("b", "code"), Item("b"), Item("a", "code")}, kNever);
  ASSERT_TRUE(verdicts.ok());
  std::vector<VerdictStatus> statuses;
  for (const Verdict& verdict : *verdicts) statuses.push_back(verdict.status);
  EXPECT_THAT(statuses, ElementsAre(VerdictStatus::kCorrect, VerdictStatus::kWrong,
                                    VerdictStatus::kTimeout, VerdictStatus::kCorrect,
                                    VerdictStatus::kWrong));  // the first that fits
}

TEST(CombinedVerifier, APartsFailureIsTheItems) {
  const auto verifier = Combine(Saying(Right()), {.name = "style", .verifier = Saying(Broken())});
  const auto verdicts = verifier->Verify(std::vector{Item("a")}, kNever);
  ASSERT_TRUE(verdicts.ok());
  EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kInternal);
  EXPECT_EQ((*verdicts)[0].reason, "style: it broke");
}

TEST(CombinedVerifier, AFailedCallOfAJudgeOrPartFailsTheCallUnderItsName) {
  for (const MemberRole role : {MemberRole::kJudge, MemberRole::kPart}) {
    auto member = Saying(Right());
    member->NextCallReturns(absl::UnavailableError("gone"));
    const auto verifier =
        Combine(Saying(Right()), {.name = "style", .role = role, .verifier = std::move(member)});
    const auto failed = verifier->Verify(std::vector{Item("a")}, kNever);
    EXPECT_TRUE(absl::IsUnavailable(failed.status()));
    EXPECT_THAT(std::string(failed.status().message()), HasSubstr("style: gone"));
    EXPECT_TRUE(verifier->Verify(std::vector{Item("a")}, kNever).ok());
  }
}

TEST(CombinedVerifier, AWrongNumberOfVerdictsIsAnError) {
  auto member = Saying(Right());
  member->NextCallReturns(std::vector<Verdict>{Right(), Right()});
  const auto verifier = Combine(Saying(Right()), {.name = "style", .verifier = std::move(member)});
  EXPECT_FALSE(verifier->Verify(std::vector{Item("a")}, kNever).ok());
}

TEST(CombinedVerifier, AnAuditTellsWhereItDisagreesAndChangesNothing) {
  const auto verifier = Combine(
      Saying(Right()), {.name = "second", .role = MemberRole::kAudit, .verifier = Saying(Wrong())});
  const auto verdicts = verifier->Verify(std::vector{Item("a")}, kNever);
  ASSERT_TRUE(verdicts.ok());
  EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kCorrect);
  EXPECT_EQ((*verdicts)[0].score, 1);
  EXPECT_THAT((*verdicts)[0].parts,
              UnorderedElementsAre(Pair("audit/second", 0), Pair("audit/second/disputed", 1)));
  EXPECT_EQ((*verdicts)[0].reason, "right; second says WRONG (wrong)");
}

TEST(CombinedVerifier, AnAuditsFailureCostsNothing) {
  auto audit = Saying(Broken());
  audit->NextCallReturns(absl::FailedPreconditionError("gone for good"));
  const auto verifier =
      Combine(Saying(Right()),
              {.name = "second", .role = MemberRole::kAudit, .verifier = std::move(audit)});
  for (int call = 0; call < 2; ++call) {
    const auto verdicts = verifier->Verify(std::vector{Item("a")}, kNever);
    ASSERT_TRUE(verdicts.ok());
    EXPECT_EQ((*verdicts)[0].status, VerdictStatus::kCorrect);
    EXPECT_EQ((*verdicts)[0].reason, "right");
    EXPECT_THAT((*verdicts)[0].parts, UnorderedElementsAre(Pair("audit/second/failed", 1)));
  }
}

TEST(CombinedVerifier, AnAuditLooksAtItsShareAndAlwaysAtTheSameCompletions) {
  std::vector<VerifyItem> items;
  for (int i = 0; i < 2000; ++i)
    items.push_back({{.id = std::to_string(i % 50)}, std::to_string(i)});
  const auto audited = [&] {
    const auto verifier = Combine(
        Saying(Right()),
        {.name = "second", .role = MemberRole::kAudit, .share = 0.25, .verifier = Saying(Right())});
    std::vector<size_t> places;
    const auto verdicts = verifier->Verify(items, kNever);
    EXPECT_TRUE(verdicts.ok());
    for (size_t i = 0; i < items.size(); ++i) {
      if ((*verdicts)[i].parts.contains("audit/second")) places.push_back(i);
    }
    return places;
  };
  const std::vector<size_t> places = audited();
  // Binomial with mean 500 and deviation 19.4: five deviations on either side.
  EXPECT_GT(places.size(), 403u);
  EXPECT_LT(places.size(), 597u);
  EXPECT_EQ(audited(), places);
}

TEST(CombinedVerifier, WithoutMembersTheMainOneIsAlone) {
  auto main = Saying(Right());
  Verifier* const alone = main.get();
  EXPECT_EQ(CombineVerifiers(std::move(main), {}).get(), alone);
}

}  // namespace
}  // namespace ponder
