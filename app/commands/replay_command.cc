#include "app/commands/replay_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "app/commands/command.h"
#include "app/config_convert.h"
#include "app/device.h"
#include "app/device_set.h"
#include "app/replay.h"
#include "app/replay_report.h"
#include "app/rescore.h"
#include "app/run_catalog.h"
#include "app/run_memory.h"
#include "app/run_settings.h"
#include "app/sample_draw.h"
#include "app/session.h"
#include "app/training.h"
#include "app/verifier_start.h"
#include "learner/library.h"
#include "observe/console.h"
#include "observe/terminal_text.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

constexpr size_t kJudgedAtOnce = 256;  // of JudgeItems, for the deadline of a call

// Whether these are numerics whose bits depend on the batch.
bool IsFast(const std::string& numerics) { return numerics.ends_with("-fast"); }

// How many devices a run with these settings learns on.
absl::StatusOr<int64_t> CountDevices(const RunConfig& config) {
  PONDER_ASSIGN_OR_RETURN(const auto devices, ParseDevices(config.machine.device));
  return std::ssize(devices);
}

// Of all settings of a run those with the most devices.
absl::StatusOr<const RunConfig*> Widest(const std::vector<RunSettings>& settings) {
  const RunConfig* widest = nullptr;
  int64_t most = 0;
  for (const RunSettings& one : settings) {
    PONDER_ASSIGN_OR_RETURN(const int64_t count, CountDevices(one.config));
    if (count <= most) continue;
    most = count;
    widest = &one.config;
  }
  return widest;
}

// Devices and instruction set that compute the bits of `numerics`; the CPU's best where none here
// does. As many as the run had, for gradients are added up in the order of the devices.
absl::StatusOr<DeviceSet> MatchDevices(const std::string& numerics, const RunConfig& widest,
                                       int64_t threads) {
  const std::string& of_run = widest.machine.device;
  PONDER_ASSIGN_OR_RETURN(const int64_t count, CountDevices(widest));
  std::string cpus = "cpu";
  for (int64_t i = 1; i < count; ++i) cpus += ",cpu";
  std::vector<SessionOptions> choices;
  if (numerics.starts_with("cuda")) {
    const std::string kind = IsFast(numerics) ? "fast" : "exact";
    if (of_run.starts_with("cuda")) choices.push_back({.device = of_run, .numerics = kind});
    choices.push_back({.device = "cuda", .numerics = kind});
  }
  for (const char* isa : {"best", "amx", "avx512_bf16", "avx512", "avx2", "portable"})
    choices.push_back({.device = cpus, .isa = isa, .threads = threads});
  for (const SessionOptions& choice : choices) {
    absl::StatusOr<DeviceSet> devices = OpenDevices(choice);
    if (devices.ok() && devices->First().Info().fingerprint == numerics) return devices;
  }
  return OpenDevices({.device = cpus, .threads = threads});
}

// Each by the verifier of the settings under which it was sampled.
absl::StatusOr<std::vector<Rejudged>> Rejudge(RunReader& reader,
                                              const std::vector<ReplayedSample>& samples,
                                              Console& console) {
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> recorded, reader.GetInfo("verifier"));
  std::map<const RunConfig*, std::vector<size_t>> by_settings;
  for (size_t i = 0; i < samples.size(); ++i) by_settings[samples[i].settings].push_back(i);
  std::vector<Rejudged> judged(samples.size());
  for (const auto& [settings, places] : by_settings) {
    PONDER_ASSIGN_OR_RETURN(
        const std::unique_ptr<Verifier> verifier,
        StartConfiguredVerifier(*settings, [&](const std::string& event) { console.Warn(event); }));
    const VerifierDescription description = verifier->Describe();
    console.Say(fmt::format("was judged by {}; now by {} {}", recorded.value_or("an older program"),
                            description.name, description.version));
    std::vector<VerifyItem> items;
    for (const size_t place : places) {
      const StoredCompletion& sample = samples[place].recorded;
      items.push_back({sample.task, samples[place].found.text});
      items.push_back({sample.task, sample.completion.text});
    }
    const JudgeOptions judge = MakeJudgeOptions(*settings);
    PONDER_ASSIGN_OR_RETURN(
        std::vector<Verdict> verdicts,
        JudgeItems(*verifier, items,
                   {.deadline = judge.deadline * static_cast<int64_t>(kJudgedAtOnce),
                    .max_retries = judge.max_retries}));
    for (size_t i = 0; i < places.size(); ++i)
      judged[places[i]] = {std::move(verdicts[2 * i]), std::move(verdicts[2 * i + 1])};
  }
  return judged;
}

// A run with what computes as it did.
struct StoredRun {
  std::unique_ptr<RunReader> reader;
  std::unique_ptr<RunStore> store;
  std::vector<RunSettings> settings;
  RunTimeline timeline;
  DeviceSet devices;  // joined as the settings of a step ask for
  ModelConfig model;
  std::unique_ptr<Tokenizer> tokenizer;

  absl::StatusOr<PromptBuilder> Prompts(const RunConfig& config) const {
    return MakePromptBuilder(config, model, *tokenizer);
  }
};

absl::StatusOr<StoredRun> OpenStoredRun(const ReplayCommand& command) {
  StoredRun run;
  PONDER_ASSIGN_OR_RETURN(run.reader, OpenRun(command.run));
  PONDER_ASSIGN_OR_RETURN(run.store,
                          RunStore::Open(command.run + "/run.db", RunStore::Mode::kRead));
  PONDER_ASSIGN_OR_RETURN(run.settings, ReadSettings(*run.store, command.run + "/config.toml"));
  for (RunSettings& one : run.settings) {
    if (!command.model.empty()) one.config.model.directory = command.model;
    one.config.rollout.listen.clear();  // samples are generated in this process
  }
  PONDER_ASSIGN_OR_RETURN(run.timeline, ReadTimeline(*run.reader));
  PONDER_ASSIGN_OR_RETURN(const auto numerics, run.reader->GetInfo("numerics"));
  PONDER_ASSIGN_OR_RETURN(const RunConfig* const widest, Widest(run.settings));
  PONDER_ASSIGN_OR_RETURN(run.devices,
                          MatchDevices(numerics.value_or(""), *widest, command.threads));
  const std::string& directory = run.settings.back().config.model.directory;
  absl::StatusOr<ModelConfig> model = LoadModelConfig(directory);
  if (!model.ok()) return Annotate(model.status(), "--model names where the base model lies now");
  run.model = *std::move(model);
  PONDER_ASSIGN_OR_RETURN(run.tokenizer, LoadTokenizer(directory));
  return run;
}

// `run` outlives it.
Relearner MakeRelearner(const std::string& folder, StoredRun& run) {
  return Relearner(
      {.run = folder,
       .store = run.store.get(),
       .timeline = run.timeline,
       .settings = run.settings,
       .create_trainer = [&](const RunConfig& of) -> absl::StatusOr<std::unique_ptr<Trainer>> {
         PONDER_ASSIGN_OR_RETURN(TrainerOptions options, ToTrainerOptions(of));
         // The bits are the same, and here may be no GPU.
         options.offload = options.offload && !run.devices.First().Info().is_host_memory;
         PONDER_ASSIGN_OR_RETURN(const int64_t count, CountDevices(of));
         PONDER_ASSIGN_OR_RETURN(
             const std::vector<TrainerDevice> ranks,
             run.devices.Join(std::min(count, std::ssize(run.devices.backends))));
         return CreateTrainer(ranks, options);
       },
       .read_examples = [&](const RunConfig& of) -> absl::StatusOr<std::vector<SftExample>> {
         PONDER_ASSIGN_OR_RETURN(const PromptBuilder prompts, run.Prompts(of));
         return ColdStartExamples(of, prompts);
       }});
}

absl::StatusOr<std::vector<StoredCompletion>> ReadSamples(const ReplayCommand& command,
                                                          RunReader& reader) {
  std::vector<int64_t> ids = command.samples;
  if (command.random > 0) {
    PONDER_ASSIGN_OR_RETURN(ids, DrawSamples(reader, command.phase, command.random, command.seed));
  }
  std::vector<StoredCompletion> samples;
  for (const int64_t id : std::set<int64_t>(ids.begin(), ids.end())) {
    PONDER_ASSIGN_OR_RETURN(StoredCompletion sample, ReadSample(reader, command.run, id));
    samples.push_back(std::move(sample));
  }
  return samples;
}

// Why samples are to be expected to differ, in words that are empty where they are not.
struct Doubts {
  std::string all;      // of them
  std::string workers;  // of some
};

absl::StatusOr<Doubts> FindDoubts(RunReader& reader, const StoredRun& run, Console& console) {
  Doubts doubts;
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> numerics, reader.GetInfo("numerics"));
  const std::string here = run.devices.First().Info().fingerprint;
  PONDER_ASSIGN_OR_RETURN(const RunConfig* const widest, Widest(run.settings));
  PONDER_ASSIGN_OR_RETURN(const int64_t devices, CountDevices(*widest));
  if (here != numerics) {
    doubts.all = fmt::format("the run's numerics are {}, this machine's and build's are {}",
                             numerics.value_or("not recorded"), here);
    console.Warn(doubts.all +
                 ": log-probs will differ in their last digits, tokens may; the run's build on its "
                 "kind of processor has the same");
  } else if (IsFast(here)) {
    doubts.all = fmt::format(
        "the run's numerics ({}) give exactness up: last digits depend on the batch in which a "
        "completion was sampled",
        here);
    console.Warn(doubts.all + ", so that samples cannot be expected to come out the same");
  } else if (devices > std::ssize(run.devices.backends)) {
    doubts.all = fmt::format("the run learnt on {} devices, {} are here", devices,
                             run.devices.backends.size());
    console.Warn(doubts.all +
                 ": gradients are added up in another order, so that log-probs may "
                 "differ in their last digits");
  }
  PONDER_ASSIGN_OR_RETURN(const std::vector<TimedEvent> events, reader.Events(0));
  if (std::ranges::none_of(
          events, [](const TimedEvent& event) { return event.event.kind == "numerics_differ"; })) {
    return doubts;
  }
  PONDER_ASSIGN_OR_RETURN(const std::vector<WorkerRecord> workers, reader.Workers());
  std::set<std::string> others;
  for (const WorkerRecord& worker : workers) {
    if (!worker.numerics.empty() && worker.numerics != numerics) others.insert(worker.numerics);
  }
  doubts.workers = fmt::format(
      "a worker's numerics{} were not the learner's, and which samples are its own is not recorded",
      others.empty() ? "" : fmt::format(" ({})", fmt::join(others, ", ")));
  console.Warn(doubts.workers + ": they will differ");
  return doubts;
}

// How long the run took for the update behind each point.
absl::StatusOr<std::map<RunPoint, double>> LearningTimes(RunReader& reader,
                                                         const RunTimeline& timeline) {
  std::map<RunPoint, double> times;
  for (const auto& [phase, checkpoint] : {std::pair("sft", "sft"), std::pair("train", "step")}) {
    PONDER_ASSIGN_OR_RETURN(const MetricSeries series, ReadSeries(reader, phase, "time/learn_s"));
    for (size_t i = 0; i < series.steps.size(); ++i)
      times[timeline.Of({checkpoint, series.steps[i]})] = series.values[i];
  }
  return times;
}

// The text too where only one is asked for.
void Show(const ReplayCommand& command, const ReplayedSample& sample, const Rejudged* verdict,
          ReplayReport& report) {
  report.Count(sample, verdict);
  if (command.as_json) {
    std::cout << Dump(report.ToJson(sample, verdict)) << std::endl;
    return;
  }
  std::cout << report.ToText(sample, verdict);
  if (command.samples.size() == 1 && sample.impossible.empty())
    std::cout << '\n' << WithoutControls(sample.found.text) << '\n';
  std::cout << std::flush;
}

}  // namespace

absl::Status RunReplay(const ReplayCommand& command) {
  PONDER_ASSIGN_OR_RETURN(StoredRun run, OpenStoredRun(command));
  PONDER_ASSIGN_OR_RETURN(std::vector<StoredCompletion> samples, ReadSamples(command, *run.reader));
  PONDER_ASSIGN_OR_RETURN(auto learn_s, LearningTimes(*run.reader, run.timeline));
  const std::unique_ptr<Console> console = CreateConsole(stderr, "");
  PONDER_ASSIGN_OR_RETURN(const Doubts doubts, FindDoubts(*run.reader, run, *console));
  PONDER_RETURN_IF_ERROR(CheckRunMemory(run.settings.back().config, run.model));
  Relearner relearner = MakeRelearner(command.run, run);
  WatchInterrupts();
  ReplayReport report(*run.tokenizer);
  std::vector<ReplayedSample> to_judge;
  PONDER_ASSIGN_OR_RETURN(
      const std::string learning,
      ReplaySamples({.relearner = &relearner,
                     .timeline = &run.timeline,
                     .backend = &run.devices.First(),
                     .tokenizer = run.tokenizer.get(),
                     .console = console.get(),
                     .checkpoints = ListCheckpoints(command.run),
                     .sampling = [&](const RunConfig& of) -> absl::StatusOr<SamplingParams> {
                       PONDER_ASSIGN_OR_RETURN(const PromptBuilder prompts, run.Prompts(of));
                       return ToSamplingParams(of, prompts.StopIds());
                     },
                     .learn_s = [&](RunPoint point) { return learn_s[point]; },
                     .other_numerics = doubts.all,
                     .other_workers = doubts.workers,
                     .cancelled = Interrupted},
                    std::move(samples), [&](ReplayedSample sample) {
                      if (command.verify && sample.impossible.empty()) {
                        to_judge.push_back(std::move(sample));
                      } else {
                        Show(command, sample, nullptr, report);
                      }
                      return absl::OkStatus();
                    }));
  PONDER_ASSIGN_OR_RETURN(const std::vector<Rejudged> verdicts,
                          Rejudge(*run.reader, to_judge, *console));
  for (size_t i = 0; i < verdicts.size(); ++i) Show(command, to_judge[i], &verdicts[i], report);
  std::string words;
  const absl::Status concluded = report.Conclude(learning, words);
  if (!concluded.ok() && IsFast(run.devices.First().Info().fingerprint))
    return Annotate(concluded, "to be expected of the numerics fast (machine.numerics)");
  PONDER_RETURN_IF_ERROR(concluded);
  console->Say(words);
  return absl::OkStatus();
}

void AddReplayCommand(CommandLine& line) {
  auto replay = std::make_shared<ReplayCommand>();
  CLI::App* command =
      AddCommand(line.app, "replay", "Regenerate completions of a run, token for token",
                 "ponder replay runs/quickstart 412 --verify");
  command->add_option("run", replay->run, "the run's folder")->required();
  CLI::Option* samples = command->add_option("samples", replay->samples, "numbers of samples");
  CLI::Option* random =
      command->add_option("--random", replay->random, "so many, drawn from all steps of --phase")
          ->check(CLI::Range(1, 100000))
          ->excludes(samples);
  command->add_option("--seed", replay->seed, "of the drawing")
      ->capture_default_str()
      ->needs(random);
  command
      ->add_option("--phase", replay->phase,
                   "that they are drawn from: train, eval/train, "
                   "eval/untrained")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "eval/train", "eval/untrained"}))
      ->needs(random);
  command->add_flag("--verify", replay->verify, "judge the texts again and compare the verdicts");
  command->add_option("--model", replay->model,
                      "where the base model lies, if not where the configuration says");
  command->add_option("--threads", replay->threads, "compute threads; 0 = one a core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", replay->as_json, "a JSON line a sample on standard output");
  command->callback([&line, replay] {
    if (replay->samples.empty() && replay->random == 0) {
      throw CLI::RequiredError("numbers of samples, or --random N");
    }
    line.chosen = [replay] { return RunReplay(*replay); };
  });
}

}  // namespace ponder
