// runs: list runs, compare two, export one.
#include <absl/time/clock.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <iostream>

#include "app/commands/command.h"
#include "app/run_catalog.h"
#include "app/run_compare.h"
#include "app/run_export.h"
#include "base/file.h"
#include "base/nearest_name.h"
#include "observe/run_folders.h"
#include "observe/terminal_text.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

using nlohmann::json;

struct ListOptions {
  std::vector<std::string> folders;
  bool as_json = false;
};

struct CompareOptions {
  std::string a, b;
  bool all = false;
  bool as_json = false;
};

struct ExportOptions {
  std::string run;
  std::string out;
  std::string format;
  std::string rows = "metrics";
  bool tokens = false;
};

json Number(double value) { return std::isfinite(value) ? json(value) : json(); }

json ShareJson(const std::optional<StoredShare>& share) {
  if (!share.has_value()) return {};
  return {
      {"value", Number(share->value)}, {"low", Number(share->low)}, {"high", Number(share->high)}};
}

std::string ShareText(const std::optional<StoredShare>& share) {
  if (!share.has_value()) return "";
  if (std::isnan(share->low)) return fmt::format("{:.1f} %", 100 * share->value);
  return fmt::format("{:.1f} % [{:.0f}, {:.0f}]", 100 * share->value, 100 * share->low,
                     100 * share->high);
}

std::string NumberText(double value) {
  return std::isnan(value) ? std::string("-") : fmt::format("{:.4g}", value);
}

// Columns beside each other, each as wide as its widest cell; the last may run on.
class Table {
 public:
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void Print(const std::string& indent) const {
    std::vector<int64_t> widths;
    for (const std::vector<std::string>& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], TextColumns(row[i]));
    }
    for (const std::vector<std::string>& row : rows_) {
      std::string line = indent;
      for (size_t i = 0; i < row.size(); ++i) {
        line += row[i];
        if (i + 1 < row.size()) line.append(widths[i] + 2 - TextColumns(row[i]), ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      fmt::print("{}\n", line);
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

json SummaryJson(const RunSummary& run, absl::Time now) {
  json out = {
      {"run", run.path},
      {"status", run.status},
      {"activity", run.activity},
      {"step", run.step},
      {"steps", run.steps},
      {"reward", run.rewards.empty() ? json() : Number(run.rewards.back())},
      {"accuracy", ShareJson(run.accuracy)},
      {"accuracy_step", run.accuracy.has_value() ? json(run.accuracy_step) : json()},
      {"age_s",
       run.written_at.has_value() ? json(absl::ToDoubleSeconds(now - *run.written_at)) : json()},
      {"bytes", run.bytes}};
  out["rewards"] = json::array();
  for (const double reward : run.rewards) out["rewards"].push_back(Number(reward));
  if (!run.fault.empty()) out["fault"] = run.fault;
  return out;
}

// A mistyped command is taken for a folder.
void CheckFolders(const std::vector<std::string>& folders) {
  std::error_code ignored;
  for (const std::string& folder : folders) {
    const std::string word = NearestName(folder, std::vector<std::string>{"compare", "export"});
    if (!IsNear(folder, word) || std::filesystem::exists(folder, ignored)) continue;
    throw CLI::ValidationError(
        fmt::format("{} is no folder; did you mean `ponder runs {}`?", folder, word));
  }
}

void CheckExport(const ExportOptions& options) {
  if (options.out.empty() == options.format.empty()) {
    throw CLI::ValidationError(
        "expected either --out, a folder for everything, or --format csv or jsonl for standard "
        "output");
  }
  if (options.format == "csv" && options.rows != "metrics") {
    throw CLI::ValidationError(
        fmt::format("expected --format jsonl for {}: csv is for metrics", options.rows));
  }
}

absl::Status RunList(const ListOptions& options) {
  const bool usual = options.folders.empty();
  const std::vector<std::string> folders =
      usual ? std::vector<std::string>{"runs"} : options.folders;
  const absl::Time now = absl::Now();
  std::vector<RunSummary> runs;
  for (const std::string& folder : folders) {
    const std::vector<std::string> found = RunsIn(folder);
    if (found.empty() && !usual) {
      std::error_code ignored;
      if (!std::filesystem::is_directory(folder, ignored)) return OpenRun(folder).status();
      fmt::print(stderr, "{} holds no runs\n", folder);
    }
    for (const std::string& path : found) runs.push_back(SummarizeRun(path));
  }
  if (options.as_json) {
    for (const RunSummary& run : runs) std::cout << Dump(SummaryJson(run, now)) << '\n';
    return absl::OkStatus();
  }
  if (runs.empty()) {
    if (usual) {
      fmt::print(
          "no runs under runs/ yet; begin one: ponder train CONFIG, or name their folder: "
          "ponder runs FOLDER\n");
    }
    return absl::OkStatus();
  }
  // What is beside the curve takes some 70 columns; the curve takes the rest.
  const int64_t columns = SizeOfTerminal(stdout).columns;
  size_t longest = 0;
  for (const RunSummary& run : runs) longest = std::max(longest, run.path.size());
  const int64_t names = std::clamp<int64_t>(static_cast<int64_t>(longest), 3, columns / 4);
  const int64_t cells = std::clamp<int64_t>(columns - names - 66, 8, 60);
  Table table;
  table.Row({"RUN", "STATUS", "STEP", "REWARD", "", "HELD OUT", "AGE", "SIZE"});
  for (const RunSummary& run : runs) {
    table.Row(
        {ShortenFront(WithoutControls(run.path), names), run.status,
         run.steps > 0 ? fmt::format("{}/{}", run.step, run.steps) : fmt::format("{}", run.step),
         Sparkline(run.rewards, cells),
         run.rewards.empty() ? "" : fmt::format("{:.2f}", run.rewards.back()),
         ShareText(run.accuracy),
         run.written_at.has_value() ? HumanDuration(absl::ToDoubleSeconds(now - *run.written_at))
                                    : "",
         HumanBytes(run.bytes)});
  }
  table.Print("");
  for (const RunSummary& run : runs) {
    if (!run.fault.empty()) fmt::print(stderr, "{}: {}\n", run.path, WithoutControls(run.fault));
  }
  return absl::OkStatus();
}

void PrintJson(const CompareOptions& options, const RunComparison& comparison) {
  std::cout << Dump({{"kind", "runs"},
                     {"a", {{"run", options.a}, {"step", comparison.a_step}}},
                     {"b", {{"run", options.b}, {"step", comparison.b_step}}},
                     {"equal_step", comparison.equal_step}})
            << '\n';
  for (const SettingDifference& setting : comparison.settings) {
    const auto value = [&](size_t i) {
      return setting.values[i] ? json(*setting.values[i]) : json();
    };
    std::cout << Dump({{"kind", "setting"}, {"key", setting.key}, {"a", value(0)}, {"b", value(1)}})
              << '\n';
  }
  for (const RunComparison::Metric& metric : comparison.metrics) {
    std::cout << Dump({{"kind", "metric"},
                       {"name", metric.name},
                       {"end", {{"a", Number(metric.a_end)}, {"b", Number(metric.b_end)}}},
                       {"equal", {{"a", Number(metric.a_equal)}, {"b", Number(metric.b_equal)}}}})
              << '\n';
  }
  for (const RunComparison::Evaluation& evaluation : comparison.evaluations) {
    std::cout << Dump({{"kind", "evaluation"},
                       {"phase", evaluation.phase},
                       {"step", evaluation.step},
                       {"metric", evaluation.metric},
                       {"a", ShareJson(evaluation.a)},
                       {"b", ShareJson(evaluation.b)}})
              << '\n';
  }
}

// The metrics that say whether a run does well; --all shows the others.
bool IsMain(const std::string& name) {
  for (const char* const main :
       {"reward/", "groups/useful", "length/mean", "length/truncated", "policy/entropy",
        "policy/kl", "optimizer/gradient_norm", "exactness/logprob_max_abs_diff", "dropped/total",
        "time/step_s"}) {
    if (name.starts_with(main) && name != "reward/std") return true;
  }
  return false;
}

absl::Status RunCompare(const CompareOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const RunComparison comparison, CompareRuns(options.a, options.b));
  if (options.as_json) {
    PrintJson(options, comparison);
    return absl::OkStatus();
  }
  const int64_t room = std::max<int64_t>(SizeOfTerminal(stdout).columns / 2 - 20, 12);
  fmt::print("A  {}  step {}\nB  {}  step {}\n", WithoutControls(options.a), comparison.a_step,
             WithoutControls(options.b), comparison.b_step);
  fmt::print("\nsettings that differ{}\n", comparison.settings.empty() ? ": none" : "");
  Table settings;
  if (!comparison.settings.empty()) settings.Row({"", "A", "B"});
  for (const SettingDifference& setting : comparison.settings) {
    const auto cell = [&](size_t i) {
      return Shorten(OneLine(setting.values[i].value_or("")), room);
    };
    settings.Row({setting.key, cell(0), cell(1)});
  }
  settings.Print("  ");
  fmt::print("\nmetrics, means of {} steps up to the one named\n", kComparedSteps);
  Table metrics;
  const bool equal = comparison.a_step != comparison.b_step;
  std::vector<std::string> head = {"", fmt::format("A {}", comparison.a_step),
                                   fmt::format("B {}", comparison.b_step)};
  if (equal) {
    head.push_back(fmt::format("A {}", comparison.equal_step));
    head.push_back(fmt::format("B {}", comparison.equal_step));
  }
  metrics.Row(std::move(head));
  for (const RunComparison::Metric& metric : comparison.metrics) {
    if (!options.all && !IsMain(metric.name)) continue;
    std::vector<std::string> row = {WithoutControls(metric.name), NumberText(metric.a_end),
                                    NumberText(metric.b_end)};
    if (equal) {
      row.push_back(NumberText(metric.a_equal));
      row.push_back(NumberText(metric.b_equal));
    }
    metrics.Row(std::move(row));
  }
  metrics.Print("  ");
  fmt::print("\nheld-out tasks, 95 % intervals{}\n",
             comparison.evaluations.empty() ? ": none" : "");
  Table evaluations;
  if (!comparison.evaluations.empty()) evaluations.Row({"", "", "A", "B"});
  for (const RunComparison::Evaluation& evaluation : comparison.evaluations) {
    evaluations.Row({evaluation.phase == "eval/untrained" ? "untrained"
                                                          : fmt::format("step {}", evaluation.step),
                     evaluation.metric == "eval/greedy_accuracy" ? "greedy" : "sampled",
                     ShareText(evaluation.a), ShareText(evaluation.b)});
  }
  evaluations.Print("  ");
  return absl::OkStatus();
}

absl::Status ExportTo(const std::string& path,
                      const std::function<absl::Status(const TextSink&)>& write) {
  PONDER_ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  PONDER_RETURN_IF_ERROR(write([&](std::string_view text) { return file.Append(text); }));
  PONDER_RETURN_IF_ERROR(file.Close());
  fmt::print("{}\n", path);
  return absl::OkStatus();
}

absl::Status RunExport(const ExportOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunReader> reader, OpenRun(options.run));
  const auto metrics_csv = [&](const TextSink& sink) { return ExportMetricsCsv(*reader, sink); };
  const auto metrics_json = [&](const TextSink& sink) { return ExportMetricsJson(*reader, sink); };
  const auto events = [&](const TextSink& sink) { return ExportEvents(*reader, sink); };
  const auto completions = [&](const TextSink& sink) {
    return ExportCompletions(*reader, options.tokens, sink);
  };
  if (!options.out.empty()) {
    PONDER_RETURN_IF_ERROR(MakeDirectories(options.out));
    PONDER_RETURN_IF_ERROR(ExportTo(options.out + "/metrics.csv", metrics_csv));
    PONDER_RETURN_IF_ERROR(ExportTo(options.out + "/metrics.jsonl", metrics_json));
    PONDER_RETURN_IF_ERROR(ExportTo(options.out + "/events.jsonl", events));
    return ExportTo(options.out + "/completions.jsonl", completions);
  }
  const TextSink print = [](std::string_view text) -> absl::Status {
    std::cout << text;
    if (!std::cout) return Unavailable("standard output was closed");
    return absl::OkStatus();
  };
  if (options.rows == "completions") return completions(print);
  if (options.rows == "events") return events(print);
  return options.format == "csv" ? metrics_csv(print) : metrics_json(print);
}

}  // namespace

void AddRunsCommands(CommandLine& line) {
  auto list = std::make_shared<ListOptions>();
  CLI::App* runs = AddCommand(line.app, "runs", "List runs; compare two; export one",
                              "ponder runs\n  ponder runs compare runs/first runs/second");
  // A folder called like one of these is reached by ./compare.
  runs->add_option("folders", list->folders, "runs, or folders of runs; runs/ where none is named");
  runs->add_flag("--json", list->as_json, "a JSON line a run");
  runs->require_subcommand(0, 1);
  runs->final_callback([&line, list] {
    if (line.chosen) return;
    CheckFolders(list->folders);
    line.chosen = [list] { return RunList(*list); };
  });

  auto compare = std::make_shared<CompareOptions>();
  CLI::App* command = AddCommand(
      *runs, "compare", "Settings that differ, metrics and evaluations of two runs side by side",
      "ponder runs compare runs/first runs/second");
  command->add_option("first", compare->a, "a run's folder")->required();
  command->add_option("second", compare->b, "another's")->required();
  command->add_flag("--all", compare->all, "every metric");
  command->add_flag("--json", compare->as_json, "JSON lines, every metric");
  command->callback([&line, compare] { line.chosen = [compare] { return RunCompare(*compare); }; });

  auto exported = std::make_shared<ExportOptions>();
  command = AddCommand(*runs, "export", "Metrics, events and completions for other programs",
                       "ponder runs export runs/first --out first-rows\n"
                       "  ponder runs export runs/first --format csv > metrics.csv");
  command->add_option("run", exported->run, "the run's folder")->required();
  command->add_option("--out", exported->out,
                      "a folder for metrics.csv, metrics.jsonl, events.jsonl, completions.jsonl");
  command->add_option("--format", exported->format, "to standard output: csv or jsonl")
      ->check(CLI::IsMember({"csv", "jsonl"}));
  command->add_option("--rows", exported->rows, "of --format: metrics, events or completions")
      ->capture_default_str()
      ->check(CLI::IsMember({"metrics", "events", "completions"}));
  command->add_flag("--tokens", exported->tokens,
                    "completions with token ids, log-probs, entropies and clips");
  command->callback([&line, exported] {
    CheckExport(*exported);
    line.chosen = [exported] { return RunExport(*exported); };
  });
}

}  // namespace ponder
