#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "observe/dashboard/dashboard.h"
#include "observe/run_store.h"

namespace ponder {

// A folder of runs with a dashboard over it; removed with the object.
class ServedRuns {
 public:
  ServedRuns();
  ~ServedRuns();

  const std::string& Folder() const { return folder_; }
  std::string PathOf(const std::string& run) const { return folder_ + "/" + run; }
  Dashboard& Served() { return *dashboard_; }

  // A new run with a configuration of these lines and an open store.
  std::unique_ptr<RunStore> AddRun(const std::string& name, const std::string& toml = "");
  // "first": six steps of training of 3 groups of 4 samples with 40 tokens, evaluations before the
  // first and after the last step, two events, a worker, readings, a vocabulary and a log.
  std::unique_ptr<RunStore> AddFirst();

  HttpResponse Get(const std::string& target, const std::string& if_none_match = "");
  // The answer's JSON, which must have this status.
  nlohmann::json Json(const std::string& target, int status = 200);

 private:
  const std::string folder_;
  std::unique_ptr<Dashboard> dashboard_;
};

}  // namespace ponder
