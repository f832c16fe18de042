#include "verifiers/command_verifier.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

// A verifier in a few lines of Python, around the body of `judge(item)`.
std::vector<std::string> Python(const std::string& judge) {
  return {"python3", "-c",
          "import json, os, sys\n"
          "def judge(item):\n" +
              judge +
              "\nfor line in sys.stdin:\n"
              "    item = json.loads(line)\n"
              "    print(json.dumps({'id': item['id'], **judge(item)}), flush=True)\n"};
}

constexpr char kByText[] =
    "    if item['completion'] == 'die': os.write(2, b'out of gas\\n'); os._exit(3)\n"
    "    if item['completion'] == 'wait': sys.stdin.read()\n"
    "    return {'score': float(item['completion'] == item['task']['gold'])}";

std::vector<VerifyItem> Items(const std::vector<std::string>& completions) {
  std::vector<VerifyItem> items;
  for (const std::string& completion : completions) items.push_back({{.gold = "7"}, completion});
  return items;
}

std::unique_ptr<Verifier> Start(CommandVerifierOptions options) {
  auto verifier = StartCommandVerifier(std::move(options));
  EXPECT_TRUE(verifier.ok()) << verifier.status();
  return *std::move(verifier);
}

std::vector<VerdictStatus> Statuses(const absl::StatusOr<std::vector<Verdict>>& verdicts) {
  EXPECT_TRUE(verdicts.ok()) << verdicts.status();
  std::vector<VerdictStatus> statuses;
  if (!verdicts.ok()) return statuses;
  for (const Verdict& verdict : *verdicts) statuses.push_back(verdict.status);
  return statuses;
}

constexpr auto kCorrect = VerdictStatus::kCorrect;
constexpr auto kWrong = VerdictStatus::kWrong;
constexpr auto kInternal = VerdictStatus::kInternal;

TEST(CommandVerifier, GivesAVerdictToEachItemOverManyCalls) {
  const auto verifier = Start({.command = Python(kByText)});
  for (int call = 0; call < 3; ++call) {
    EXPECT_THAT(Statuses(verifier->Verify(Items({"7", "8", "7"}), absl::Now() + kLong)),
                ElementsAre(kCorrect, kWrong, kCorrect));
  }
  EXPECT_THAT(Statuses(verifier->Verify({}, absl::Now() + kLong)), ElementsAre());
}

TEST(CommandVerifier, PassesTheWholeTaskAndTakesTheWholeVerdict) {
  const auto verifier = Start(
      {.command = Python("    task = item['task']\n"
                         "    assert task == {'id': 'a1', 'kind': 'math', 'source': 'mine',"
                         " 'question': 'q', 'gold': '5', 'data': {'places': 2},"
                         " 'difficulty': 0.5}, task\n"
                         "    return {'status': 'WRONG', 'score': 0.25, 'parts': {'format': 1},"
                         " 'extracted': item['completion'], 'reason': 'near', 'elapsed_us': 9}")});
  const VerifyItem item{{.id = "a1",
                         .kind = "math",
                         .source = "mine",
                         .question = "q",
                         .gold = "5",
                         .data = "{\"places\": 2}",
                         .difficulty = 0.5},
                        "a line\nand \"another\" \xff"};
  const auto verdicts = verifier->Verify(std::span(&item, 1), absl::Now() + kLong);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0], (Verdict{.status = kWrong,
                                     .score = 0.25,
                                     .parts = {{"format", 1.0}},
                                     .extracted = "a line\nand \"another\" \uFFFD",
                                     .reason = "near",
                                     .elapsed_us = 9}));
}

TEST(CommandVerifier, TakesVerdictsInAnyOrder) {
  const auto verifier = Start(
      {.command = {"python3", "-c",
                   "import json, sys\n"
                   "items = [json.loads(sys.stdin.readline()) for _ in range(3)]\n"
                   "for item in reversed(items):\n"
                   "    print(json.dumps({'id': item['id'], 'score': item['completion'] == '7'}),"
                   " flush=True)\n"}});
  EXPECT_THAT(Statuses(verifier->Verify(Items({"7", "8", "9"}), absl::Now() + kLong)),
              ElementsAre(kCorrect, kWrong, kWrong));
}

TEST(CommandVerifier, AnItemThatKillsTheProcessIsInternalAndTheOthersAreJudgedByANewOne) {
  std::vector<std::string> events;
  const auto verifier =
      Start({.command = Python(kByText),
             .on_event = [&](const std::string& event) { events.push_back(event); }});
  EXPECT_THAT(Statuses(verifier->Verify(Items({"7", "die", "8", "7"}), absl::Now() + kLong)),
              ElementsAre(kCorrect, kInternal, kWrong, kCorrect));
  EXPECT_THAT(events, ElementsAre(HasSubstr("restarted (1 of 10): ended with exit status 3; its "
                                            "last line: out of gas")));
}

TEST(CommandVerifier, WhatIsOwedAtTheDeadlineIsInternalAndTheNextCallIsAnswered) {
  const auto verifier = Start({.command = Python(kByText), .start_timeout = absl::ZeroDuration()});
  // The first call must not be cut short by the start of the interpreter.
  EXPECT_THAT(Statuses(verifier->Verify(Items({"7"}), absl::Now() + kLong)), ElementsAre(kCorrect));
  EXPECT_THAT(
      Statuses(verifier->Verify(Items({"wait", "7"}), absl::Now() + absl::Milliseconds(50))),
      ElementsAre(kInternal, kInternal));
  EXPECT_THAT(Statuses(verifier->Verify(Items({"7"}), absl::Now() + kLong)), ElementsAre(kCorrect));
}

TEST(CommandVerifier, ASlowStartIsNotTakenForAHang) {
  // The deadline has long passed when the interpreter is up.
  const auto verifier = Start({.command = Python(kByText)});
  EXPECT_THAT(Statuses(verifier->Verify(Items({"7"}), absl::Now() + absl::Microseconds(1))),
              ElementsAre(kCorrect));
}

TEST(CommandVerifier, WhatIsNoVerdictIsInternal) {
  for (const std::string answer :
       {"{'status': 'MAYBE'}", "{'score': 2}", "{'score': float('nan')}", "{'score': 'high'}", "{}",
        "{'score': 1, 'parts': [1]}", "{'id': 77, 'score': 1}", "{'id': None, 'score': 1}"}) {
    const auto verifier = Start({.command = Python("    return " + answer)});
    EXPECT_THAT(Statuses(verifier->Verify(Items({"7"}), absl::Now() + kLong)),
                ElementsAre(kInternal))
        << answer;
  }
}

TEST(CommandVerifier, GivesUpWhenItsRestartsAreUsedUp) {
  const auto verifier = Start({.command = {"sh", "-c", "exit 1"}, .max_restarts = 2});
  const auto verdicts = verifier->Verify(Items({"7", "7", "7", "7"}), absl::Now() + kLong);
  EXPECT_TRUE(absl::IsFailedPrecondition(verdicts.status())) << verdicts.status();
  EXPECT_THAT(std::string(verdicts.status().message()), HasSubstr("after 2 restarts"));
}

TEST(CommandVerifier, AProgramThatIsNotThereIsAnErrorAtTheStart) {
  EXPECT_FALSE(StartCommandVerifier({.command = {"/no/such/program"}}).ok());
  EXPECT_FALSE(StartCommandVerifier({}).ok());
}

}  // namespace
}  // namespace ponder
