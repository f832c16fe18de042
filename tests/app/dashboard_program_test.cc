#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "observe/run_store.h"
#include "tests/app/program.h"
#include "tests/observe/http_client.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;

TEST(DashboardProgramTest, ServesAFolderOfRunsUntilItIsInterrupted) {
  const std::string folder = TestFolder("dashboard");
  std::filesystem::create_directories(folder + "/a");
  auto store = RunStore::Open(folder + "/a/run.db", RunStore::Mode::kCreate);
  ASSERT_TRUE(store.ok() && (*store)->WriteStep(MakeStep("train", 1)).ok());
  auto program = StartPonder({"dashboard", folder, "--listen", "127.0.0.1:0", "--json"});
  ASSERT_TRUE(program.ok()) << program.status();
  const auto line = program->ReadLine(absl::Seconds(30));
  ASSERT_TRUE(line.ok()) << line.status();
  const auto said = nlohmann::json::parse(*line);
  const int64_t port = said["port"];
  EXPECT_EQ(said["url"], "http://127.0.0.1:" + std::to_string(port) + "/");
  HttpClient client(port);
  EXPECT_EQ(client.Get("/").status, 200);
  EXPECT_THAT(client.Get("/api/runs").body, HasSubstr("\"id\":\"a\""));
  kill(program->Pid(), SIGINT);
  EXPECT_EQ(program->ReadLine(absl::Seconds(30)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(client.WaitForClose());
}

TEST(DashboardProgramTest, SaysWhatItCannotServe) {
  const std::string folder = TestFolder("dashboard-none");
  const ProgramResult missing = RunPonder({"dashboard", folder + "/none"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, HasSubstr("expected a run's folder or one that holds runs"));
  const ProgramResult open = RunPonder({"dashboard", folder, "--listen", "0.0.0.0:0"});
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_THAT(open.output, HasSubstr("can be reached from other machines"));
}

}  // namespace
}  // namespace ponder
