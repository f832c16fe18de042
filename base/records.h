#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ponder {

// The plain records that travel between the roles. proto/ponder/v1/records.proto mirrors them field
// by field.

// One turn of a conversation, before the chat template.
struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;

  bool operator==(const Message&) const = default;
};

// A prompt with what its verifier needs.
struct Task {
  std::string id;         // unique within its source, stable over runs
  std::string kind;       // chooses the verifier: "math", "countdown", ...
  std::string source;     // where it comes from: "arithmetic", "gsm8k", ...
  std::string question;   // what is asked, before any prompt template
  std::string gold;       // the expected answer; never shown to the model
  std::string data;       // more for the verifier, a JSON object, or empty (Countdown:
                          // {"numbers":[...],"target":n})
  std::string solution;   // a worked solution for supervised fine-tuning, or empty
  double difficulty = 0;  // the generator's own scale; 0 where unknown

  bool operator==(const Task&) const = default;
};

enum class FinishReason { kUnspecified, kStop, kLength, kCancelled, kError };
std::string_view ToString(FinishReason reason);

// From token `begin` of a completion on (until the next span), `version` of the policy sampled.
struct VersionSpan {
  int64_t begin = 0;
  int64_t version = 0;

  bool operator==(const VersionSpan&) const = default;
};

// One sampled answer to a prompt.
struct Completion {
  int64_t sample_index =
      0;  // place in its group; with seed, task id and position it keys the random numbers
  std::vector<int32_t>
      token_ids;  // [T], the end-of-sequence token included where the model sampled it
  std::vector<uint8_t> sampled_mask;  // [T], 1 = sampled by the model; only these are trained on
  std::vector<float> logprobs;        // [T], behaviour log-prob at the sampling temperature, before
                                      // top-k/top-p; natural log
  std::vector<float> entropies;       // [T], of the same distribution, in nats
  std::vector<VersionSpan> versions;  // policy versions, in order of `begin`
  FinishReason finish = FinishReason::kUnspecified;
  std::string text;  // decoded, without special tokens

  bool operator==(const Completion&) const = default;
};

// The G completions of one prompt.
struct Group {
  Task task;
  std::string prompt;               // rendered by the template
  std::vector<int32_t> prompt_ids;  // [T_prompt]
  uint64_t seed = 0;                // of the run: keys the random numbers, see base/random.h
  float temperature = 1;            // log-probs are those of logits / temperature
  std::vector<Completion> completions;

  bool operator==(const Group&) const = default;
};

enum class VerdictStatus {
  kUnspecified,
  kCorrect,
  kWrong,
  kNoAnswer,     // nothing that counts as an answer was found
  kUnparseable,  // an answer was found but could not be read
  kInvalidGold,  // the task is at fault
  kTimeout,      // the answer's own fault: it ran too long
  kInternal,     // ours: never a reward, the completion is judged again or dropped
};
std::string_view ToString(VerdictStatus status);

struct Verdict {
  VerdictStatus status = VerdictStatus::kUnspecified;
  double score = 0;                     // 0 ... 1
  std::map<std::string, double> parts;  // named scores, for metrics and reward parts ("format": 1)
  std::string extracted;                // the answer as found in the completion
  std::string reason;                   // one sentence for people
  int64_t elapsed_us = 0;

  bool operator==(const Verdict&) const = default;
};

// What a verifier judges: a task and a completion's text.
struct VerifyItem {
  Task task;
  std::string completion;
};

// What the run makes of a verdict: total = sum of weight * part over the configured parts.
struct Reward {
  double total = 0;
  std::map<std::string, double> parts;  // already weighted; they sum to total

  bool operator==(const Reward&) const = default;
};

// A group as the learner receives it: verdicts, rewards and advantages are parallel to
// group.completions.
struct ScoredGroup {
  Group group;
  std::vector<Verdict> verdicts;
  std::vector<Reward> rewards;
  std::vector<float> advantages;  // one a completion, spread over its sampled tokens
};

}  // namespace ponder
