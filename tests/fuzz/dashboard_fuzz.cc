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

// By the input's first byte, so that mutations of the rest reach them.
constexpr std::string_view kRoutes[] = {
    "/",      "/assets/", "/api/runs", "/api/compare", "/api/runs/r/", "state",       "metrics",
    "events", "steps",    "groups",    "sample/",      "samples",      "task",        "why",
    "hints",  "/metrics", "config",    "system",       "export.csv",   "export.json", "chart.svg"};

std::string Seed(std::string_view route, std::string_view rest) {
  for (size_t i = 0; i < std::size(kRoutes); ++i) {
    if (kRoutes[i] == route) return static_cast<char>('A' + i) + std::string(rest);
  }
  PONDER_CHECK(false, std::string(route));
  return "";
}

}  // namespace

// An address from anywhere against the routes: always a status that there is, and JSON where the
// answer says so.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string address(kRoutes[static_cast<uint8_t>(data[0] - 'A') % std::size(kRoutes)]);
  if (!address.starts_with('/')) address = "/api/runs/r/" + address;
  address.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto target = ponder::ParseHttpTarget(address);
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
  return {Seed("/", "healthz"),
          Seed("/assets/", "main.js"),
          Seed("/assets/", "../../etc/passwd"),
          Seed("/api/runs", ""),
          Seed("/api/compare", "?runs=r,r"),
          Seed("/api/runs/r/", "state"),
          Seed("metrics", "?phase=train&after=1&names=reward%2Fmean,length%2Fmean"),
          Seed("events", "?after=0"),
          Seed("steps", ""),
          Seed("groups", "?phase=train&step=2&status=CORRECT&reward_min=0&tokens_max=9&text=a"),
          Seed("groups", "?outcome=all_wrong&finish=stop&kind=math"),
          Seed("sample/", "2"),
          Seed("samples", "?first_step=1&last_step=3&order=length_down&offset=1&limit=2"),
          Seed("task", "?id=task+%ff"),
          Seed("why", "?metric=reward%2Fmean&step=3"),
          Seed("why", "?metric=policy%2Fentropy&step=2"),
          Seed("hints", ""),
          Seed("/metrics", ""),
          Seed("config", ""),
          Seed("system", "?after=0"),
          Seed("export.csv", "?phase=train"),
          Seed("export.json", "?phase=train"),
          Seed("chart.svg", "?phase=train&names=reward/mean&title=%3Cb%3E")};
}
