#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "observe/http_server.h"

namespace ponder {

// The pages and their data: what an address answers, without a network.
class Dashboard {
 public:
  // `folders` are runs or hold some, see RunList.
  static std::unique_ptr<Dashboard> Create(std::vector<std::string> folders);
  virtual ~Dashboard() = default;

  // Always an answer. Thread-safe.
  virtual HttpResponse Answer(const HttpRequest& request) = 0;
};

// The same on an address, until it is destroyed.
absl::StatusOr<std::unique_ptr<HttpServer>> StartDashboard(std::vector<std::string> folders,
                                                           HttpServerOptions options);

}  // namespace ponder
