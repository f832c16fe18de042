#include "app/part_metrics.h"

#include <map>
#include <string>
#include <string_view>

#include "verifiers/combined_verifier.h"

namespace ponder {
namespace {

struct Sum {
  double sum = 0;
  int64_t count = 0;
};

}  // namespace

void AddPartMetrics(std::span<const ScoredGroup> groups, Metrics& metrics) {
  std::map<std::string, Sum> parts;
  for (const ScoredGroup& group : groups) {
    for (const Verdict& verdict : group.verdicts) {
      for (const auto& [name, value] : verdict.parts) {
        parts[name].sum += value;
        ++parts[name].count;
      }
    }
  }
  for (const auto& [name, sum] : parts) {
    if (!name.starts_with(kAuditPrefix)) {
      metrics["part/" + name] = sum.sum / static_cast<double>(sum.count);
    } else if (name.ends_with(kAuditDisputedSuffix)) {
      const std::string audit = name.substr(0, name.size() - sizeof(kAuditDisputedSuffix) + 1);
      metrics[audit + "_disagreement"] = sum.sum / static_cast<double>(sum.count);
      metrics[audit + "_looked_at"] = static_cast<double>(sum.count);
    } else if (name.ends_with(kAuditFailedSuffix)) {
      const std::string audit = name.substr(0, name.size() - sizeof(kAuditFailedSuffix) + 1);
      metrics[audit + "_failed"] = sum.sum;
    }
  }
}

}  // namespace ponder
