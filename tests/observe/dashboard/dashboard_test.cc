#include "observe/dashboard/dashboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <thread>
#include <vector>

#include "base/file.h"
#include "observe/dashboard/assets.h"
#include "observe/run_lock.h"
#include "tests/observe/dashboard/served_runs.h"
#include "tests/observe/http_client.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Ids(const json& list, const char* key = "id") {
  std::vector<std::string> ids;
  for (const json& item : list) ids.push_back(item[key]);
  return ids;
}

TEST(DashboardTest, ServesItsOwnFilesAndNoOthers) {
  ServedRuns runs;
  EXPECT_EQ(runs.Get("/").content_type, "text/html; charset=utf-8");
  EXPECT_THAT(runs.Get("/").body, HasSubstr("<!doctype html>"));
  EXPECT_EQ(runs.Get("/assets/dygraph.min.js").content_type, "text/javascript; charset=utf-8");
  EXPECT_GT(runs.Get("/assets/dygraph.min.js").body.size(), 100000u);
  EXPECT_THAT(runs.Get("/assets/dygraphs-licence.txt").body, HasSubstr("Permission is hereby"));
  EXPECT_EQ(runs.Get("/healthz").body, "ok\n");
  for (const char* target :
       {"/assets/", "/assets/../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2fetc%2fpasswd", "/etc/passwd", "//etc/passwd", "/assets//etc/passwd",
        "/assets/index.html/..", "/assets", "/index.html", "/./", "/api", "/api/", "/apix/runs"}) {
    EXPECT_EQ(runs.Get(target).status, 404) << target;
  }
}

TEST(DashboardTest, ServesEveryFileThatPagesName) {
  ServedRuns runs;
  const std::regex named(R"re((?:"/assets/|from '\./|import '\./)([\w.]+)["'])re");
  int found = 0;
  for (const auto& [name, content] : DashboardFiles()) {
    if (name == "dygraph.min.js") continue;
    const std::string text(content);
    for (std::sregex_iterator it(text.begin(), text.end(), named), end; it != end; ++it, ++found) {
      EXPECT_EQ(runs.Get("/assets/" + (*it)[1].str()).status, 200) << name << ": " << (*it)[0];
    }
  }
  EXPECT_GT(found, 20);
}

TEST(DashboardTest, DoesNotSendAFileTwice) {
  ServedRuns runs;
  const HttpResponse first = runs.Get("/assets/dygraph.min.js");
  ASSERT_EQ(first.headers.front().first, "ETag");
  const std::string tag = first.headers.front().second;
  for (const std::string& known : {tag, "W/" + tag, "\"x\", " + tag, std::string("*")}) {
    const HttpResponse second = runs.Get("/assets/dygraph.min.js", known);
    EXPECT_EQ(second.status, 304);
    EXPECT_TRUE(second.body.empty());
  }
  EXPECT_EQ(runs.Get("/assets/main.js", tag).status, 200);
}

TEST(DashboardTest, ListsRunsAsTheyAppearAndGo) {
  ServedRuns runs;
  EXPECT_EQ(runs.Json("/api/runs")["runs"], json::array());
  runs.AddFirst();
  runs.AddRun("second");
  std::filesystem::create_directory(runs.PathOf("no-run"));
  const json list = runs.Json("/api/runs")["runs"];
  EXPECT_THAT(Ids(list), ElementsAre("first", "second"));
  const json& first = list[0];
  EXPECT_EQ(first["name"], "first");
  EXPECT_EQ(first["status"], "stopped");
  EXPECT_EQ(first["text"], "stopped after step 6 of 20");
  EXPECT_EQ(first["steps"], 20);
  EXPECT_EQ(first["last_step"], 6);
  EXPECT_EQ(first["model"], "models/tiny");
  EXPECT_EQ(first["reward"].size(), 6u);
  EXPECT_NEAR(first["reward"][0], 0.5, 1e-9);
  EXPECT_NEAR(first["reward_last"], 2.0 / 12, 1e-9);
  EXPECT_GT(first["size_bytes"], 10000);
  EXPECT_THAT(std::string(first["started_at"]), ::testing::MatchesRegex("20..-..-..T.*Z"));
  EXPECT_EQ(list[1]["reward_last"], json());
  std::filesystem::remove_all(runs.PathOf("first"));
  EXPECT_THAT(Ids(runs.Json("/api/runs")["runs"]), ElementsAre("second"));
  runs.Json("/api/runs/first/state", 404);
}

TEST(DashboardTest, ThinsOutTheRewardsOfLongRuns) {
  ServedRuns runs;
  auto store = runs.AddRun("long");
  for (int64_t step = 1; step <= 130; ++step) {
    ASSERT_TRUE(store->WriteStep({.step = step, .metrics = {{"reward/mean", step * 1.0}}}).ok());
  }
  const json run = runs.Json("/api/runs")["runs"][0];
  ASSERT_EQ(run["reward"].size(), 60u);
  EXPECT_EQ(run["reward"][0], 1.5);  // of steps 1 and 2
  EXPECT_EQ(run["reward_last"], 130);
}

TEST(DashboardTest, TellsRunsOfOneNameApart) {
  const std::string other = FreshDirectory();
  ServedRuns runs;
  runs.AddFirst();
  std::filesystem::copy(runs.PathOf("first"), other + "/first");
  const auto dashboard = Dashboard::Create({runs.PathOf("first"), other, other});
  const auto ids = [&] {
    return Ids(json::parse(dashboard->Answer({.path = "/api/runs"}).body)["runs"]);
  };
  EXPECT_THAT(ids(), ::testing::UnorderedElementsAre("first", "first~2"));
  EXPECT_EQ(dashboard->Answer({.path = "/api/runs/first~2/state"}).status, 200);
  std::filesystem::remove_all(other);
  EXPECT_EQ(ids().size(), 1u);
}

TEST(DashboardTest, SaysWhichRunsAreRunning) {
  ServedRuns runs;
  auto store = runs.AddFirst();
  const auto status = [&] { return runs.Json("/api/runs/first/state")["status"]; };
  const auto listed = [&] { return runs.Json("/api/runs")["runs"][0]["status"]; };
  EXPECT_EQ(status(), "stopped");
  {
    const auto lock = RunLock::Take(runs.PathOf("first"));
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_EQ(status(), "running");
    EXPECT_EQ(listed(), "running");
    const json state = runs.Json("/api/runs/first/state");
    EXPECT_EQ(state["text"], "step 7 of 20, generating 5 of 12, 2 workers, 12 min left");
    EXPECT_EQ(state["activity"], "generating");
    EXPECT_EQ(state["done"], 5);
    EXPECT_EQ(state["left_s"], 720);
    // It was looked at without being taken.
    EXPECT_FALSE(RunLock::Take(runs.PathOf("first")).ok());
  }
  EXPECT_TRUE(RunLock::Take(runs.PathOf("first")).ok());
  EXPECT_EQ(listed(), "stopped");
  ASSERT_TRUE(store->WriteState({.activity = "finished", .steps = 6}).ok());
  EXPECT_EQ(status(), "finished");
  EXPECT_EQ(listed(), "finished");
}

TEST(DashboardTest, ShowsWhatIsWrittenMeanwhile) {
  ServedRuns runs;
  auto store = runs.AddFirst();
  const json before = runs.Json("/api/runs/first/state");
  EXPECT_EQ(runs.Json("/api/runs/first/state")["version"], before["version"]);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 7)).ok());
  const json after = runs.Json("/api/runs/first/state");
  EXPECT_GT(after["version"], before["version"]);
  EXPECT_EQ(after["last_step"], 7);
  EXPECT_EQ(runs.Json("/api/runs")["runs"][0]["last_step"], 7);
  EXPECT_EQ(runs.Json("/api/runs/first/metrics?after=6")["steps"], json::array({7}));
}

TEST(DashboardTest, OpensAStoreAnewThatWasReplaced) {
  ServedRuns runs;
  runs.AddFirst();
  EXPECT_EQ(runs.Json("/api/runs/first/steps")["steps"].size(), 8u);
  EXPECT_EQ(runs.Json("/api/runs/first/sample/1")["tokens"]["texts"].size(), 10u);
  std::filesystem::rename(runs.PathOf("first"), runs.Folder() + "/old");
  auto store = runs.AddRun("first");
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  EXPECT_EQ(runs.Json("/api/runs/first/steps")["steps"].size(), 1u);
  EXPECT_EQ(runs.Json("/api/runs/first/sample/1")["tokens"]["texts"].size(), 0u);
}

TEST(DashboardTest, SaysWhatIsWrongWithABrokenStore) {
  ServedRuns runs;
  runs.AddRun("broken").reset();
  std::filesystem::remove(runs.PathOf("broken") + "/run.db-wal");
  std::ofstream(runs.PathOf("broken") + "/run.db") << std::string(8192, 'x');
  const json list = runs.Json("/api/runs")["runs"];
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["status"], "stopped");
  EXPECT_THAT(std::string(list[0]["text"]), HasSubstr("run.db"));
  runs.Json("/api/runs/broken/state", 500);
}

TEST(DashboardTest, AnswersOverTheNetwork) {
  ServedRuns runs;
  runs.AddFirst();
  auto server = StartDashboard({runs.Folder()}, {});
  ASSERT_TRUE(server.ok()) << server.status();
  HttpClient client((*server)->Port());
  EXPECT_EQ(client.Get("/").status, 200);
  EXPECT_EQ(client.Get("/assets/main.js").headers["cache-control"], "no-cache");
  EXPECT_EQ(client.Get("/api/runs").headers["cache-control"], "no-store");
  const std::string tag = client.Get("/assets/main.js").headers["etag"];
  ReceivedResponse again = client.Get("/assets/main.js", "If-None-Match: " + tag + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_FALSE(again.headers.contains("content-length"));  // it would be that of the file
  EXPECT_EQ(client.Get("/api/runs/first/sample/1").status, 200);
  EXPECT_EQ(client.Get("/assets/../../etc/passwd").status, 404);
  EXPECT_EQ(client.Get("/assets/%2e%2e/%2e%2e/etc/passwd").status, 404);
  EXPECT_EQ(client.Get("/api/runs", "Sec-Fetch-Site: cross-site\r\n").status, 403);
}

TEST(DashboardTest, AnswersManyAtOnceWhileARunWrites) {
  ServedRuns runs;
  auto store = runs.AddFirst();
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&runs] {
      for (int round = 0; round < 20; ++round) {
        for (const char* target :
             {"/api/runs", "/api/runs/first/state", "/api/runs/first/groups",
              "/api/runs/first/sample/3", "/api/runs/first/metrics", "/api/runs/first/samples"}) {
          EXPECT_EQ(runs.Get(target).status, 200) << target;
        }
      }
    });
  }
  for (int64_t step = 7; step <= 26; ++step) {
    ASSERT_TRUE(store->WriteStep(MakeStep("train", step)).ok());
  }
  for (std::thread& asker : askers) asker.join();
}

}  // namespace
}  // namespace ponder
