#include "app/training.h"

#include <absl/time/clock.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands/command.h"
#include "app/config_convert.h"
#include "app/device.h"
#include "app/device_set.h"
#include "app/machine_watch.h"
#include "app/rollout_devices.h"
#include "app/run_dashboard.h"
#include "app/run_directory.h"
#include "app/run_memory.h"
#include "app/run_monitor.h"
#include "app/run_report.h"
#include "app/train_loop.h"
#include "app/verifier_start.h"
#include "base/file.h"
#include "base/random.h"
#include "learner/library.h"
#include "observe/background_store.h"
#include "observe/console.h"
#include "observe/run_store.h"
#include "rollout/service/rollout_service.h"

namespace ponder {
namespace {

using nlohmann::json;

// Says what the run will take and refuses a plan that does not fit, before anything is allocated.
absl::Status CheckMemoryPlan(const RunConfig& config, const ModelConfig& model, Console& console) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config, model));
  std::string rows;
  for (const MemoryPlanRow& row : plan) {
    rows += fmt::format("{}{} {}", rows.empty() ? "" : ", ", row.name, HumanGib(row.bytes));
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t offloaded, OffloadedBytes(config, model));
  if (offloaded > 0)
    rows +=
        fmt::format("; of the host's memory: master weights and moments {}", HumanGib(offloaded));
  PONDER_ASSIGN_OR_RETURN(const auto devices, ParseDevices(config.machine.device));
  console.Say(fmt::format("memory plan: {}{} ({})", HumanGib(TotalBytes(plan)),
                          devices.size() > 1 ? " on each device" : "", rows));
  return CheckRunMemory(config, model);
}

absl::StatusOr<std::vector<SftExample>> ReadExamples(const std::string& path, int64_t limit,
                                                     const PromptBuilder& prompts) {
  std::ifstream file(path);
  if (!file) return NotFound("sft.path: cannot open {}", path);
  std::vector<SftExample> examples;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (limit > 0 && static_cast<int64_t>(examples.size()) == limit) break;
    const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (value.is_object() && value.contains("prompt") && value["prompt"].is_string() &&
        value.contains("completion") && value["completion"].is_string()) {
      examples.push_back(prompts.TextExample(value["prompt"].get<std::string>(),
                                             value["completion"].get<std::string>()));
      continue;
    }
    std::vector<Message> messages;
    if (value.is_object() && value.contains("messages") && value["messages"].is_array()) {
      for (const json& item : value["messages"]) {
        if (!item.is_object() || !item.value("role", json()).is_string() ||
            !item.value("content", json()).is_string()) {
          messages.clear();
          break;
        }
        messages.push_back({item["role"].get<std::string>(), item["content"].get<std::string>()});
      }
    }
    if (messages.empty()) {
      return InvalidArgument(
          "{}:{}: expected {{\"prompt\",\"completion\"}} or "
          "{{\"messages\":[{{\"role\",\"content\"}}…]}}",
          path, number);
    }
    absl::StatusOr<SftExample> example = prompts.ConversationExample(std::move(messages));
    if (!example.ok()) return Annotate(example.status(), fmt::format("{}:{}", path, number));
    examples.push_back(*std::move(example));
  }
  if (examples.empty()) return InvalidArgument("{} holds no examples", path);
  return examples;
}

std::string DefaultRunDirectory(const RunConfig& config) {
  return fmt::format("runs/{}-{}", config.run.name,
                     absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()));
}

std::string ThisProcess() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return fmt::format("{}, process {}", host, getpid());
}

}  // namespace

absl::StatusOr<std::vector<SftExample>> ColdStartExamples(const RunConfig& config,
                                                          const PromptBuilder& prompts) {
  if (!config.sft.Wanted()) return std::vector<SftExample>();
  if (!config.sft.path.empty()) return ReadExamples(config.sft.path, config.sft.examples, prompts);
  // Worked solutions of tasks of the training split, in an order of their own.
  RunConfig shuffled = config;
  shuffled.tasks.seed = static_cast<int64_t>(
      RandomBits(MakeRandomKey(static_cast<uint64_t>(config.tasks.seed), "cold start"), 0) >> 2);
  PONDER_ASSIGN_OR_RETURN(const std::vector<Task> tasks,
                          CollectTasks(shuffled, Split::kTrain, config.sft.examples));
  std::vector<SftExample> examples;
  for (const Task& task : tasks) {
    PONDER_ASSIGN_OR_RETURN(SftExample example, prompts.WorkedExample(task));
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<std::string> Vocabulary(const Tokenizer& tokenizer) {
  std::vector<std::string> pieces;
  for (int32_t id = 0; id < tokenizer.Size(); ++id) pieces.emplace_back(tokenizer.TokenBytes(id));
  return pieces;
}

absl::StatusOr<std::vector<Task>> CollectTasks(const RunConfig& config, Split split,
                                               int64_t count) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<TaskSource> source,
                          CreateTaskSource(ToTaskSourceOptions(config, split)));
  return source->TasksFor(0, source->Size() > 0 ? std::min(count, source->Size()) : count);
}

absl::StatusOr<PromptBuilder> MakePromptBuilder(const RunConfig& config, const ModelConfig& model,
                                                const Tokenizer& tokenizer) {
  PONDER_ASSIGN_OR_RETURN(PromptTemplate prompt_template, ToPromptTemplate(config));
  std::optional<ChatTemplate> chat;
  if (config.chat.template_name == "custom") {
    const CustomChatKeys& keys = config.chat.custom;
    chat = ChatTemplate{.name = "custom",
                        .prefix = keys.prefix,
                        .default_system = keys.default_system,
                        .system_turn = keys.system_turn,
                        .user_turn = keys.user_turn,
                        .assistant_turn = keys.assistant_turn,
                        .assistant_prefix = keys.assistant_prefix,
                        .stops = keys.stops};
  } else if (config.chat.template_name != "auto") {
    PONDER_ASSIGN_OR_RETURN(chat, FindChatTemplate(config.chat.template_name));
  } else {
    absl::StatusOr<ChatTemplate> detected = DetectChatTemplate(config.model.directory);
    if (detected.ok()) {
      chat = *std::move(detected);
    } else if (!prompt_template.plain) {
      return detected.status();
    }
  }
  return PromptBuilder::Create(tokenizer, model, std::move(prompt_template), std::move(chat));
}

absl::Status RunTraining(TrainingRequest request) {
  const RunConfig& config = request.config;
  // Everything that can be wrong with the input is looked at before a run directory exists.
  PONDER_ASSIGN_OR_RETURN(const ModelConfig model, LoadModelConfig(config.model.directory));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          LoadTokenizer(config.model.directory));
  PONDER_ASSIGN_OR_RETURN(const PromptBuilder prompts,
                          MakePromptBuilder(config, model, *tokenizer));
  PONDER_ASSIGN_OR_RETURN(const std::vector<SftExample> cold_start,
                          ColdStartExamples(config, prompts));
  if (request.supervised_only && cold_start.empty()) {
    return InvalidArgument("nothing to learn from: set sft.examples or sft.path");
  }
  std::unique_ptr<TaskSource> train_tasks;
  std::vector<Task> held_out;
  if (!request.supervised_only) {
    PONDER_ASSIGN_OR_RETURN(train_tasks,
                            CreateTaskSource(ToTaskSourceOptions(config, Split::kTrain)));
    if (config.eval.tasks > 0) {
      PONDER_ASSIGN_OR_RETURN(held_out, CollectTasks(config, Split::kHeldOut, config.eval.tasks));
    }
  }

  std::string path = request.run_directory;
  if (path.empty())
    path = config.run.directory.empty() ? DefaultRunDirectory(config) : config.run.directory;
  absl::StatusOr<RunDirectory> opened =
      request.resume ? RunDirectory::Open(path) : RunDirectory::Create(path, DumpConfig(config));
  PONDER_RETURN_IF_ERROR(opened.status());
  RunDirectory directory = *std::move(opened);
  // JSON lines on the same terminal would run into the view.
  const ConsoleView view =
      request.json && isatty(STDOUT_FILENO) != 0 ? ConsoleView::kPlain : ConsoleView::kLive;
  const std::unique_ptr<Console> console = CreateConsole(stderr, directory.LogPath(), view);
  console->Say(fmt::format("run {}", path));
  if (!request.supervised_only) {
    console->Say(fmt::format("a step: {}; {} steps; tasks: {}", DescribeStep(config),
                             config.run.steps, train_tasks->Describe()));
    if (const std::string overlap = DescribeStaleness(config); !overlap.empty())
      console->Say(overlap);
    if (const std::string numerics = DescribeNumerics(config); !numerics.empty())
      console->Say(numerics);
  }
  PONDER_RETURN_IF_ERROR(CheckMemoryPlan(config, model, *console));

  PONDER_ASSIGN_OR_RETURN(
      std::unique_ptr<RunStore> file,
      RunStore::Open(directory.StorePath(), std::filesystem::exists(directory.StorePath())
                                                ? RunStore::Mode::kAppend
                                                : RunStore::Mode::kCreate));
  const std::unique_ptr<RunStore> store = CreateBackgroundStore(std::move(file));
  PONDER_RETURN_IF_ERROR(store->LoseWorkers("the run ended before it could say goodbye"));
  RunMonitor monitor(*store, *console, RealClock());
  monitor.Begin("starting", 0, config.run.steps);
  const MachineWatch watch(*store, request.supervised_only ? "sft" : "learner", path);
  PONDER_RETURN_IF_ERROR(store->WriteVocabulary(Vocabulary(*tokenizer)));
  const std::unique_ptr<HttpServer> dashboard = StartRunDashboard(config.dashboard, path, *console);
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<MetricSink> events, CreateEventFileSink(path));
  const std::unique_ptr<MetricSink> json_lines = CreateJsonLineSink(std::cout);
  std::vector<MetricSink*> sinks = {events.get()};
  if (request.json) sinks.push_back(json_lines.get());
  SessionOptions session{.device = config.machine.device,
                         .numerics = config.machine.numerics,
                         .isa = config.machine.isa,
                         .threads = config.machine.threads,
                         .warn = [&](const std::string& words) { monitor.Warn("machine", words); }};
  PONDER_ASSIGN_OR_RETURN(DeviceSet devices, OpenDevices(session));
  const kernels::BackendInfo& computing = devices.First().Info();
  PONDER_ASSIGN_OR_RETURN(TrainerOptions trainer_options, ToTrainerOptions(config));
  PONDER_ASSIGN_OR_RETURN(std::vector<TrainerDevice> ranks, devices.JoinAll());
  PONDER_ASSIGN_OR_RETURN(const RunMemory memory, TakeRunMemory(config, model, ranks));
  RolloutDevices generating;
  session.device = config.machine.rollout_device;
  PONDER_RETURN_IF_ERROR(generating.Open(session, devices, ranks));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer,
                          CreateTrainer(ranks, trainer_options));
  PONDER_RETURN_IF_ERROR(store->SetInfo("model", config.model.directory));
  PONDER_RETURN_IF_ERROR(store->SetInfo("numerics", computing.fingerprint));
  monitor.SetLearner("ponder " PONDER_VERSION, ThisProcess(), computing.fingerprint,
                     trainer->PolicyVersion());
  console->Say(
      fmt::format("model: {} ({:.0f} M parameters, {}), {} threads, {}", config.model.directory,
                  static_cast<double>(trainer->GetWeights().Layout().ParameterCount()) / 1e6,
                  config.model.dtype, computing.threads, computing.isa));
  if (ranks.size() > 1) {
    console->Say(fmt::format("devices: {}; gradients are added up over {}", config.machine.device,
                             ranks.front().collective->Describe()));
  }
  if (ranks.front().feed != nullptr) {
    console->Say(fmt::format("completions: generated on {}; weights reach it over {}",
                             config.machine.rollout_device, ranks.front().feed->Describe()));
  }

  const auto note = [&](const std::string& event) { monitor.Warn("verifier", event); };
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<AdvantageEstimator> advantage,
                          CreateAdvantageEstimator(config.learner.advantage));
  std::unique_ptr<Verifier> verifier;
  std::unique_ptr<RolloutEngine> engine;
  std::unique_ptr<GroupSource> groups;
  if (!request.supervised_only) {
    PONDER_ASSIGN_OR_RETURN(
        verifier, StartConfiguredVerifier(config, note,
                                          [&](const WorkerRecord& seen) { monitor.See(seen); }));
    const VerifierDescription description = verifier->Describe();
    console->Say(fmt::format("verifier: {}", description.name));
    PONDER_RETURN_IF_ERROR(
        store->SetInfo("verifier", fmt::format("{} {}", description.name, description.version)));
  }
  if (request.supervised_only || config.rollout.listen.empty()) {
    PONDER_ASSIGN_OR_RETURN(engine,
                            generating.MakeEngine(*trainer, *tokenizer, ToEngineOptions(config)));
    groups = CreateLocalGroupSource(*engine);
  } else {
    PONDER_ASSIGN_OR_RETURN(
        std::unique_ptr<RolloutServer> server,
        StartRolloutServer(
            trainer->GetWeights(), computing.fingerprint,
            {.address = config.rollout.listen,
             .heartbeat_timeout = absl::Seconds(config.rollout.heartbeat_timeout_s),
             .no_worker_timeout = absl::Seconds(config.rollout.no_worker_timeout_s),
             .on_event = [&](const std::string& event) { monitor.Note("worker", event); },
             .on_gone =
                 [&](const WorkerGone& gone) {
                   monitor.SeeGone(gone.last, gone.in_order, gone.words);
                 }}));
    const std::string host = config.rollout.listen.substr(0, config.rollout.listen.rfind(':'));
    console->Say(fmt::format("waiting for workers: ponder rollout --model {} --learner {}:{}",
                             config.model.directory, host, server->Port()));
    groups = std::move(server);
  }

  if (!request.supervised_only) monitor.WatchGroups(*groups);

  WatchInterrupts();
  TrainLoop loop(config, {.train_tasks = train_tasks.get(),
                          .held_out = std::move(held_out),
                          .prompts = &prompts,
                          .groups = groups.get(),
                          .verifier = verifier.get(),
                          .advantage = advantage.get(),
                          .trainer = trainer.get(),
                          .shares_memory = memory.is_shared ? engine.get() : nullptr,
                          .store = store.get(),
                          .monitor = &monitor,
                          .sinks = std::move(sinks),
                          .console = console.get(),
                          .directory = &directory,
                          .clock = &RealClock(),
                          .judge = MakeJudgeOptions(config),
                          .cancelled = Interrupted});
  const absl::StatusOr<TrainSummary> ended = request.supervised_only
                                                 ? loop.RunSupervised(cold_start, request.resume)
                                                 : loop.Run(cold_start, request.resume);
  if (!ended.ok()) {
    const std::string why(ended.status().message());
    monitor.EndWorkers(why);
    monitor.Begin("failed", 0, config.run.steps, why);
    return ended.status();
  }
  const TrainSummary& summary = *ended;
  monitor.EndWorkers(summary.cancelled ? "the run was stopped" : "the run is finished");
  monitor.Begin(summary.cancelled ? "stopped" : "finished", summary.last_step, config.run.steps);
  PONDER_RETURN_IF_ERROR(store->Flush());
  PONDER_RETURN_IF_ERROR(events->Flush());
  if (!request.supervised_only) {
    PONDER_RETURN_IF_ERROR(WriteRunReport(config, *store, path, *console));
  }
  if (summary.cancelled) {
    console->Say(fmt::format("stopped after step {}; go on with: ponder train --resume --run {}",
                             summary.last_step, path));
    return absl::CancelledError("interrupted; nothing is lost");
  }
  const std::vector<CheckpointName> checkpoints = directory.Checkpoints();
  console->Say(
      fmt::format("done: {} steps; the model is in {}", summary.last_step,
                  checkpoints.empty() ? path : directory.CheckpointPath(checkpoints.back())));
  return absl::OkStatus();
}

}  // namespace ponder
