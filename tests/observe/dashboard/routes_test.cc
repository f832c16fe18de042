#include "observe/dashboard/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/observe/dashboard/served_runs.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RoutesTest : public ::testing::Test {
 protected:
  RoutesTest() : store_(runs_.AddFirst()) {}

  // Of the run "first".
  json Get(const std::string& target, int status = 200) {
    return runs_.Json("/api/runs/first/" + target, status);
  }

  ServedRuns runs_;
  std::unique_ptr<RunStore> store_;
};

TEST_F(RoutesTest, GivesMetricsAsColumns) {
  const json all = Get("metrics");
  EXPECT_EQ(all["phase"], "train");
  EXPECT_EQ(all["steps"], json({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(all["metrics"].size(), 6u);
  EXPECT_EQ(all["metrics"]["length/mean"].size(), 6u);
  const json some = Get("metrics?names=length/mean,reward%2Fmean&after=4&phase=train");
  EXPECT_EQ(some["steps"], json({5, 6}));
  EXPECT_EQ(some["metrics"].size(), 2u);
  const json held_out = Get("metrics?phase=eval/train");
  EXPECT_EQ(held_out["steps"], json({0, 6}));
  EXPECT_EQ(held_out["metrics"]["eval/greedy_accuracy"], json({0.25, 0.5}));
  EXPECT_EQ(Get("metrics?phase=none")["steps"], json::array());
}

TEST_F(RoutesTest, WritesNumbersThatJsonLacksAsNull) {
  ASSERT_TRUE(store_->WriteStep({.step = 7, .metrics = {{"length/mean", NAN}}}).ok());
  ASSERT_TRUE(store_->WriteStep({.step = 8, .metrics = {{"length/mean", INFINITY}}}).ok());
  EXPECT_EQ(Get("metrics?names=length/mean&after=6")["metrics"]["length/mean"],
            json({nullptr, nullptr}));
}

TEST_F(RoutesTest, GivesEventsAndSteps) {
  const json events = Get("events")["events"];
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["kind"], "checkpoint");
  EXPECT_EQ(events[1]["message"], "not finite");
  EXPECT_EQ(events[1]["step"], 6);
  EXPECT_EQ(Get("events?after=1")["events"].size(), 1u);
  const json steps = Get("steps")["steps"];
  ASSERT_EQ(steps.size(), 8u);
  EXPECT_EQ(steps[0]["phase"], "eval/train");
  EXPECT_EQ(steps[1]["policy_version"], 2);
}

TEST_F(RoutesTest, GivesAStepsGroupsWithItsNeighbours) {
  const json last = Get("groups");
  EXPECT_EQ(last["step"], 6);
  EXPECT_EQ(last["previous_step"], 5);
  EXPECT_EQ(last["next_step"], json());
  const json step = Get("groups?phase=train&step=1");
  EXPECT_EQ(step["previous_step"], json());
  EXPECT_EQ(step["next_step"], 2);
  ASSERT_EQ(step["groups"].size(), 3u);
  const json& group = step["groups"][1];
  EXPECT_EQ(group["position"], 1);
  EXPECT_EQ(group["task"]["question"], "question 1");
  EXPECT_FALSE(group["task"].contains("data"));
  EXPECT_EQ(group["right"], 2);
  EXPECT_EQ(group["reward_mean"], 0.5);
  EXPECT_EQ(group["reward_std"], 0.5);
  ASSERT_EQ(group["samples"].size(), 4u);
  const json& sample = group["samples"][1];
  EXPECT_EQ(sample["index"], 1);
  EXPECT_EQ(sample["status"], "CORRECT");
  EXPECT_EQ(sample["tokens"], 20);
  EXPECT_EQ(sample["finish"], "stop");
  EXPECT_EQ(sample["match"], true);
  EXPECT_EQ(sample["excerpt"], "a needle \xef\xbf\xbd here");
  EXPECT_EQ(group["samples"][0]["clipped_tokens"], 1);
  Get("groups?step=9", 404);
  EXPECT_EQ(Get("groups?phase=none")["step"], json());
}

TEST_F(RoutesTest, LeavesOutGroupsThatDoNotMatch) {
  const auto matches = [&](const std::string& filter) {
    std::vector<std::string> found;
    const json answer = Get("groups?step=1&" + filter);
    for (const json& group : answer["groups"]) {
      std::string text = group["position"].dump() + ":";
      for (const json& sample : group["samples"]) {
        if (sample["match"]) text += sample["index"].dump();
      }
      found.push_back(text);
    }
    return found;
  };
  EXPECT_THAT(matches("status=CORRECT"), ElementsAre("0:0123", "1:01"));
  EXPECT_THAT(matches("status=WRONG&tokens_min=30"), ElementsAre("1:23", "2:23"));
  EXPECT_THAT(matches("tokens_max=10"), ElementsAre("0:0", "1:0", "2:0"));
  EXPECT_THAT(matches("reward_min=0.5"), ElementsAre("0:0123", "1:01"));
  EXPECT_THAT(matches("reward_max=0.5&finish=length"), ElementsAre("1:3", "2:3"));
  EXPECT_THAT(matches("text=NEEDLE"), ElementsAre("0:1", "1:1", "2:1"));
  EXPECT_THAT(matches("text=question+2"), ElementsAre("2:0123"));
  EXPECT_THAT(matches("kind=countdown"), ElementsAre("0:0123"));
  EXPECT_THAT(matches("outcome=mixed"), ElementsAre("1:0123"));
  EXPECT_THAT(matches("outcome=all_right"), ElementsAre("0:0123"));
  EXPECT_THAT(matches("outcome=all_wrong&text=needle"), ElementsAre("2:1"));
  EXPECT_THAT(matches("text=nothing"), ElementsAre());
}

TEST_F(RoutesTest, FindsSamplesInAllSteps) {
  const json found = Get("samples?status=CORRECT&order=length_down&limit=5");
  ASSERT_EQ(found["samples"].size(), 5u);
  EXPECT_EQ(found["more"], true);
  EXPECT_EQ(found["cut_short"], false);
  EXPECT_EQ(found["samples"][0]["tokens"], 40);
  EXPECT_EQ(Get("samples?first_step=5&last_step=5&limit=200")["samples"].size(), 12u);
  EXPECT_EQ(Get("samples?offset=70")["samples"].size(), 2u);
  EXPECT_EQ(Get("samples?order=reward_up&limit=1")["samples"][0]["reward"], 0);
  EXPECT_EQ(Get("samples?order=reward_down&limit=1")["samples"][0]["reward"], 1);
  EXPECT_EQ(Get("samples?phase=eval/train")["samples"].size(), 0u);
}

TEST_F(RoutesTest, ShowsASampleTokenByToken) {
  const json sample = Get("sample/5");
  EXPECT_EQ(sample["sample"], 5);
  EXPECT_EQ(sample["step"], 1);
  EXPECT_EQ(sample["phase"], "train");
  EXPECT_EQ(sample["task"]["id"], "task-1");
  EXPECT_EQ(sample["task"]["data"], "{}");
  EXPECT_EQ(sample["prompt"], "Q: 1");
  EXPECT_EQ(sample["prompt_tokens"], 9);
  EXPECT_EQ(sample["seed"], "18446744073709551614");
  EXPECT_EQ(sample["verdict"]["status"], "CORRECT");
  EXPECT_EQ(sample["verdict"]["parts"]["format"], 1);
  EXPECT_EQ(sample["reward"]["total"], 1);
  EXPECT_EQ(sample["reward"]["parts"]["correct"], 1);
  EXPECT_EQ(sample["advantage"], 1);
  EXPECT_EQ(sample["versions"][1]["version"], 1);
  const json& tokens = sample["tokens"];
  EXPECT_EQ(tokens["ids"].size(), 10u);
  EXPECT_EQ(tokens["logprobs"].size(), 10u);
  EXPECT_EQ(tokens["entropies"].size(), 10u);
  EXPECT_EQ(tokens["sampled"][0], 1);
  EXPECT_EQ(tokens["clips"][7], 1);
  EXPECT_EQ(tokens["texts"],
            json({"ab", " c", "", "ä", "<|end|>", "ab", " c", "", "ä", "<|end|>"}));
  EXPECT_EQ(sample["group"]["group"], 2);
  EXPECT_EQ(sample["group"]["samples"].size(), 4u);
  EXPECT_EQ(Get("sample/6")["text"], "a needle \xef\xbf\xbd here");
  Get("sample/999999", 404);
  for (const char* id : {"0", "-1", "x", "1x", "99999999999999999999", "%20"}) {
    Get(std::string("sample/") + id, 400);
  }
}

TEST_F(RoutesTest, ShowsATaskAcrossSteps) {
  const json task = Get("task?id=task-2");
  EXPECT_EQ(task["task"]["question"], "question 2");
  ASSERT_EQ(task["groups"].size(), 6u);
  EXPECT_EQ(task["groups"][0]["step"], 1);
  EXPECT_EQ(task["groups"][5]["step"], 6);
  Get("task?id=none", 404);
  Get("task", 400);
}

TEST_F(RoutesTest, SaysWhatMadeAPoint) {
  const json why = Get("why?metric=reward/mean&step=6");
  EXPECT_NEAR(why["value"], 2.0 / 12, 1e-9);
  EXPECT_NEAR(why["before"], 0.5, 1e-9);
  EXPECT_NEAR(why["mean"], 0.5, 1e-9);
  EXPECT_NEAR(why["std"], 0, 1e-9);
  EXPECT_EQ(why["mean_of"], 5);
  EXPECT_EQ(why["share_of"], "distance");
  ASSERT_EQ(why["groups"].size(), 3u);
  double sum = 0;
  for (const json& group : why["groups"]) sum += group["share"].get<double>();
  EXPECT_NEAR(sum, 2.0 / 12 - 0.5, 1e-9);               // they make up the distance from the mean
  EXPECT_EQ(why["groups"][2]["task"]["id"], "task-1");  // half right as ever
  EXPECT_NEAR(why["groups"][2]["share"], 0, 1e-9);
  std::string text;
  for (const json& sentence : why["sentences"]) text += sentence["text"].get<std::string>() + "\n";
  EXPECT_THAT(text, HasSubstr("reward/mean is 0.1667 at step 6: 0.333 below the mean 0.5 of the 5 "
                              "steps before"));
  EXPECT_THAT(text, HasSubstr("Of 3 groups 0 are all right, 1 mixed and 2 all wrong."));
  EXPECT_THAT(text, HasSubstr("Verdicts on the 12 samples: 2 CORRECT, 10 WRONG."));
  EXPECT_THAT(text, HasSubstr("3 of them ran into the limit"));
  EXPECT_EQ(why["tokens"], json::array());
  Get("why?metric=reward/mean&step=7", 404);
  Get("why?metric=none&step=6", 404);
  Get("why?metric=reward/mean", 400);
  EXPECT_EQ(Get("why?metric=time/step_s&step=6")["groups"], json::array());
  EXPECT_EQ(Get("why?metric=reward/correct&step=6")["groups"].size(), 3u);
  // Nothing has moved: no group made it.
  EXPECT_THAT(Get("why?metric=length/mean&step=3")["sentences"].dump(),
              Not(HasSubstr("One group of")));
  const json first = Get("why?metric=reward/mean&step=1");
  EXPECT_EQ(first["mean"], json());
  EXPECT_EQ(first["share_of"], "value");
  EXPECT_NEAR(first["groups"][0]["share"], 4.0 / 12, 1e-9);
}

TEST_F(RoutesTest, ShowsTheTokensThatMadeAPoint) {
  const json entropy = Get("why?metric=policy/entropy&step=2")["tokens"];
  ASSERT_EQ(entropy.size(), 30u);
  EXPECT_EQ(entropy[0]["value"], 50);
  EXPECT_EQ(entropy[0]["position"], 3);
  EXPECT_EQ(entropy[0]["what"], "entropy");
  EXPECT_EQ(Get("why?metric=policy/entropy&step=2")["share_of"], "distance");
  const json clipped = Get("why?metric=policy/clip_high&step=2")["tokens"];
  ASSERT_EQ(clipped.size(), 1u);
  EXPECT_EQ(clipped[0]["position"], 7);
  EXPECT_EQ(clipped[0]["what"], "cut off above");
  EXPECT_EQ(clipped[0]["sample"], 17);
}

TEST_F(RoutesTest, HintsAtWhatIsWrongWithSamplesThatShowIt) {
  EXPECT_EQ(Get("hints")["hints"], json::array());
  for (int64_t step = 7; step <= 30; ++step) {
    StepRecord record = MakeStep("train", step, {.groups = 1, .completions = 4});
    record.metrics = {{"length/truncated", 0.9}, {"length/mean", 200}};
    ASSERT_TRUE(store_->WriteStep(record).ok());
  }
  const json answer = Get("hints");
  const json* truncation = nullptr;
  for (const json& hint : answer["hints"]) {
    if (hint["kind"] == "truncation") truncation = &hint;
  }
  ASSERT_NE(truncation, nullptr) << answer;
  EXPECT_EQ((*truncation)["severity"], "warning");
  EXPECT_EQ((*truncation)["last_step"], 30);
  EXPECT_EQ((*truncation)["metrics"][0], "length/truncated");
  EXPECT_FALSE((*truncation)["text"].get<std::string>().empty());
  EXPECT_FALSE((*truncation)["remedy"].get<std::string>().empty());
  ASSERT_EQ((*truncation)["samples"].size(), 2u);  // of four every second ran into the limit
  EXPECT_EQ(Get("sample/" + (*truncation)["samples"][0].dump())["finish"], "length");
}

TEST_F(RoutesTest, TellsPrometheusOfAllRuns) {
  runs_.AddRun("second");
  const HttpResponse answer = runs_.Get("/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.content_type, StartsWith("text/plain; version=0.0.4"));
  EXPECT_THAT(answer.body, HasSubstr("ponder_length_mean{run=\"first\"} 25\n"));
  EXPECT_THAT(answer.body, HasSubstr("{run=\"second\""));
  ASSERT_TRUE(store_->WriteStep({.step = 7, .metrics = {{"length/mean", 26}}}).ok());
  EXPECT_THAT(runs_.Get("/metrics").body, HasSubstr("ponder_length_mean{run=\"first\"} 26\n"));
  runs_.Json("/metrics?run=first", 400);
  EXPECT_EQ(runs_.Get("/metrics/").status, 404);
}

TEST_F(RoutesTest, ShowsSettings) {
  const json config = Get("config");
  EXPECT_THAT(std::string(config["toml"]), StartsWith("[run]\n"));
  EXPECT_EQ(
      config["keys"],
      json({{"run.steps", "6"}, {"rollout.temperature", "1.0"}, {"reward.gates", "[\"format\"]"}}));
}

TEST_F(RoutesTest, ComparesRuns) {
  auto second =
      runs_.AddRun("second", "[run]\nsteps = 6\n[rollout]\ntemperature = 0.7\ntop_k = 5\n");
  const json compared = runs_.Json("/api/compare?runs=first,second");
  EXPECT_EQ(compared["runs"][0]["id"], "first");
  EXPECT_EQ(compared["runs"][1]["last_step"], 0);
  EXPECT_EQ(compared["settings"],
            json::array({{{"key", "reward.gates"}, {"values", {"[\"format\"]", nullptr}}},
                         {{"key", "rollout.temperature"}, {"values", {"1.0", "0.7"}}},
                         {{"key", "rollout.top_k"}, {"values", {nullptr, "5"}}}}));
  ASSERT_EQ(compared["evaluations"].size(), 2u);
  EXPECT_EQ(compared["evaluations"][1], json({{"run", "first"},
                                              {"phase", "eval/train"},
                                              {"step", 6},
                                              {"metrics", {{"eval/greedy_accuracy", 0.5}}}}));
  EXPECT_EQ(compared["runs"][0]["settings_fault"], "");
  std::filesystem::remove(runs_.PathOf("second") + "/config.toml");
  const json fault = runs_.Json("/api/compare?runs=first,second")["runs"][1]["settings_fault"];
  EXPECT_THAT(fault.get<std::string>(), HasSubstr("config.toml"));
  runs_.Json("/api/compare?runs=first", 400);
  runs_.Json("/api/compare?runs=a,b,c,d,e,f,g", 400);
  runs_.Json("/api/compare?runs=first,none", 404);
}

TEST_F(RoutesTest, ShowsWorkersReadingsAndTheLog) {
  const json system = Get("system");
  EXPECT_EQ(system["workers"][0]["name"], "w1");
  EXPECT_EQ(system["workers"][0]["state"], "working");
  EXPECT_EQ(system["readings"]["last"], 2);
  EXPECT_EQ(system["readings"]["rows"][0][3], "cpu/percent");
  EXPECT_EQ(system["readings"]["rows"][0][4], 55);
  EXPECT_EQ(system["log"], json({"line one", "line two"}));
  EXPECT_EQ(system["log_bytes"], 18);
  const json later = Get("system?after=2");
  EXPECT_EQ(later["readings"]["last"], 2);
  EXPECT_EQ(later["readings"]["rows"], json::array());
}

TEST_F(RoutesTest, ShowsTheEndOfALongLog) {
  std::string log;
  for (int i = 0; i < 30000; ++i) log += "line " + std::to_string(i) + "\n";
  ASSERT_TRUE(WriteFileAtomically(runs_.PathOf("first") + "/log.txt", log).ok());
  const json system = Get("system");
  ASSERT_EQ(system["log"].size(), 200u);
  EXPECT_EQ(system["log"][0], "line 29800");
  EXPECT_EQ(system["log"][199], "line 29999");
  ASSERT_TRUE(
      WriteFileAtomically(runs_.PathOf("first") + "/log.txt", std::string(1 << 18, 'x')).ok());
  EXPECT_EQ(Get("system")["log"], json::array());  // no line begins in what is read
}

TEST_F(RoutesTest, GivesTablesAndChartsAsDownloads) {
  HttpResponse csv = runs_.Get("/api/runs/first/export.csv?phase=eval/train");
  EXPECT_EQ(csv.content_type, "text/csv; charset=utf-8");
  EXPECT_EQ(csv.body, "step,eval/greedy_accuracy\n0,0.25\n6,0.5\n");
  EXPECT_EQ(csv.headers.front().second, "attachment; filename=\"first-eval-train.csv\"");
  EXPECT_EQ(Get("export.json")["metrics"].size(), 6u);
  HttpResponse svg =
      runs_.Get("/api/runs/first/chart.svg?names=reward/mean,length/mean&title=A+%3C+B");
  EXPECT_EQ(svg.content_type, "image/svg+xml");
  EXPECT_THAT(svg.body, HasSubstr("A &lt; B"));
  EXPECT_THAT(svg.body, HasSubstr("length/mean"));
  EXPECT_THAT(svg.headers.front().second, HasSubstr("first-reward-mean.svg"));
  Get("chart.svg", 400);
  Get("chart.svg?names=none", 404);
  Get("chart.svg?names=a,b,c,d,e,f,g,h,i", 400);
}

TEST_F(RoutesTest, RefusesParametersThatItDoesNotKnow) {
  const auto error = [&](const std::string& target) {
    return Get(target, 400)["error"].get<std::string>();
  };
  EXPECT_EQ(error("groups?stpe=1"), "stpe: there is no such parameter here; the nearest is step");
  EXPECT_EQ(error("state?x=1"), "x: this address takes no parameters");
  EXPECT_EQ(error("groups?step=1x"),
            "step: expected a whole number from 0 to 9007199254740992, found \"1x\"");
  EXPECT_THAT(error("groups?status=right"), HasSubstr("expected CORRECT, WRONG, NO_ANSWER, "));
  EXPECT_THAT(error("samples?order=up"), HasSubstr("expected step, reward_up, "));
  EXPECT_THAT(error("samples?limit=201"), HasSubstr("from 1 to 200"));
  EXPECT_THAT(error("samples?reward_min=nan"), HasSubstr("expected a number"));
  EXPECT_THAT(error("metrics?after=-2"), HasSubstr("from -1"));
  Get("samples?outcome=mixed", 400);
  Get("none", 404);
  Get("sample", 404);
  Get("state/1", 404);
  runs_.Json("/api/runs/none/state", 404);
  runs_.Json("/api/runs?x=1", 400);
}

}  // namespace
}  // namespace ponder
