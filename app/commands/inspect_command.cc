// inspect: samples of a run in the terminal.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <optional>

#include "app/commands/command.h"
#include "app/config.h"
#include "app/run_catalog.h"
#include "app/run_export.h"
#include "app/sample_text.h"
#include "app/training.h"
#include "model/tokenizer.h"
#include "observe/terminal_text.h"
#include "verifiers/combined_verifier.h"

namespace ponder {
namespace {

constexpr absl::Duration kSearchTime = absl::Seconds(30);

struct InspectOptions {
  std::string run;
  std::string phase = "train";
  std::optional<int64_t> step;
  std::optional<int64_t> sample;
  std::string task;
  std::string status;
  bool worst = false, best = false, disputed = false;
  bool prompt = false;
  int64_t count = 3;
  std::string colour = "auto";
  bool as_json = false;

  bool Selects() const { return worst || best || disputed || !task.empty() || !status.empty(); }
};

const std::vector<VerdictStatus>& Statuses() {
  static const auto* const statuses = new std::vector<VerdictStatus>{
      VerdictStatus::kCorrect,     VerdictStatus::kWrong,       VerdictStatus::kNoAnswer,
      VerdictStatus::kUnparseable, VerdictStatus::kInvalidGold, VerdictStatus::kTimeout,
      VerdictStatus::kInternal};
  return *statuses;
}

std::vector<std::string> StatusNames() {
  std::vector<std::string> names;
  for (const VerdictStatus status : Statuses()) names.emplace_back(ToString(status));
  return names;
}

// The step to look at: the one asked for if the run has it, else the last.
absl::StatusOr<int64_t> ChooseStep(const std::vector<StepInfo>& steps, const std::string& phase,
                                   std::optional<int64_t> asked) {
  PONDER_RETURN_IF_ERROR(CheckPhase(steps, phase));
  int64_t first = INT64_MAX, last = INT64_MIN;
  for (const StepInfo& step : steps) {
    if (step.phase != phase) continue;
    if (asked == step.step) return *asked;
    first = std::min(first, step.step);
    last = std::max(last, step.step);
  }
  if (!asked.has_value()) return last;
  return NotFound("phase '{}' has no step {}; it has steps {} to {}", phase, *asked, first, last);
}

// "step 7 of train: 16 groups, 128 samples, 55 right, mean reward 0.46"
std::string DescribeGroups(const std::string& phase, int64_t step,
                           const std::vector<GroupSummary>& groups) {
  int64_t samples = 0, right = 0, useful = 0;
  double reward = 0;
  for (const GroupSummary& group : groups) {
    bool differ = false;
    for (const SampleSummary& sample : group.samples) {
      ++samples;
      right += sample.status == VerdictStatus::kCorrect;
      reward += sample.reward;
      differ |= sample.reward != group.samples[0].reward;
    }
    useful += differ;
  }
  return fmt::format(
      "step {} of {}: {} groups, {} with signal; {} samples, {} right, mean reward {:.2f}", step,
      OneLine(phase), groups.size(), useful, samples, right,
      samples == 0 ? 0 : reward / static_cast<double>(samples));
}

absl::StatusOr<SampleList> Choose(RunReader& reader, const InspectOptions& options,
                                  std::optional<int64_t> step) {
  SampleFilter filter{
      .phase = options.phase, .first_step = step, .last_step = step, .task_id = options.task};
  if (!options.status.empty()) {
    const std::vector<std::string> names = StatusNames();
    filter.status = Statuses()[std::ranges::find(names, options.status) - names.begin()];
  }
  if (options.disputed) {
    filter.marked_part_prefix = kAuditPrefix;
    filter.marked_part_suffix = kAuditDisputedSuffix;
  }
  const SampleOrder order = options.worst  ? SampleOrder::kRewardUp
                            : options.best ? SampleOrder::kRewardDown
                                           : SampleOrder::kStep;
  return reader.FindSamples(filter, order, 0, options.count, kSearchTime);
}

// One sample of each of `count` groups, spread over the step; then a second of each, and so on.
std::vector<int64_t> Spread(const std::vector<GroupSummary>& groups, int64_t count) {
  std::vector<int64_t> chosen;
  const int64_t size = std::ssize(groups);
  const int64_t shown = std::min(count, size);
  bool more = true;
  for (int64_t round = 0; more; ++round) {
    more = false;
    for (int64_t i = 0; i < shown && std::ssize(chosen) < count; ++i) {
      const std::vector<SampleSummary>& samples = groups[i * size / shown].samples;
      if (round >= std::ssize(samples)) continue;
      chosen.push_back(samples[(i + round) % samples.size()].sample);
      more = true;
    }
  }
  return chosen;
}

// The store's, or where it has none that of the run's model; empty where neither is there.
std::vector<std::string> VocabularyOf(RunReader& reader, const std::string& run) {
  absl::StatusOr<std::vector<std::string>> stored = reader.Vocabulary();
  if (stored.ok() && !stored->empty()) return *std::move(stored);
  const absl::StatusOr<RunConfig> config = LoadConfig(run + "/config.toml");
  if (!config.ok()) return {};
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      LoadTokenizer(config->model.directory);
  return tokenizer.ok() ? Vocabulary(**tokenizer) : std::vector<std::string>();
}

// Why nothing was found, in words that help.
absl::Status NothingFound(const InspectOptions& options, std::optional<int64_t> step) {
  const std::string where = step.has_value() ? fmt::format("step {} of {}", *step, options.phase)
                                             : fmt::format("phase {}", options.phase);
  if (options.disputed) {
    return NotFound(
        "{} has no disputed samples: an audit ([verifiers.NAME] with role \"audit\") "
        "disputes verdicts",
        where);
  }
  if (!options.task.empty()) {
    return NotFound("{} has no sample of task '{}'; `ponder inspect {} --json` names tasks", where,
                    options.task, options.run);
  }
  if (!options.status.empty()) {
    return NotFound("{} has no sample with status {}", where, options.status);
  }
  return NotFound("{} has no samples", where);
}

absl::Status RunInspect(const InspectOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader, OpenRun(options.run));
  std::vector<int64_t> chosen;
  std::string head, foot;
  if (options.sample.has_value()) {
    chosen = {*options.sample};
  } else {
    PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> steps, reader->Steps());
    PONDER_ASSIGN_OR_RETURN(const int64_t last, ChooseStep(steps, options.phase, options.step));
    // A task and disputes are looked for in the whole run where no step is named.
    const bool whole = !options.step.has_value() && (!options.task.empty() || options.disputed);
    const std::optional<int64_t> step = whole ? std::nullopt : std::optional(last);
    std::vector<GroupSummary> groups;
    if (step.has_value()) {
      PONDER_ASSIGN_OR_RETURN(groups, reader->Groups(options.phase, *step));
      head = DescribeGroups(options.phase, *step, groups) + "\n\n";
    }
    if (options.Selects()) {
      PONDER_ASSIGN_OR_RETURN(const SampleList list, Choose(*reader, options, step));
      for (const SampleSummary& sample : list.samples) chosen.push_back(sample.sample);
      if (list.more) {
        foot = fmt::format("there are more; --count shows more than {}\n", chosen.size());
      }
      if (list.cut_short) foot = "the search took too long: there may be others\n";
    } else {
      chosen = Spread(groups, options.count);
      foot = "other samples: --worst, --best, --status, --task, --sample, --step\n";
    }
    if (chosen.empty()) return NothingFound(options, step);
  }
  const bool colours =
      options.colour == "always" || (options.colour == "auto" && WantsColour(stdout));
  std::vector<std::string> vocabulary;  // of a JSON line's tokens only the ids are told
  if (!options.as_json) vocabulary = VocabularyOf(*reader, options.run);
  const SampleTextOptions look{.columns = SizeOfTerminal(stdout).columns,
                               .colours = colours,
                               .prompt = options.prompt,
                               .vocabulary = &vocabulary};
  if (!options.as_json) fmt::print("{}", head);
  for (size_t i = 0; i < chosen.size(); ++i) {
    PONDER_ASSIGN_OR_RETURN(const StoredCompletion stored,
                            ReadSample(*reader, options.run, chosen[i]));
    if (options.as_json) {
      std::cout << CompletionJson(stored, /*tokens=*/true) << '\n';
    } else {
      fmt::print("{}{}", i == 0 ? "" : "\n", SampleText(stored, look));
    }
  }
  if (options.as_json) return absl::OkStatus();
  if (const std::string legend = ColourLegend(look); !legend.empty()) fmt::print("\n{}", legend);
  if (!foot.empty()) fmt::print("\n{}", foot);
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CommandLine& line) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      AddCommand(line.app, "inspect", "Samples of a run: text, verdict, reward, log-probs",
                 "ponder inspect runs/first --worst --count 5\n"
                 "  ponder inspect runs/first --step 12 --status WRONG");
  command->add_option("run", options->run, "the run's folder")->required();
  command->add_option("--step", options->step, "the step; the last one unless given");
  command->add_option("--phase", options->phase, "train, sft, eval/train or eval/untrained")
      ->capture_default_str();
  CLI::Option* const sample = command->add_option("--sample", options->sample, "this sample alone");
  command->add_option("--task", options->task, "samples of this task, in all steps unless --step")
      ->excludes(sample);
  command->add_option("--status", options->status, "samples with this verdict")
      ->transform(CLI::IsMember(StatusNames(), CLI::ignore_case))
      ->excludes(sample);
  CLI::Option* const worst = command->add_flag("--worst", options->worst, "least reward first");
  CLI::Option* const best = command->add_flag("--best", options->best, "greatest reward first");
  worst->excludes(best)->excludes(sample);
  best->excludes(sample);
  command
      ->add_flag("--disputed", options->disputed,
                 "whose verdict an audit disputes, in all steps unless --step")
      ->excludes(sample);
  command->add_option("--count", options->count, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--prompt", options->prompt, "the prompt as the model saw it");
  command->add_option("--color", options->colour, "tokens by probability: auto, always or never")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "always", "never"}));
  command->add_flag("--json", options->as_json, "a JSON line a sample, with token arrays");
  command->callback([&line, options] { line.chosen = [options] { return RunInspect(*options); }; });
}

}  // namespace ponder
