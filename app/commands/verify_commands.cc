// verify: judge JSON lines, or a run's completions anew; verifier: serve a verifier over gRPC.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/commands/command.h"
#include "app/commands/rescore_command.h"
#include "app/commands/verifier_choice.h"
#include "verifiers/item_json.h"
#include "verifiers/service/verifier_service.h"

namespace ponder {
namespace {

using nlohmann::json;

// Enough for every slot of a verifier that judges several at once, and for a gRPC call.
constexpr size_t kBatch = 256;

struct VerifyOptions {
  VerifierChoice choice;
  RescoreCommand rescore;
  double deadline_s = 10;
};

struct ServeOptions {
  VerifierChoice choice;
  std::string listen = "127.0.0.1:5001";
  bool until_input_closes = false;
};

// Counts and times of verdicts, for the summary.
class Summary {
 public:
  void Add(const Verdict& verdict) {
    ++counts_[ToString(verdict.status)];
    elapsed_us_.push_back(verdict.elapsed_us);
  }
  // "12 CORRECT, 3 WRONG, p50 9 us, p99 120 us, 4100 checks/s"
  std::string Text() {
    if (elapsed_us_.empty()) return "no checks";
    std::sort(elapsed_us_.begin(), elapsed_us_.end());
    std::string text;
    for (const auto& [status, count] : counts_) text += fmt::format("{} {}, ", count, status);
    return text + fmt::format("p50 {} us, p99 {} us, {:.0f} checks/s",
                              elapsed_us_[elapsed_us_.size() / 2],
                              elapsed_us_[elapsed_us_.size() * 99 / 100],
                              elapsed_us_.size() / absl::ToDoubleSeconds(absl::Now() - started_));
  }

 private:
  const absl::Time started_ = absl::Now();
  std::map<std::string_view, int64_t> counts_;
  std::vector<int64_t> elapsed_us_;
};

absl::Status RunVerify(const VerifyOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Verifier> verifier, MakeVerifier(options.choice, "math"));
  const std::string& name = options.choice.name;
  const std::string default_kind = name.empty() || name == "auto" ? "math" : name;
  Summary summary;
  const absl::Status status =
      ForEachInputBatch(kBatch, [&](std::span<const InputLine> lines) -> absl::Status {
        std::vector<VerifyItem> items;
        std::vector<json> ids;
        absl::Status broken;  // said once the lines before it are answered
        for (const InputLine& line : lines) {
          const json value = ParseJson(line.text);
          absl::StatusOr<VerifyItem> item = ItemFromJson(value, line.text, default_kind);
          if (!item.ok()) {
            broken = Annotate(item.status(), fmt::format("line {} of standard input", line.number));
            break;
          }
          items.push_back(*std::move(item));
          ids.push_back(value.contains("id") ? value["id"] : json(line.number));
        }
        const absl::Duration limit =
            absl::Seconds(options.deadline_s) * static_cast<double>(items.size());
        PONDER_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                                verifier->Verify(items, absl::Now() + limit));
        for (size_t i = 0; i < verdicts.size(); ++i) {
          json out = ToJson(verdicts[i]);
          out["id"] = std::move(ids[i]);
          std::cout << Dump(out) << '\n';
          summary.Add(verdicts[i]);
        }
        std::cout << std::flush;
        return broken;
      });
  fmt::print(stderr, "{}\n", summary.Text());
  return status;
}

// True once standard input has ended: the process that started this one is gone.
bool InputClosed() {
  struct pollfd event = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&event, 1, 200) <= 0) return false;
  char bytes[256];
  return read(STDIN_FILENO, bytes, sizeof(bytes)) == 0;
}

absl::Status RunVerifier(const ServeOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Verifier> verifier, MakeVerifier(options.choice, "auto"));
  WatchInterrupts();
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<VerifierServer> server,
                          VerifierServer::Start(*verifier, options.listen));
  const std::string host = options.listen.substr(0, options.listen.rfind(':'));
  fmt::print("listening on {}:{}\n", host, server->Port());
  std::fflush(stdout);
  while (!Interrupted()) {
    if (options.until_input_closes) {
      if (InputClosed()) break;
    } else {
      poll(nullptr, 0, 200);
    }
  }
  server->Shutdown();
  return absl::OkStatus();
}

}  // namespace

void AddVerifyCommands(CommandLine& line) {
  auto verify = std::make_shared<VerifyOptions>();
  CLI::App* command = AddCommand(
      line.app, "verify",
      R"(Judge JSON lines {"id","gold","completion"} or {"id","task","completion"}, or a run anew)",
      R"(echo '{"id":1,"gold":"5","completion":"so \\boxed{5}"}' | ponder verify --verifier math)"
      "\n  ponder verify --on runs/first --verifier math --set extraction=anywhere");
  AddVerifierOptions(*command, "--verifier", verify->choice);
  command->add_option("--address", verify->choice.address, "a gRPC service instead, HOST:PORT");
  command->add_option("--deadline-s", verify->deadline_s, "longest time for an item")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  CLI::Option* const on =
      command->add_option("--on", verify->rescore.run,
                          "judge this run's recorded completions anew: where verdicts differ, and "
                          "the reward curve as it would have been; by the run's own verifiers "
                          "where none is named");
  command->add_option("--phase", verify->rescore.phase, "of the run")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "eval/train", "eval/untrained"}))
      ->needs(on);
  command->add_option("--disputed", verify->rescore.disputed, "samples to list")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->needs(on);
  command->add_option("--curve", verify->rescore.curve, "draw both reward curves into this SVG")
      ->needs(on);
  command->add_flag("--json", verify->rescore.as_json, "JSON lines (without --on they always are)");
  command->callback([&line, verify] {
    line.chosen = [verify] {
      verify->rescore.deadline_s = verify->deadline_s;
      return verify->rescore.run.empty() ? RunVerify(*verify)
                                         : RunRescore(verify->rescore, verify->choice);
    };
  });

  auto serve = std::make_shared<ServeOptions>();
  command = AddCommand(line.app, "verifier", "Serve a verifier over gRPC",
                       "ponder verifier --name math --listen 127.0.0.1:5001");
  AddVerifierOptions(*command, "--name", serve->choice);
  command->add_option("--listen", serve->listen, "address; port 0 takes a free one")
      ->capture_default_str();
  command->add_flag("--until-input-closes", serve->until_input_closes,
                    "end when standard input closes: for a process that starts this one");
  command->callback([&line, serve] { line.chosen = [serve] { return RunVerifier(*serve); }; });
}

}  // namespace ponder
