#include "app/run_dashboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "observe/run_store.h"
#include "tests/observe/http_client.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class RecordingConsole : public Console {
 public:
  void Say(const std::string& line) override { said.push_back(line); }
  void Warn(const std::string& line) override { warned.push_back(line); }
  void Progress(const std::string&, int64_t, int64_t) override {}

  std::vector<std::string> said, warned;
};

class RunDashboardTest : public ::testing::Test {
 protected:
  RunDashboardTest() : run_(FreshDirectory()) {
    auto store = RunStore::Open(run_ + "/run.db", RunStore::Mode::kCreate);
    EXPECT_TRUE(store.ok() && (*store)->WriteStep(MakeStep("train", 1)).ok());
  }
  ~RunDashboardTest() override { std::filesystem::remove_all(run_); }

  const std::string run_;
  RecordingConsole console_;
};

TEST_F(RunDashboardTest, SaysWhereItIs) {
  const auto server = StartRunDashboard({.listen = "127.0.0.1:0"}, run_, console_);
  ASSERT_NE(server, nullptr);
  EXPECT_THAT(console_.said,
              ElementsAre("dashboard: http://127.0.0.1:" + std::to_string(server->Port()) + "/"));
  EXPECT_THAT(console_.warned, IsEmpty());
  const std::string name = std::filesystem::path(run_).filename().string();
  const ReceivedResponse steps = HttpClient(server->Port()).Get("/api/runs/" + name + "/steps");
  EXPECT_EQ(steps.status, 200);
  EXPECT_THAT(steps.body, HasSubstr("\"train\""));
}

TEST_F(RunDashboardTest, WantsItsToken) {
  ASSERT_TRUE(WriteFileAtomically(run_ + "/token", "0123456789abcdef\n").ok());
  const auto server =
      StartRunDashboard({.listen = "127.0.0.1:0", .token_file = run_ + "/token"}, run_, console_);
  ASSERT_NE(server, nullptr);
  HttpClient client(server->Port());
  EXPECT_EQ(client.Get("/api/runs").status, 401);
  EXPECT_EQ(client.Get("/api/runs", "Authorization: Bearer 0123456789abcdef\r\n").status, 200);
}

TEST_F(RunDashboardTest, IsAWarningWhereItCannotBe) {
  const auto first = StartRunDashboard({.listen = "127.0.0.1:0"}, run_, console_);
  ASSERT_NE(first, nullptr);
  const std::string taken = "127.0.0.1:" + std::to_string(first->Port());
  EXPECT_EQ(StartRunDashboard({.listen = taken}, run_, console_), nullptr);
  EXPECT_EQ(StartRunDashboard({.listen = "0.0.0.0:0"}, run_, console_), nullptr);
  EXPECT_EQ(
      StartRunDashboard({.listen = "127.0.0.1:0", .token_file = run_ + "/none"}, run_, console_),
      nullptr);
  ASSERT_EQ(console_.warned.size(), 3u);
  EXPECT_THAT(console_.warned[0], StartsWith("no dashboard: cannot listen on " + taken));
  EXPECT_THAT(console_.warned[1], HasSubstr("a file with a token"));
  EXPECT_THAT(console_.warned[2], HasSubstr("none"));
}

TEST_F(RunDashboardTest, IsNotThereUnlessWanted) {
  EXPECT_EQ(StartRunDashboard({}, run_, console_), nullptr);
  EXPECT_THAT(console_.said, IsEmpty());
  EXPECT_THAT(console_.warned, IsEmpty());
}

}  // namespace
}  // namespace ponder
