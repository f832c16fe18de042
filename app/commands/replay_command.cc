#include "app/commands/replay_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "app/commands/command.h"
#include "app/config_convert.h"
#include "app/replay.h"
#include "app/rescore.h"
#include "app/run_memory.h"
#include "app/run_settings.h"
#include "app/session.h"
#include "app/training.h"
#include "app/verifier_start.h"
#include "learner/library.h"
#include "observe/console.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr size_t kJudgedAtOnce = 256;  // of JudgeItems, for the deadline of a call

// The instruction set that computes the bits of `numerics`; the best where none here does.
absl::StatusOr<std::unique_ptr<kernels::Backend>> MatchBackend(const std::string& numerics,
                                                               int64_t threads) {
  for (const char* isa : {"best", "amx", "avx512_bf16", "avx512", "avx2", "portable"}) {
    absl::StatusOr<std::unique_ptr<kernels::Backend>> backend =
        CreateBackend({.isa = isa, .threads = threads});
    if (backend.ok() && (*backend)->Info().fingerprint == numerics) return backend;
  }
  return CreateBackend({.threads = threads});
}

// A verdict now beside the one that is recorded.
struct Rejudged {
  Verdict regenerated;
  Verdict recorded_text;
};

bool SameVerdict(const Verdict& a, const Verdict& b) {
  return a.status == b.status && a.score == b.score;
}

json TokenJson(const Tokenizer& tokenizer, const Completion& completion, int64_t token) {
  if (token >= std::ssize(completion.token_ids)) return nullptr;
  const int32_t id = completion.token_ids[token];
  const bool known = id >= 0 && id < tokenizer.Size();
  return {{"id", id},
          {"text", known ? json(std::string(tokenizer.TokenBytes(id))) : json(nullptr)}};
}

// `812 " wor"`, or that the completion ends there.
std::string TokenWords(const json& token) {
  if (token.is_null()) return "the end";
  return fmt::format("{} {}", token["id"].get<int32_t>(),
                     token["text"].is_null() ? "(no token of this model)" : Dump(token["text"]));
}

class Report {
 public:
  Report(const ReplayCommand& command, const Tokenizer& tokenizer)
      : command_(command), tokenizer_(tokenizer) {}

  void Add(ReplayedSample sample) { samples_.push_back(std::move(sample)); }
  const std::vector<ReplayedSample>& Samples() const { return samples_; }
  void Print(const ReplayedSample& sample, const Rejudged* verdict) const;

 private:
  json ToJson(const ReplayedSample& sample, const Rejudged* verdict) const;
  std::string ToText(const ReplayedSample& sample, const Rejudged* verdict) const;

  const ReplayCommand& command_;
  const Tokenizer& tokenizer_;
  std::vector<ReplayedSample> samples_;
};

// The text too where only one is asked for.
void Report::Print(const ReplayedSample& sample, const Rejudged* verdict) const {
  if (command_.as_json) {
    std::cout << Dump(ToJson(sample, verdict)) << std::endl;
  } else {
    std::cout << ToText(sample, verdict);
    if (command_.samples.size() == 1) std::cout << '\n' << sample.found.text << '\n';
    std::cout << std::flush;
  }
}

json Report::ToJson(const ReplayedSample& sample, const Rejudged* verdict) const {
  const StoredCompletion& recorded = sample.recorded;
  json row = {{"sample", recorded.rowid},
              {"phase", recorded.phase},
              {"step", recorded.step},
              {"task", recorded.task.id},
              {"sample_index", recorded.completion.sample_index},
              {"tokens", sample.found.token_ids.size()},
              {"same", !sample.difference.has_value()},
              {"text", sample.found.text},
              {"token_ids", sample.found.token_ids},
              {"logprobs", sample.found.logprobs}};
  for (const VersionSpan& span : recorded.completion.versions)
    row["versions"].push_back({{"begin", span.begin}, {"version", span.version}});
  if (sample.difference.has_value()) {
    const ReplayDifference& difference = *sample.difference;
    json& out = row["difference"];
    if (difference.token.has_value()) {
      out["token"] = *difference.token;
      out["expected"] = TokenJson(tokenizer_, recorded.completion, *difference.token);
      out["found"] = TokenJson(tokenizer_, sample.found, *difference.token);
    }
    if (difference.logprob_token.has_value()) out["logprob_token"] = *difference.logprob_token;
    out["logprob_max_abs_diff"] = difference.logprob_max_abs_diff;
    if (!difference.field.empty()) out["field"] = difference.field;
    if (!sample.likely_cause.empty()) out["likely_cause"] = sample.likely_cause;
  }
  if (verdict != nullptr) {
    row["verdict"] = {{"was", ponder::ToJson(recorded.verdict)},
                      {"recorded_text", ponder::ToJson(verdict->recorded_text)},
                      {"regenerated", ponder::ToJson(verdict->regenerated)}};
  }
  return row;
}

std::string Report::ToText(const ReplayedSample& sample, const Rejudged* verdict) const {
  const StoredCompletion& recorded = sample.recorded;
  const Completion& was = recorded.completion;
  std::string text =
      fmt::format("sample {}  {} step {}  task {} #{}  {} tokens  ", recorded.rowid, recorded.phase,
                  recorded.step, recorded.task.id, was.sample_index, was.token_ids.size());
  if (!sample.difference.has_value()) {
    text += "the same\n";
  } else {
    const ReplayDifference& difference = *sample.difference;
    text += "DIFFERS\n";
    if (difference.token.has_value()) {
      text += fmt::format("  from token {} on: expected {}, found {}\n", *difference.token,
                          TokenWords(TokenJson(tokenizer_, was, *difference.token)),
                          TokenWords(TokenJson(tokenizer_, sample.found, *difference.token)));
    }
    text += difference.logprob_token.has_value()
                ? fmt::format("  log-probs {}: other ones from token {} on, by {:.3g} at most\n",
                              difference.token.has_value() ? "up to there" : "of equal tokens",
                              *difference.logprob_token, difference.logprob_max_abs_diff)
                : fmt::format("  log-probs {}: the same to the last bit\n",
                              difference.token.has_value() ? "up to there" : "of equal tokens");
    if (!difference.token.has_value() && !difference.field.empty())
      text += fmt::format("  the recorded {} is another one\n", difference.field);
    if (!sample.likely_cause.empty()) text += fmt::format("  why: {}\n", sample.likely_cause);
  }
  if (verdict == nullptr) return text;
  const auto line = [&](const std::string& what, const Verdict& now) {
    text += SameVerdict(recorded.verdict, now)
                ? fmt::format("  verdict of {}: {}, as recorded\n", what, ToString(now.status))
                : fmt::format("  verdict of {}: was {} ({:g}), now {} ({:g}): {}\n", what,
                              ToString(recorded.verdict.status), recorded.verdict.score,
                              ToString(now.status), now.score, Dump(json(now.reason)));
  };
  if (sample.found.text == was.text) {
    line("the text", verdict->regenerated);
  } else {
    line("the recorded text", verdict->recorded_text);
    line("the regenerated text", verdict->regenerated);
  }
  return text;
}

absl::StatusOr<std::vector<Rejudged>> Rejudge(const RunConfig& config, RunStore& store,
                                              const std::vector<ReplayedSample>& samples,
                                              Console& console) {
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<Verifier> verifier,
      StartConfiguredVerifier(config, [&](const std::string& event) { console.Warn(event); }));
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> recorded, store.GetInfo("verifier"));
  const VerifierDescription description = verifier->Describe();
  console.Say(fmt::format("was judged by {}; now by {} {}", recorded.value_or("an older program"),
                          description.name, description.version));
  std::vector<VerifyItem> items;
  for (const ReplayedSample& sample : samples) {
    items.push_back({sample.recorded.task, sample.found.text});
    items.push_back({sample.recorded.task, sample.recorded.completion.text});
  }
  const JudgeOptions judge = MakeJudgeOptions(config);
  PONDER_ASSIGN_OR_RETURN(
      std::vector<Verdict> verdicts,
      JudgeItems(*verifier, items,
                 {.deadline = judge.deadline * static_cast<int64_t>(kJudgedAtOnce),
                  .max_retries = judge.max_retries}));
  std::vector<Rejudged> judged;
  for (size_t i = 0; i < samples.size(); ++i)
    judged.push_back({std::move(verdicts[2 * i]), std::move(verdicts[2 * i + 1])});
  return judged;
}

// OK where all is as it was recorded; says how much was looked at.
absl::Status Conclude(const std::vector<ReplayedSample>& samples,
                      const std::vector<Rejudged>& verdicts, const std::string& learning,
                      Console& console) {
  size_t different = 0, other_verdicts = 0, tokens = 0;
  std::set<int64_t> steps;
  for (size_t i = 0; i < samples.size(); ++i) {
    different += samples[i].difference.has_value();
    tokens += samples[i].found.token_ids.size();
    steps.insert(samples[i].recorded.step);
    if (verdicts.empty()) continue;
    const Verdict& was = samples[i].recorded.verdict;
    other_verdicts +=
        !SameVerdict(was, verdicts[i].regenerated) || !SameVerdict(was, verdicts[i].recorded_text);
  }
  if (different > 0) {
    return DataLoss("{} of {} samples {} not what the run recorded", different, samples.size(),
                    different == 1 ? "is" : "are");
  }
  console.Say(
      fmt::format("{} sample{} of {} step{}: the same, token for token and log-prob for "
                  "log-prob ({} tokens)",
                  samples.size(), samples.size() == 1 ? "" : "s", steps.size(),
                  steps.size() == 1 ? "" : "s", tokens));
  if (other_verdicts > 0) {
    return DataLoss("{} of {} samples {} judged otherwise than recorded", other_verdicts,
                    samples.size(), other_verdicts == 1 ? "is" : "are");
  }
  if (!learning.empty()) return DataLoss("the samples are the same, but {}", learning);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunReplay(const ReplayCommand& command) {
  const std::string store_path = command.run + "/run.db";
  const std::string config_path = command.run + "/config.toml";
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunStore> store,
                          RunStore::Open(store_path, RunStore::Mode::kRead));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader, RunReader::Open(store_path));
  absl::StatusOr<std::vector<RunSettings>> read = ReadSettings(*store, config_path);
  if (!read.ok()) {
    return Annotate(read.status(), fmt::format("{} holds no run that can be read", command.run));
  }
  std::vector<RunSettings>& settings = *read;
  for (RunSettings& one : settings) {
    if (!command.model.empty()) one.config.model.directory = command.model;
    one.config.rollout.listen.clear();  // samples are generated in this process
  }
  const RunConfig& config = settings.back().config;
  std::vector<int64_t> ids = command.samples;
  if (command.random > 0) {
    PONDER_ASSIGN_OR_RETURN(ids, DrawSamples(*reader, command.phase, command.random, command.seed));
  }
  std::vector<StoredCompletion> samples;
  for (const int64_t id : std::set<int64_t>(ids.begin(), ids.end())) {
    PONDER_ASSIGN_OR_RETURN(StoredCompletion sample, store->ReadCompletion(id));
    samples.push_back(std::move(sample));
  }

  const std::unique_ptr<Console> console = CreateConsole(stderr, "");
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> numerics, store->GetInfo("numerics"));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<kernels::Backend> backend,
                          MatchBackend(numerics.value_or(""), command.threads));
  std::string other_numerics, other_workers;
  if (backend->Info().fingerprint != numerics) {
    other_numerics = fmt::format("the run's numerics are {}, this machine's and build's are {}",
                                 numerics.value_or("not recorded"), backend->Info().fingerprint);
    console->Warn(other_numerics + ": log-probs will differ in their last digits, tokens may");
  }
  PONDER_ASSIGN_OR_RETURN(const std::vector<EventRecord> events, store->ReadEvents());
  const bool mixed = std::ranges::any_of(
      events, [](const EventRecord& event) { return event.kind == "numerics_differ"; });
  if (mixed) {
    other_workers = "a worker's numerics were not the learner's, and which worker is not recorded";
    console->Warn(other_workers + ": its samples will differ");
  }

  PONDER_ASSIGN_OR_RETURN(const ModelConfig model, LoadModelConfig(config.model.directory));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          LoadTokenizer(config.model.directory));
  PONDER_RETURN_IF_ERROR(CheckRunMemory(config, model));
  PONDER_ASSIGN_OR_RETURN(RunTimeline timeline, ReadTimeline(*reader));
  const auto prompts = [&](const RunConfig& of) {
    return MakePromptBuilder(of, model, *tokenizer);
  };
  Relearner relearner(
      {.run = command.run,
       .store = store.get(),
       .timeline = timeline,
       .settings = settings,
       .create_trainer = [&](const RunConfig& of) -> absl::StatusOr<std::unique_ptr<Trainer>> {
         PONDER_ASSIGN_OR_RETURN(const TrainerOptions options, ToTrainerOptions(of));
         return CreateTrainer(*backend, options);
       },
       .read_examples = [&](const RunConfig& of) -> absl::StatusOr<std::vector<SftExample>> {
         PONDER_ASSIGN_OR_RETURN(const PromptBuilder builder, prompts(of));
         return ColdStartExamples(of, builder);
       }});
  std::map<RunPoint, double> learn_s;
  for (const std::string phase : {"sft", "train"}) {
    PONDER_ASSIGN_OR_RETURN(const MetricTable table, reader->Metrics(phase, -1, {"time/learn_s"}));
    for (const auto& [name, values] : table.values) {
      for (size_t i = 0; i < values.size(); ++i)
        learn_s[timeline.Of({phase == "sft" ? "sft" : "step", table.steps[i]})] = values[i];
    }
  }
  WatchInterrupts();
  Report report(command, *tokenizer);
  PONDER_RETURN_IF_ERROR(
      ReplaySamples({.relearner = &relearner,
                     .timeline = &timeline,
                     .backend = backend.get(),
                     .tokenizer = tokenizer.get(),
                     .console = console.get(),
                     .checkpoints = ListCheckpoints(command.run),
                     .sampling = [&](const RunConfig& of) -> absl::StatusOr<SamplingParams> {
                       PONDER_ASSIGN_OR_RETURN(const PromptBuilder builder, prompts(of));
                       return ToSamplingParams(of, builder.StopIds());
                     },
                     .learn_s = [&](RunPoint point) { return learn_s[point]; },
                     .other_numerics = other_numerics,
                     .other_workers = other_workers,
                     .cancelled = Interrupted},
                    std::move(samples), [&](ReplayedSample sample) {
                      if (!command.verify) report.Print(sample, nullptr);
                      report.Add(std::move(sample));
                      return absl::OkStatus();
                    }));
  std::vector<Rejudged> verdicts;
  if (command.verify) {
    PONDER_ASSIGN_OR_RETURN(verdicts, Rejudge(config, *store, report.Samples(), *console));
    for (size_t i = 0; i < verdicts.size(); ++i) report.Print(report.Samples()[i], &verdicts[i]);
  }
  return Conclude(report.Samples(), verdicts, relearner.Difference(), *console);
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
