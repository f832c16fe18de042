// tasks and eval: look at tasks, measure a model on them.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands/command.h"
#include "app/config.h"
#include "app/config_convert.h"
#include "app/evaluate.h"
#include "app/training.h"
#include "app/verifier_start.h"
#include "observe/console.h"

namespace ponder {
namespace {

using nlohmann::json;

struct TaskOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string split = "train";
  int64_t count = 10;
};

struct EvalOptions {
  SessionOptions session;
  std::string config;
  std::vector<std::string> overrides;
  std::string tasks;
  std::string out;
  int64_t count = 200;
  int64_t samples = 1;
  double temperature = 0;
  int64_t max_new_tokens = 0;
  uint64_t seed = 1;
  bool as_json = false;
};

absl::StatusOr<RunConfig> ReadConfig(const std::string& path,
                                     const std::vector<std::string>& overrides) {
  if (path.empty()) return ParseConfig("", "the defaults", overrides);
  return LoadConfig(path, overrides);
}

json TaskJson(const Task& task) {
  json out = {{"id", task.id},
              {"kind", task.kind},
              {"source", task.source},
              {"question", task.question},
              {"gold", task.gold}};
  if (!task.data.empty()) out["data"] = task.data;
  if (!task.solution.empty()) out["solution"] = task.solution;
  return out;
}

absl::Status RunTasks(const TaskOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const RunConfig config, ReadConfig(options.config, options.overrides));
  const Split split = options.split == "held_out" ? Split::kHeldOut : Split::kTrain;
  PONDER_ASSIGN_OR_RETURN(const std::vector<Task> tasks,
                          CollectTasks(config, split, options.count));
  for (const Task& task : tasks)
    std::cout << TaskJson(task).dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  return absl::OkStatus();
}

json GroupJson(const ScoredGroup& scored) {
  json out = {{"task", TaskJson(scored.group.task)},
              {"prompt", scored.group.prompt},
              {"completions", json::array()}};
  for (size_t i = 0; i < scored.verdicts.size(); ++i) {
    const Completion& completion = scored.group.completions[i];
    out["completions"].push_back({{"text", completion.text},
                                  {"finish", std::string(ToString(completion.finish))},
                                  {"tokens", completion.token_ids.size()},
                                  {"status", std::string(ToString(scored.verdicts[i].status))},
                                  {"extracted", scored.verdicts[i].extracted},
                                  {"reason", scored.verdicts[i].reason}});
  }
  return out;
}

json ShareJson(const Share& share) {
  return {{"value", share.value}, {"low", share.low}, {"high", share.high}};
}

absl::Status RunEval(EvalOptions options) {
  if (!options.tasks.empty()) {
    options.overrides.insert(options.overrides.begin(),
                             {"tasks.kind=file", "tasks.file.path=" + options.tasks,
                              "tasks.file.held_out_path=" + options.tasks});
  }
  PONDER_ASSIGN_OR_RETURN(RunConfig config, ReadConfig(options.config, options.overrides));
  config.model.directory = options.session.model_directory;
  if (options.session.chat_template != "auto")
    config.chat.template_name = options.session.chat_template;
  PONDER_ASSIGN_OR_RETURN(const std::vector<Task> tasks,
                          CollectTasks(config, Split::kHeldOut, options.count));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(options.session));
  PONDER_ASSIGN_OR_RETURN(
      const PromptBuilder prompts,
      MakePromptBuilder(config, session->Model().config, session->GetTokenizer()));
  const std::unique_ptr<Console> console = CreateConsole(stderr, "");
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<Verifier> verifier,
      StartConfiguredVerifier(config, [&](const std::string& event) { console->Warn(event); }));
  PONDER_ASSIGN_OR_RETURN(RolloutEngine * engine, session->Engine(ToEngineOptions(config)));
  const std::unique_ptr<GroupSource> groups = CreateLocalGroupSource(*engine);
  EvaluateOptions evaluate{.samples = options.samples,
                           .seed = options.seed,
                           .sampling = ToSamplingParams(config, prompts.StopIds())};
  evaluate.sampling.temperature = static_cast<float>(options.temperature);
  if (options.max_new_tokens > 0) evaluate.sampling.max_new_tokens = options.max_new_tokens;
  WatchInterrupts();
  absl::StatusOr<Evaluation> result = Evaluate(
      tasks, prompts, *groups, 0, *verifier, MakeJudgeOptions(config), evaluate,
      [&](int64_t done, int64_t total) { console->Progress("evaluate", done, total); },
      Interrupted);
  console->Progress("", 0, 0);
  PONDER_RETURN_IF_ERROR(result.status());

  if (!options.out.empty()) {
    std::ofstream out(options.out);
    for (const ScoredGroup& group : result->groups)
      out << GroupJson(group).dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    if (!out.flush()) return Internal("cannot write {}", options.out);
  }
  json report = {{"tasks", result->tasks},
                 {"samples", options.samples},
                 {"temperature", options.temperature},
                 {"pass@1", ShareJson(result->accuracy)},
                 {"format", ShareJson(result->formatted_share)},
                 {"mean_tokens", result->mean_length},
                 {"truncated", result->truncated},
                 {"dropped", result->dropped},
                 {"seconds", result->seconds}};
  std::string text =
      fmt::format("{} tasks, {} completion{} each, temperature {}\n", result->tasks,
                  options.samples, options.samples == 1 ? "" : "s", options.temperature);
  text += fmt::format("  pass@1   {:.1f} %  [{:.1f}, {:.1f}]  (95 % interval)\n",
                      100 * result->accuracy.value, 100 * result->accuracy.low,
                      100 * result->accuracy.high);
  for (int64_t k = 2; k <= options.samples; k *= 2) {
    double pass = 0;
    int64_t majority = 0, counted = 0;
    for (const ScoredGroup& group : result->groups) {
      const auto n = static_cast<int64_t>(group.verdicts.size());
      if (n < k) continue;
      const int64_t right = std::count_if(
          group.verdicts.begin(), group.verdicts.end(),
          [](const Verdict& verdict) { return verdict.status == VerdictStatus::kCorrect; });
      pass += PassAtK(n, right, k);
      majority += MajorityIsRight(group.verdicts, k);
      ++counted;
    }
    if (counted == 0) continue;
    // pass@k of a task is a mean over subsets, between 0 and 1: the interval of a 0/1 share of the
    // same mean holds it too.
    const Share pass_share = WilsonShare(std::llround(pass), counted);
    const Share majority_share = WilsonShare(majority, counted);
    report[fmt::format("pass@{}", k)] = {{"value", pass / static_cast<double>(counted)},
                                         {"low", pass_share.low},
                                         {"high", pass_share.high}};
    report[fmt::format("maj@{}", k)] = ShareJson(majority_share);
    text += fmt::format("  pass@{:<3} {:.1f} %  [{:.1f}, {:.1f}]\n", k,
                        100 * pass / static_cast<double>(counted), 100 * pass_share.low,
                        100 * pass_share.high);
    text += fmt::format("  maj@{:<4} {:.1f} %  [{:.1f}, {:.1f}]\n", k, 100 * majority_share.value,
                        100 * majority_share.low, 100 * majority_share.high);
  }
  text += fmt::format(
      "  in form  {:.1f} %, mean length {:.1f} tokens, {} truncated, {} dropped, {:.1f} s\n",
      100 * result->formatted_share.value, result->mean_length, result->truncated, result->dropped,
      result->seconds);
  if (!options.out.empty()) text += fmt::format("  completions are in {}\n", options.out);
  if (options.as_json) {
    std::cout << report.dump() << '\n';
  } else {
    std::cout << text;
  }
  return absl::OkStatus();
}

}  // namespace

void AddTaskCommands(CommandLine& line) {
  auto tasks = std::make_shared<TaskOptions>();
  CLI::App* command =
      AddCommand(line.app, "tasks", "Show the tasks of a configuration as JSON lines",
                 "ponder tasks configs/quickstart.toml --split held_out --count 3");
  command->add_option("config", tasks->config, "TOML file; the defaults where none is given");
  AddOverrides(*command, tasks->overrides, "override a key; may be repeated");
  command->add_option("--split", tasks->split, "train or held_out")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "held_out"}));
  command->add_option("--count", tasks->count, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 30));
  command->callback([&line, tasks] { line.chosen = [tasks] { return RunTasks(*tasks); }; });

  auto eval = std::make_shared<EvalOptions>();
  command = AddCommand(line.app, "eval",
                       "pass@1, pass@k and maj@k of a model on tasks, with 95 % intervals",
                       "ponder eval --model models/smollm2-135m-instruct --config "
                       "configs/quickstart.toml --samples 4 --temperature 1");
  AddSessionOptions(*command, eval->session);
  command->add_option("--config", eval->config,
                      "TOML file with [tasks], [prompt] and [rollout]; held-out tasks are taken");
  AddOverrides(*command, eval->overrides, "override a key; may be repeated");
  command->add_option("--tasks", eval->tasks,
                      "a file of JSON lines instead of the configuration's tasks");
  command->add_option("--count", eval->count, "how many tasks")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--samples", eval->samples, "completions a task")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--temperature", eval->temperature, "0 takes the most likely token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command
      ->add_option("--max-new-tokens", eval->max_new_tokens,
                   "longest answer; 0 = the configuration's")
      ->capture_default_str();
  command->add_option("--seed", eval->seed, "of the random numbers")->capture_default_str();
  command->add_option("--out", eval->out,
                      "keep every item's completions and verdicts here, JSON lines");
  command->add_flag("--json", eval->as_json, "one JSON object");
  command->callback([&line, eval] { line.chosen = [eval] { return RunEval(*eval); }; });
}

}  // namespace ponder
