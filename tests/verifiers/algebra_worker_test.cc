#include "verifiers/math/algebra_worker.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <tuple>

#include "verifiers/math/wire.h"

namespace ponder::math {
namespace {

// A program in place of the worker.
std::string WriteProgram(const std::string& name, const std::string& script) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << "#!/bin/sh\n" << script;
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST(AlgebraWorkers, AnswerWhatRationalsCannot) {
  const auto workers = CreateAlgebraWorkers();
  const auto equal = workers->Check("\\sqrt{8}", "2\\sqrt{2}", {});
  ASSERT_TRUE(equal.ok()) << equal.status();
  EXPECT_EQ(equal->outcome, AnswerOutcome::kEqual);
  const auto different = workers->Check("\\sqrt{8}", "3\\sqrt{2}", {});
  ASSERT_TRUE(different.ok()) << different.status();
  EXPECT_EQ(different->outcome, AnswerOutcome::kDifferent);
  EXPECT_NE(different->reason, "");
}

TEST(AlgebraWorkers, ServeManyThreadsAtOnce) {
  const auto workers = CreateAlgebraWorkers({.time_limit = absl::Seconds(60)});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 2; i < 40; ++i) {
        const std::string n = std::to_string(i);
        const auto check = workers->Check("\\sqrt{" + n + "}^2", n, {});
        ASSERT_TRUE(check.ok()) << check.status();
        EXPECT_EQ(check->outcome, AnswerOutcome::kEqual);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(AlgebraWorkers, ADeathCostsOneCheck) {
  // Answers the greeting, then dies of the first question; the next one meets a new process.
  const std::string program = WriteProgram(
      "dies", "head -c " + std::to_string(sizeof(uint32_t) + EncodeRequest("1", "1", {}).size()) +
                  " >/dev/null\nprintf '\\005\\000\\000\\000\\000\\000\\000\\000\\000'\nhead -c 1 "
                  ">/dev/null\n");
  const auto workers = CreateAlgebraWorkers({.program = program, .time_limit = absl::Seconds(60)});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(workers->Check("a", "b", {}).status().code(), absl::StatusCode::kResourceExhausted);
  }
}

// Only what it computes is the answer's fault, not that it does not get to it.
TEST(AlgebraWorkers, AHangEndsAtTheLimit) {
  const std::string start = "head -c " +
                            std::to_string(sizeof(uint32_t) + EncodeRequest("1", "1", {}).size()) +
                            " >/dev/null\nprintf '\\005\\000\\000\\000\\000\\000\\000\\000\\000'\n";
  for (const auto& [name, rest, code] :
       {std::tuple("computes", "while :; do :; done\n", absl::StatusCode::kDeadlineExceeded),
        std::tuple("waits", "exec cat >/dev/null\n", absl::StatusCode::kInternal)}) {
    const auto workers = CreateAlgebraWorkers(
        {.program = WriteProgram(name, start + rest), .time_limit = absl::Milliseconds(20)});
    EXPECT_EQ(workers->Check("a", "b", {}).status().code(), code) << name;
  }
}

TEST(AlgebraWorkers, SayWhatIsMissing) {
  const auto workers = CreateAlgebraWorkers({.program = "/nonexistent/worker"});
  const absl::Status status = workers->Check("a", "b", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(status.message().find("/nonexistent/worker"), std::string::npos);
}

TEST(MathWire, BringsBackWhatWasSent) {
  const CompareOptions options{.decimal_places = 4, .units_must_match = true, .lenient = true};
  const auto request = DecodeRequest(EncodeRequest("gold\0x", "answer", options));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->gold, "gold");
  EXPECT_EQ(request->answer, "answer");
  EXPECT_EQ(request->options.decimal_places, 4);
  EXPECT_TRUE(request->options.percent_either_way);
  EXPECT_TRUE(request->options.units_must_match);
  EXPECT_TRUE(request->options.lenient);
  const auto reply = DecodeReply(EncodeReply({AnswerOutcome::kDifferent, "why"}));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->outcome, AnswerOutcome::kDifferent);
  EXPECT_EQ(reply->reason, "why");
}

TEST(MathWire, RefusesWhatIsCutOrTooLong) {
  const std::string request = EncodeRequest("gold", "answer", {});
  const std::string reply = EncodeReply({AnswerOutcome::kEqual, "why"});
  for (size_t size = 0; size < request.size(); ++size) {
    EXPECT_FALSE(DecodeRequest(request.substr(0, size)).has_value()) << size;
  }
  for (size_t size = 0; size < reply.size(); ++size) {
    EXPECT_FALSE(DecodeReply(reply.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(DecodeRequest(request + "x").has_value());
  EXPECT_FALSE(DecodeReply(reply + "x").has_value());
  EXPECT_FALSE(DecodeReply("\x09" + reply.substr(1)).has_value());
}

}  // namespace
}  // namespace ponder::math
