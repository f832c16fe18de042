#include "app/replay_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "observe/terminal_text.h"
#include "verifiers/item_json.h"
#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

using nlohmann::json;

bool SameVerdict(const Verdict& a, const Verdict& b) {
  return a.status == b.status && a.score == b.score;
}

json TokenJson(const Tokenizer& tokenizer, const Completion& completion, int64_t token) {
  if (token >= std::ssize(completion.token_ids)) return nullptr;
  const int32_t id = completion.token_ids[token];
  const bool known = id >= 0 && id < tokenizer.Size();
  return {{"id", id},
          {"text", known ? json(std::string(tokenizer.TokenBytes(id))) : json(nullptr)}};
}

// `812 " wor"`, or that the completion ends there.
std::string TokenWords(const json& token) {
  if (token.is_null()) return "the end";
  return fmt::format("{} {}", token["id"].get<int32_t>(),
                     token["text"].is_null() ? "(no token of this model)" : Dump(token["text"]));
}

}  // namespace

json ReplayReport::ToJson(const ReplayedSample& sample, const Rejudged* verdict) const {
  const StoredCompletion& recorded = sample.recorded;
  json row = {{"sample", recorded.rowid},
              {"phase", recorded.phase},
              {"step", recorded.step},
              {"task", recorded.task.id},
              {"sample_index", recorded.completion.sample_index}};
  if (!sample.impossible.empty()) {
    row["same"] = nullptr;
    row["impossible"] = sample.impossible;
    return row;
  }
  row.update({{"tokens", sample.found.token_ids.size()},
              {"same", !sample.difference.has_value()},
              {"text", sample.found.text},
              {"token_ids", sample.found.token_ids},
              {"logprobs", sample.found.logprobs}});
  for (const VersionSpan& span : recorded.completion.versions)
    row["versions"].push_back({{"begin", span.begin}, {"version", span.version}});
  if (sample.difference.has_value()) {
    const ReplayDifference& difference = *sample.difference;
    json& out = row["difference"];
    if (difference.token.has_value()) {
      out["token"] = *difference.token;
      out["expected"] = TokenJson(tokenizer_, recorded.completion, *difference.token);
      out["found"] = TokenJson(tokenizer_, sample.found, *difference.token);
    }
    if (difference.logprob_token.has_value()) out["logprob_token"] = *difference.logprob_token;
    out["logprob_max_abs_diff"] = difference.logprob_max_abs_diff;
    if (!difference.field.empty()) out["field"] = difference.field;
    if (!sample.likely_cause.empty()) out["likely_cause"] = sample.likely_cause;
  }
  if (verdict != nullptr) {
    row["verdict"] = {{"was", ponder::ToJson(recorded.verdict)},
                      {"recorded_text", ponder::ToJson(verdict->recorded_text)},
                      {"regenerated", ponder::ToJson(verdict->regenerated)}};
  }
  return row;
}

std::string ReplayReport::ToText(const ReplayedSample& sample, const Rejudged* verdict) const {
  const StoredCompletion& recorded = sample.recorded;
  const Completion& was = recorded.completion;
  std::string text =
      fmt::format("sample {}  {} step {}  task {} #{}  {} tokens  ", recorded.rowid, recorded.phase,
                  recorded.step, recorded.task.id, was.sample_index, was.token_ids.size());
  if (!sample.impossible.empty()) {
    return text + fmt::format("CANNOT BE REGENERATED\n  why: {}\n", sample.impossible);
  }
  if (!sample.difference.has_value()) {
    text += "the same\n";
  } else {
    const ReplayDifference& difference = *sample.difference;
    text += "DIFFERS\n";
    if (difference.token.has_value()) {
      text += fmt::format("  from token {} on: expected {}, found {}\n", *difference.token,
                          TokenWords(TokenJson(tokenizer_, was, *difference.token)),
                          TokenWords(TokenJson(tokenizer_, sample.found, *difference.token)));
    }
    text += difference.logprob_token.has_value()
                ? fmt::format("  log-probs {}: other ones from token {} on, by {:.3g} at most\n",
                              difference.token.has_value() ? "up to there" : "of equal tokens",
                              *difference.logprob_token, difference.logprob_max_abs_diff)
                : fmt::format("  log-probs {}: the same to the last bit\n",
                              difference.token.has_value() ? "up to there" : "of equal tokens");
    if (!difference.token.has_value() && !difference.field.empty())
      text += fmt::format("  the recorded {} is another one\n", difference.field);
    if (!sample.likely_cause.empty()) text += fmt::format("  why: {}\n", sample.likely_cause);
  }
  if (verdict == nullptr) return WithoutControls(text);
  const auto line = [&](const std::string& what, const Verdict& now) {
    text += IsFailure(now) ? fmt::format("  verdict of {}: none, the verifier failed: {}\n", what,
                                         Dump(json(now.reason)))
            : SameVerdict(recorded.verdict, now)
                ? fmt::format("  verdict of {}: {}, as recorded\n", what, ToString(now.status))
                : fmt::format("  verdict of {}: was {} ({:g}), now {} ({:g}): {}\n", what,
                              ToString(recorded.verdict.status), recorded.verdict.score,
                              ToString(now.status), now.score, Dump(json(now.reason)));
  };
  if (sample.found.text == was.text) {
    line("the text", verdict->regenerated);
  } else {
    line("the recorded text", verdict->recorded_text);
    line("the regenerated text", verdict->regenerated);
  }
  return text;
}

void ReplayReport::Count(const ReplayedSample& sample, const Rejudged* verdict) {
  ++samples_;
  steps_.insert(sample.recorded.step);
  impossible_ += !sample.impossible.empty();
  different_ += sample.difference.has_value();
  tokens_ += std::ssize(sample.found.token_ids);
  if (verdict == nullptr) return;
  const Verdict& was = sample.recorded.verdict;
  if (IsFailure(verdict->regenerated) || IsFailure(verdict->recorded_text)) {
    ++unjudged_;
  } else if (!SameVerdict(was, verdict->regenerated) || !SameVerdict(was, verdict->recorded_text)) {
    ++other_verdicts_;
  }
}

absl::Status ReplayReport::Conclude(const std::string& learning, std::string& words) const {
  std::vector<std::string> faults;
  const auto fault = [&](int64_t count, std::string_view one, std::string_view many) {
    if (count == 0) return;
    faults.push_back(fmt::format("{} of {} samples {}", count, samples_, count == 1 ? one : many));
  };
  fault(impossible_, "cannot be regenerated", "cannot be regenerated");
  fault(different_, "is not what the run recorded", "are not what the run recorded");
  fault(other_verdicts_, "is judged otherwise than recorded", "are judged otherwise than recorded");
  fault(unjudged_, "has no verdict now", "have no verdict now");
  if (faults.empty() && !learning.empty())
    faults.push_back(fmt::format("the samples are the same, but {}", learning));
  if (!faults.empty()) return DataLoss("{}", fmt::join(faults, "; "));
  words = fmt::format(
      "{} sample{} of {} step{}: the same, token for token and log-prob for log-prob ({} tokens)",
      samples_, samples_ == 1 ? "" : "s", steps_.size(), steps_.size() == 1 ? "" : "s", tokens_);
  return absl::OkStatus();
}

}  // namespace ponder
