// Writes a run of the given size into DIR and says what it cost: how long each step took to write,
// how long it held up its caller behind a store in the background, and its bytes in the file. With
// --keep the run stays, to be looked at.
//
//   store_bench DIR [--steps N] [--groups N] [--completions N] [--tokens N] [--keep]
#include <absl/time/clock.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "observe/background_store.h"
#include "observe/run_store.h"
#include "tests/bench/run_maker.h"

namespace ponder {
namespace {

double Seconds(absl::Time since) { return absl::ToDoubleSeconds(absl::Now() - since); }

std::string Range(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return fmt::format("{:.2f} ({:.2f} - {:.2f})", values[values.size() / 2], values.front(),
                     values.back());
}

// As a finished run leaves them; one was lost on the way.
std::vector<WorkerRecord> MadeWorkers(int64_t steps) {
  const std::string over = "the run is finished";
  return {{.name = "learner",
           .role = "learner",
           .software = "ponder",
           .address = "made, process 1",
           .numerics = "made",
           .policy_version = steps,
           .busy = 0.6,
           .done = 1000 * steps,
           .state = "left",
           .last_words = over},
          {.name = "this process",
           .role = "rollout",
           .numerics = "made",
           .policy_version = steps,
           .busy = 1,
           .done = 32 * steps,
           .state = "left",
           .last_words = over},
          {.name = "far:7 (ipv4:10.0.0.7:40000)",
           .role = "rollout",
           .address = "ipv4:10.0.0.7:40000",
           .numerics = "other",
           .policy_version = steps / 2,
           .busy = 0.25,
           .done = 5 * steps,
           .state = "lost",
           .last_words = "silent for more than 20s"},
          {.name = "verifier",
           .role = "verifier",
           .software = "math 1",
           .address = "process 2",
           .done = 37 * steps,
           .restarts = 1,
           .state = "left",
           .last_words = "verifier restarted (1 of 10): ended by signal 9 (Killed)"}};
}

absl::Status Finish(RunStore& store, const MadeRunSizes& sizes) {
  PONDER_RETURN_IF_ERROR(store.WriteVocabulary(MadeVocabulary()));
  PONDER_RETURN_IF_ERROR(store.SetInfo("model", "made"));
  for (int64_t step = 0; step <= sizes.steps; step += std::max<int64_t>(1, sizes.steps / 4)) {
    const double accuracy =
        0.1 + 0.6 * static_cast<double>(step) / static_cast<double>(sizes.steps);
    PONDER_RETURN_IF_ERROR(
        store.WriteStep({.step = step,
                         .policy_version = step,
                         .phase = "eval/train",
                         .metrics = {{"eval/greedy_accuracy", accuracy},
                                     {"eval/greedy_accuracy_low", accuracy - 0.05},
                                     {"eval/greedy_accuracy_high", accuracy + 0.05}}}));
    PONDER_RETURN_IF_ERROR(store.WriteEvent(
        {.step = step, .kind = "checkpoint", .message = fmt::format("step-{:06}", step)}));
  }
  for (int64_t i = 0; i < 200; ++i) {
    const auto at = static_cast<double>(i);
    PONDER_RETURN_IF_ERROR(
        store.WriteReadings({{"learner", "cpu/process_percent", 190 + 5 * std::sin(at / 9)},
                             {"learner", "memory/process_bytes", 4e9 + 1e7 * at},
                             {"learner", "gpu0/utilization_percent", 80 + 9 * std::sin(at / 7)},
                             {"learner", "gpu0/memory_used_bytes", 9e10},
                             {"learner", "gpu1/utilization_percent", 70 + 9 * std::cos(at / 7)},
                             {"learner", "gpu1/memory_used_bytes", 8e10}}));
  }
  PONDER_RETURN_IF_ERROR(store.WriteWorkers(MadeWorkers(sizes.steps)));
  return store.WriteState(
      {.activity = "finished", .step = sizes.steps, .steps = sizes.steps, .left_s = 0});
}

absl::Status Measure(const std::string& directory, const MadeRunSizes& sizes, bool keep) {
  std::filesystem::create_directories(directory);
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(
      directory + "/config.toml",
      fmt::format("[run]\nname = \"made\"\nsteps = {}\n\n[rollout]\nprompts_per_step = {}\n"
                  "completions_per_prompt = {}\n",
                  sizes.steps, sizes.groups, sizes.completions)));
  const std::string path = directory + "/run.db";
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<RunStore> store,
                          RunStore::Open(path, RunStore::Mode::kCreate));
  // The first half in the foreground, the second behind a background store.
  std::vector<double> written_ms, held_up_ms;
  for (int64_t step = 1; step <= sizes.steps; ++step) {
    StepRecord record = MakeRunStep(sizes, step);
    if (step == sizes.steps / 2 + 1) store = CreateBackgroundStore(std::move(store));
    const absl::Time started = absl::Now();
    PONDER_RETURN_IF_ERROR(store->WriteStep(std::move(record)));
    (step <= sizes.steps / 2 ? written_ms : held_up_ms).push_back(1000 * Seconds(started));
  }
  PONDER_RETURN_IF_ERROR(Finish(*store, sizes));
  PONDER_RETURN_IF_ERROR(store->Flush());
  store.reset();
  const auto bytes = static_cast<double>(std::filesystem::file_size(path));
  fmt::print("{} steps of {} x {} completions of {} tokens\n", sizes.steps, sizes.groups,
             sizes.completions, sizes.tokens);
  if (!written_ms.empty()) fmt::print("written in, ms a step        {}\n", Range(written_ms));
  if (!held_up_ms.empty()) fmt::print("caller held up, ms a step    {}\n", Range(held_up_ms));
  fmt::print("file, MB a step              {:.3f}\n",
             bytes / 1e6 / static_cast<double>(sizes.steps));
  if (!keep) std::filesystem::remove_all(directory);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ponder

int main(int argc, char** argv) {
  CLI::App app("Writes a run and says what it cost");
  ponder::MadeRunSizes sizes;
  sizes.steps = 20;
  std::string directory;
  bool keep = false;
  app.add_option("directory", directory, "a new folder for the run")->required();
  app.add_option("--steps", sizes.steps)->check(CLI::Range(2, 1000000));
  app.add_option("--groups", sizes.groups)->check(CLI::Range(1, 100000));
  app.add_option("--completions", sizes.completions)->check(CLI::Range(1, 100000));
  app.add_option("--tokens", sizes.tokens)->check(CLI::Range(2, 1000000));
  app.add_flag("--keep", keep, "leave the run there");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = ponder::Measure(directory, sizes, keep);
  if (status.ok()) return 0;
  fmt::print(stderr, "store_bench: {}\n", status.message());
  return 1;
}
