#include <nlohmann/json.hpp>

#include "observe/metric_sink.h"

namespace ponder {
namespace {

class JsonLineSink : public MetricSink {
 public:
  explicit JsonLineSink(std::ostream& out) : out_(out) {}

  absl::Status WriteStep(int64_t step, const Metrics& metrics) override {
    const nlohmann::json line = {{"step", step}, {"metrics", metrics}};
    out_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    return absl::OkStatus();
  }

 private:
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<MetricSink> CreateJsonLineSink(std::ostream& out) {
  return std::make_unique<JsonLineSink>(out);
}

}  // namespace ponder
