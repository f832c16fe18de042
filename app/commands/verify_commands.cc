// verify: judge JSON lines in this process; verifier: serve a verifier over gRPC.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/commands/command.h"
#include "verifiers/service/verifier_service.h"
#include "verifiers/verifier.h"

namespace ponder {
namespace {

using nlohmann::json;

struct VerifyOptions {
  std::string name = "math";
  std::string address;
  std::vector<std::string> settings;
  double deadline_s = 10;
  std::string listen = "127.0.0.1:5001";
  bool until_input_closes = false;
};

absl::StatusOr<VerifierSettings> ParseSettings(const std::vector<std::string>& settings) {
  VerifierSettings out;
  out.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    if (key == "extraction") {
      out.extraction = value;
    } else if (key == "decimal_places") {
      out.decimal_places = value;
    } else if (key == "percent") {
      out.percent = value;
    } else if (key == "units") {
      out.units = value;
    } else if (key == "allow_weak_sandbox" && (value == "true" || value == "false")) {
      out.allow_weak_sandbox = value == "true";
    } else {
      return InvalidArgument(
          "expected --set KEY=VALUE with extraction, decimal_places, percent, units or "
          "allow_weak_sandbox=true or false, found '{}'",
          setting);
    }
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Verifier>> MakeVerifier(const VerifyOptions& options) {
  if (!options.address.empty()) return ConnectVerifier({.address = options.address});
  PONDER_ASSIGN_OR_RETURN(const VerifierSettings settings, ParseSettings(options.settings));
  return CreateVerifier(options.name, settings);
}

std::string Field(const json& value, const char* name) {
  const auto found = value.find(name);
  if (found == value.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

absl::StatusOr<VerifyItem> ParseItem(const json& value, const std::string& default_kind,
                                     int64_t number) {
  if (!value.is_object() || !value.contains("completion") || !value["completion"].is_string() ||
      !(value.contains("gold") || value.contains("task"))) {
    return InvalidArgument(
        "line {} of standard input: expected {{\"id\",\"gold\",\"completion\"}} or "
        "{{\"id\",\"task\",\"completion\"}}",
        number);
  }
  VerifyItem item;
  item.completion = value["completion"].get<std::string>();
  item.task.kind = default_kind;
  if (value.contains("task") && value["task"].is_object()) {
    const json& task = value["task"];
    item.task.id = Field(task, "id");
    if (task.contains("kind")) item.task.kind = Field(task, "kind");
    item.task.question = Field(task, "question");
    item.task.gold = Field(task, "gold");
    item.task.data = Field(task, "data");
  } else {
    item.task.gold = Field(value, "gold");
  }
  return item;
}

absl::Status RunVerify(const VerifyOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Verifier> verifier, MakeVerifier(options));
  std::map<std::string, int64_t> counts;
  std::vector<int64_t> elapsed_us;
  const absl::Time started = absl::Now();
  PONDER_RETURN_IF_ERROR(
      ForEachInputLine([&](const std::string& line, int64_t number) -> absl::Status {
        const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
        PONDER_ASSIGN_OR_RETURN(
            const VerifyItem item,
            ParseItem(value, options.name == "auto" ? "math" : options.name, number));
        const absl::Time deadline = absl::Now() + absl::Seconds(options.deadline_s);
        PONDER_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                                verifier->Verify(std::span(&item, 1), deadline));
        const Verdict& verdict = verdicts[0];
        ++counts[std::string(ToString(verdict.status))];
        elapsed_us.push_back(verdict.elapsed_us);
        const json out = {{"id", value.contains("id") ? value["id"] : json(number)},
                          {"status", std::string(ToString(verdict.status))},
                          {"score", verdict.score},
                          {"parts", verdict.parts},
                          {"extracted", verdict.extracted},
                          {"reason", verdict.reason},
                          {"elapsed_us", verdict.elapsed_us}};
        std::cout << out.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
        return absl::OkStatus();
      }));
  std::cout << std::flush;
  if (elapsed_us.empty()) return absl::OkStatus();
  std::sort(elapsed_us.begin(), elapsed_us.end());
  std::string summary;
  for (const auto& [status, count] : counts) summary += fmt::format("{} {}, ", count, status);
  fmt::print(stderr, "{}p50 {} us, p99 {} us, {:.0f} checks/s\n", summary,
             elapsed_us[elapsed_us.size() / 2], elapsed_us[elapsed_us.size() * 99 / 100],
             elapsed_us.size() / absl::ToDoubleSeconds(absl::Now() - started));
  return absl::OkStatus();
}

// True once standard input has ended: the process that started this one is gone.
bool InputClosed() {
  struct pollfd event = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&event, 1, 200) <= 0) return false;
  char bytes[256];
  return read(STDIN_FILENO, bytes, sizeof(bytes)) == 0;
}

absl::Status RunVerifier(const VerifyOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Verifier> verifier, MakeVerifier(options));
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
      R"(Judge JSON lines {"id","gold","completion"} or {"id","task","completion"})",
      R"(echo '{"id":1,"gold":"5","completion":"so \\boxed{5}"}' | ponder verify --verifier math)");
  command
      ->add_option("--verifier", verify->name, "math, countdown, code, or auto by the task's kind")
      ->capture_default_str();
  command->add_option("--address", verify->address, "a gRPC verifier instead, HOST:PORT");
  command->add_option("--set", verify->settings,
                      "a setting of the verifier: extraction=anywhere, allow_weak_sandbox=true");
  command->add_option("--deadline-s", verify->deadline_s, "longest time for an item")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->callback([&line, verify] { line.chosen = [verify] { return RunVerify(*verify); }; });

  auto serve = std::make_shared<VerifyOptions>();
  serve->name = "auto";
  command = AddCommand(line.app, "verifier", "Serve a verifier over gRPC",
                       "ponder verifier --name math --listen 127.0.0.1:5001");
  command->add_option("--name", serve->name, "math, countdown, code, or auto by the task's kind")
      ->capture_default_str();
  command->add_option("--listen", serve->listen, "address; port 0 takes a free one")
      ->capture_default_str();
  command->add_option("--set", serve->settings,
                      "a setting of the verifier: extraction=anywhere, allow_weak_sandbox=true");
  command->add_flag("--until-input-closes", serve->until_input_closes,
                    "end when standard input closes: for a process that starts this one");
  command->callback([&line, serve] { line.chosen = [serve] { return RunVerifier(*serve); }; });
}

}  // namespace ponder
