#include "app/run_dashboard.h"

#include <fmt/format.h>

#include <utility>

#include "observe/dashboard/dashboard.h"
#include "observe/http_guard.h"

namespace ponder {

absl::StatusOr<std::unique_ptr<HttpServer>> StartDashboardServer(const std::string& listen,
                                                                 const std::string& token_file,
                                                                 std::vector<std::string> folders) {
  HttpServerOptions options{.address = listen};
  if (!token_file.empty()) {
    PONDER_ASSIGN_OR_RETURN(options.token, ReadTokenFile(token_file));
  }
  return StartDashboard(std::move(folders), std::move(options));
}

std::unique_ptr<HttpServer> StartRunDashboard(const DashboardKeys& keys,
                                              const std::string& run_directory, Console& console) {
  if (keys.listen.empty()) return nullptr;
  absl::StatusOr<std::unique_ptr<HttpServer>> server =
      StartDashboardServer(keys.listen, keys.token_file, {run_directory});
  if (!server.ok()) {
    console.Warn(fmt::format("no dashboard: {}", server.status().message()));
    return nullptr;
  }
  console.Say(fmt::format("dashboard: {}", (*server)->Url()));
  return *std::move(server);
}

}  // namespace ponder
