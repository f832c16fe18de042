// dashboard: runs as pages.
#include <absl/time/clock.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/command.h"
#include "app/run_dashboard.h"

namespace ponder {
namespace {

struct DashboardOptions {
  std::vector<std::string> folders = {"runs"};
  std::string listen = "127.0.0.1:6100";
  std::string token_file;
  bool json = false;
};

absl::Status RunDashboard(const DashboardOptions& options) {
  for (const std::string& folder : options.folders) {
    std::error_code error;
    if (std::filesystem::is_directory(folder, error)) continue;
    return NotFound("{}: expected a run's folder or one that holds runs, found {}", folder,
                    std::filesystem::exists(folder, error) ? "a file" : "nothing");
  }
  WatchInterrupts();
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> server,
      StartDashboardServer(options.listen, options.token_file, options.folders));
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"url", server->Url()}, {"port", server->Port()}}.dump());
  } else {
    fmt::print("dashboard: {}{}\nCtrl-C ends it.\n", server->Url(),
               options.token_file.empty() ? "" : "?token=TOKEN");
  }
  std::fflush(stdout);
  while (!Interrupted()) absl::SleepFor(absl::Milliseconds(50));
  return absl::OkStatus();
}

}  // namespace

void AddDashboardCommand(CommandLine& line) {
  auto options = std::make_shared<DashboardOptions>();
  CLI::App* command =
      AddCommand(line.app, "dashboard", "Runs as pages in a browser: curves, samples, reasons",
                 "ponder dashboard runs/quickstart --listen 127.0.0.1:6100");
  command
      ->add_option("run", options->folders,
                   "runs, or folders that hold some; new ones appear by themselves")
      ->capture_default_str();
  command->add_option("--listen", options->listen, "address of the pages; port 0: any free one")
      ->capture_default_str();
  command->add_option("--token-file", options->token_file,
                      "file with the token that every request must have; needed where other "
                      "machines reach the address");
  command->add_flag("--json", options->json, R"(a line {"url","port"} on standard output)");
  command->callback(
      [&line, options] { line.chosen = [options] { return RunDashboard(*options); }; });
}

}  // namespace ponder
