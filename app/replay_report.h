#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "app/replay.h"
#include "base/records.h"
#include "base/status.h"
#include "model/tokenizer.h"

namespace ponder {

// What the run's verifier says today of both texts of a sample.
struct Rejudged {
  Verdict regenerated;
  Verdict recorded_text;
};

// Says in words or as a JSON line what became of a sample, and counts over all of them.
class ReplayReport {
 public:
  // The tokenizer outlives the report.
  explicit ReplayReport(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // `verdict` is null where nothing was judged again. The text cannot steer a terminal.
  nlohmann::json ToJson(const ReplayedSample& sample, const Rejudged* verdict) const;
  std::string ToText(const ReplayedSample& sample, const Rejudged* verdict) const;

  void Count(const ReplayedSample& sample, const Rejudged* verdict);
  // OK, and in `words` how much was looked at, where all is as it was recorded; DATA_LOSS where
  // something is not. `learning` names an update that came out otherwise than the run's, if any.
  absl::Status Conclude(const std::string& learning, std::string& words) const;

 private:
  const Tokenizer& tokenizer_;
  int64_t samples_ = 0, tokens_ = 0;
  int64_t different_ = 0, impossible_ = 0;     // of the samples
  int64_t other_verdicts_ = 0, unjudged_ = 0;  // of the samples
  std::set<int64_t> steps_;
};

}  // namespace ponder
