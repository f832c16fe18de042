#include "app/commands/rescore_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "app/config.h"
#include "app/config_convert.h"
#include "app/evaluate.h"
#include "app/rescore.h"
#include "app/verifier_start.h"
#include "observe/console.h"
#include "observe/curve_svg.h"
#include "observe/terminal_text.h"
#include "verifiers/item_json.h"

namespace ponder {
namespace {

using nlohmann::json;

// Rows of verdicts as they were, columns as they are now; only statuses that occur.
std::string AgreementTable(const Rescored& rescored) {
  std::set<VerdictStatus> rows, columns;
  for (const auto& [pair, count] : rescored.table) {
    rows.insert(pair.first);
    columns.insert(pair.second);
  }
  std::string text = fmt::format("  {:<14}", "was \\ now");
  for (const VerdictStatus now : columns) text += fmt::format("{:>14}", ToString(now));
  text += "\n";
  for (const VerdictStatus was : rows) {
    text += fmt::format("  {:<14}", ToString(was));
    for (const VerdictStatus now : columns) {
      const auto found = rescored.table.find({was, now});
      text += fmt::format("{:>14}", found == rescored.table.end() ? 0 : found->second);
    }
    text += "\n";
  }
  return text;
}

void PrintText(const Rescored& rescored, const RescoreCommand& command) {
  const Share agreement = WilsonShare(rescored.agreed, rescored.judged);
  fmt::print("{} completions judged anew, {} without a verdict\n", rescored.judged,
             rescored.unjudged);
  fmt::print("right or not: the same for {:.2f} %  [{:.2f}, {:.2f}]  (95 % interval)\n",
             100 * agreement.value, 100 * agreement.low, 100 * agreement.high);
  fmt::print("{}", AgreementTable(rescored));
  const auto shown = std::min<int64_t>(command.disputed, rescored.disputed_count);
  if (rescored.disputed_count > 0) {
    fmt::print("disputed: {}{}\n", rescored.disputed_count,
               shown < rescored.disputed_count ? fmt::format(", the first {}", shown) : "");
  }
  for (int64_t i = 0; i < std::min<int64_t>(shown, rescored.disputed.size()); ++i) {
    const Disputed& one = rescored.disputed[i];
    fmt::print("  sample {}, step {}, task {}, gold {}\n", one.sample, one.step,
               Shorten(OneLine(one.task_id), 40), Shorten(OneLine(one.gold), 60));
    for (const auto& [when, verdict] : {std::pair("was", &one.was), std::pair("now", &one.now)}) {
      fmt::print("    {} {:<12} {}  ({})\n", when, ToString(verdict->status),
                 Shorten(OneLine(verdict->extracted), 60), Shorten(OneLine(verdict->reason), 120));
    }
  }
  fmt::print("{:>6} {:>8} {:>12} {:>12} {:>13} {:>13}\n", "step", "judged", "reward was",
             "would be", "correct was", "would be");
  for (const RescoredStep& step : rescored.steps) {
    fmt::print("{:>6} {:>8} {:>12.4f} {:>12.4f} {:>13.4f} {:>13.4f}\n", step.step, step.completions,
               step.reward_was, step.reward_now, step.correct_was, step.correct_now);
  }
}

void PrintJson(const Rescored& rescored) {
  json table = json::array();
  for (const auto& [pair, count] : rescored.table) {
    table.push_back(
        {{"was", ToString(pair.first)}, {"now", ToString(pair.second)}, {"count", count}});
  }
  std::cout << Dump({{"kind", "agreement"},
                     {"judged", rescored.judged},
                     {"agreed", rescored.agreed},
                     {"disputed", rescored.disputed_count},
                     {"unjudged", rescored.unjudged},
                     {"table", std::move(table)}})
            << '\n';
  for (const Disputed& one : rescored.disputed) {
    std::cout << Dump({{"kind", "disputed"},
                       {"sample", one.sample},
                       {"step", one.step},
                       {"task", one.task_id},
                       {"gold", one.gold},
                       {"was", ToJson(one.was)},
                       {"now", ToJson(one.now)}})
              << '\n';
  }
  for (const RescoredStep& step : rescored.steps) {
    std::cout << Dump({{"kind", "step"},
                       {"step", step.step},
                       {"completions", step.completions},
                       {"reward_was", step.reward_was},
                       {"reward_now", step.reward_now},
                       {"correct_was", step.correct_was},
                       {"correct_now", step.correct_now}})
              << '\n';
  }
  std::cout << std::flush;
}

absl::Status DrawCurves(const Rescored& rescored, const std::string& path) {
  Curve was{.label = "reward as it was"}, now{.label = "as it would have been"};
  for (const RescoredStep& step : rescored.steps) {
    was.points.push_back({static_cast<double>(step.step), step.reward_was});
    now.points.push_back({static_cast<double>(step.step), step.reward_now});
  }
  return WriteCurveSvg(
      path, {.title = "Reward by step, judged anew", .curves = {std::move(was), std::move(now)}});
}

}  // namespace

absl::Status RunRescore(const RescoreCommand& command, const VerifierChoice& choice) {
  absl::StatusOr<RunConfig> config = LoadConfig(command.run + "/config.toml");
  if (!config.ok()) {
    return Annotate(config.status(), fmt::format("{} holds no run that can be read", command.run));
  }
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RunStore> store,
                          RunStore::Open(command.run + "/run.db", RunStore::Mode::kRead));
  const std::unique_ptr<Console> console = CreateConsole(stderr, "");
  std::unique_ptr<Verifier> verifier;
  if (choice.Given()) {
    PONDER_ASSIGN_OR_RETURN(verifier, MakeVerifier(choice, ""));
  } else if (!choice.settings.empty()) {
    return InvalidArgument("--set is for a verifier that --verifier names");
  } else {
    PONDER_ASSIGN_OR_RETURN(
        verifier,
        StartConfiguredVerifier(*config, [&](const std::string& event) { console->Warn(event); }));
  }
  PONDER_ASSIGN_OR_RETURN(const std::optional<std::string> recorded, store->GetInfo("verifier"));
  const VerifierDescription description = verifier->Describe();
  console->Say(fmt::format("was judged by {}; now by {} {}", recorded.value_or("an older program"),
                           description.name, description.version));
  const absl::StatusOr<Rescored> rescored =
      RescoreRun(*store, *verifier,
                 {.phase = command.phase,
                  .deadline = absl::Seconds(command.deadline_s) * 256,
                  .reward = ToRewardSettings(*config)},
                 [&](int64_t done, int64_t total) { console->Progress("judge", done, total); });
  console->Progress("", 0, 0);
  PONDER_RETURN_IF_ERROR(rescored.status());
  if (command.as_json) {
    PrintJson(*rescored);
  } else {
    PrintText(*rescored, command);
  }
  if (command.curve.empty()) return absl::OkStatus();
  PONDER_RETURN_IF_ERROR(DrawCurves(*rescored, command.curve));
  console->Say(fmt::format("curves: {}", command.curve));
  return absl::OkStatus();
}

}  // namespace ponder
