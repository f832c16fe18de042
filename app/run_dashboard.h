#pragma once

#include <memory>
#include <string>

#include "app/config.h"
#include "observe/console.h"
#include "observe/http_server.h"

namespace ponder {

// The dashboard of a run under way, where its configuration asks for one. A dashboard that cannot
// listen is a warning on the console and none: the run goes on.
std::unique_ptr<HttpServer> StartRunDashboard(const DashboardKeys& keys,
                                              const std::string& run_directory, Console& console);

// One of several folders; an empty `token_file` is none.
absl::StatusOr<std::unique_ptr<HttpServer>> StartDashboardServer(const std::string& listen,
                                                                 const std::string& token_file,
                                                                 std::vector<std::string> folders);

}  // namespace ponder
