#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "observe/dashboard/dashboard.h"
#include "observe/http_target.h"
#include "observe/run_store.h"
#include "tests/fuzz/fuzz_seeds.h"

namespace {

ponder::StepRecord Step(int64_t step) {
  ponder::StepRecord record{.step = step,
                            .metrics = {{"reward/mean", 0.5 / static_cast<double>(step)},
                                        {"policy/entropy", 1},
                                        {"policy/clip_low", 0},
                                        {"length/mean", 3}}};
  ponder::ScoredGroup scored;
  scored.group.task = {.id = "task \xff", .kind = "math", .question = "what?"};
  for (int64_t i = 0; i < 2; ++i) {
    scored.group.completions.push_back({.sample_index = i,
                                        .token_ids = {0, 1, 2},
                                        .sampled_mask = {1, 1, 0},
                                        .logprobs = {-1, -2, -3},
                                        .entropies = {1, 2, 3},
                                        .finish = ponder::FinishReason::kStop,
                                        .text = "a\xc3"});
  }
  record.groups.push_back(std::move(scored));
  return record;
}

// A dashboard over a run "r" in a folder of its own, made once.
ponder::Dashboard& Served() {
  static ponder::Dashboard* const dashboard = [] {
    std::string folder = std::filesystem::temp_directory_path() / "ponder_fuzz_XXXXXX";
    PONDER_CHECK(mkdtemp(folder.data()) != nullptr);
    static const std::string made = folder;
    atexit([] { std::filesystem::remove_all(made); });
    std::filesystem::create_directory(folder + "/r");
    std::ofstream(folder + "/r/config.toml") << "[run]\nsteps = 3\n";
    std::ofstream(folder + "/r/log.txt") << "a line\n";
    auto store = ponder::RunStore::Open(folder + "/r/run.db", ponder::RunStore::Mode::kCreate);
    PONDER_CHECK(store.ok());
    for (int64_t step = 1; step <= 3; ++step) PONDER_CHECK((*store)->WriteStep(Step(step)).ok());
    PONDER_CHECK((*store)->WriteVocabulary({"a", "\xc3"}).ok());
    return ponder::Dashboard::Create({folder}).release();
  }();
  return *dashboard;
}

}  // namespace

// An address from anywhere against the routes: always a status that there is, and JSON where the
// answer says so. Nothing but the run's own files comes out.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto target =
      ponder::ParseHttpTarget(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!target.ok()) return 0;
  const ponder::HttpResponse response =
      Served().Answer({.path = target->path, .query = target->query});
  PONDER_CHECK(response.status == 200 || response.status == 400 || response.status == 404,
               fmt::format("status {}: {}", response.status, response.body));
  if (response.content_type == "application/json") {
    PONDER_CHECK(nlohmann::json::accept(response.body));
  }
  PONDER_CHECK(response.status == 200 || response.content_type == "application/json");
  for (const auto& [name, value] : response.headers) {
    PONDER_CHECK((name + value).find_first_of("\r\n") == std::string::npos);
  }
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = {"/",
                                    "/healthz",
                                    "/assets/main.js",
                                    "/assets/../../etc/passwd",
                                    "/api/runs",
                                    "/api/compare?runs=r,r"};
  for (const char* of_run :
       {"state", "metrics?phase=train&after=1&names=reward%2Fmean,length%2Fmean", "events?after=0",
        "steps", "groups?phase=train&step=2&status=CORRECT&reward_min=0&tokens_max=9&text=a",
        "groups?outcome=all_wrong&finish=stop&kind=math", "sample/2", "task?id=task+%ff",
        "samples?first_step=1&last_step=3&order=length_down&offset=1&limit=2",
        "why?metric=reward%2Fmean&step=3", "why?metric=policy%2Fentropy&step=2", "config",
        "system?after=0", "export.csv?phase=train", "export.json?phase=train",
        "chart.svg?phase=train&names=reward/mean&title=%3Cb%3E"}) {
    seeds.push_back(std::string("/api/runs/r/") + of_run);
  }
  return seeds;
}
