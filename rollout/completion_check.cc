#include "rollout/completion_check.h"

#include <cmath>
#include <set>

namespace ponder {

absl::Status CheckCompletion(const Completion& completion, const CompletionLimits& limits) {
  const auto tokens = std::ssize(completion.token_ids);
  if (tokens < 1 || tokens > limits.max_new_tokens) {
    return InvalidArgument("expected 1 to {} tokens, found {}", limits.max_new_tokens, tokens);
  }
  if (std::ssize(completion.sampled_mask) != tokens || std::ssize(completion.logprobs) != tokens ||
      std::ssize(completion.entropies) != tokens) {
    return InvalidArgument("{} token ids, but {} mask entries, {} log-probs, {} entropies", tokens,
                           completion.sampled_mask.size(), completion.logprobs.size(),
                           completion.entropies.size());
  }
  // A log-prob is a difference of two rounded numbers, so it may end a little above 0.
  constexpr float kRounding = 1e-3f;
  for (int64_t i = 0; i < tokens; ++i) {
    const int32_t id = completion.token_ids[i];
    if (id < 0 || id >= limits.vocabulary) {
      return InvalidArgument("token {} is id {}, outside the vocabulary of {}", i, id,
                             limits.vocabulary);
    }
    if (completion.sampled_mask[i] > 1) {
      return InvalidArgument("mask entry {} is {}, expected 0 or 1", i, completion.sampled_mask[i]);
    }
    const float logprob = completion.logprobs[i], entropy = completion.entropies[i];
    if (!std::isfinite(logprob) || logprob > kRounding || !std::isfinite(entropy) ||
        entropy < -kRounding) {
      return InvalidArgument("token {} has log-prob {} and entropy {}", i, logprob, entropy);
    }
  }
  if (completion.versions.size() != 1 ||
      completion.versions[0] != VersionSpan{.begin = 0, .version = limits.version}) {
    return InvalidArgument(
        "expected every token of policy version {}, found {} spans, the first of version {}",
        limits.version, completion.versions.size(),
        completion.versions.empty() ? -1 : completion.versions[0].version);
  }
  if (completion.finish != FinishReason::kStop && completion.finish != FinishReason::kLength) {
    return InvalidArgument("expected finish reason stop or length, found {}",
                           ToString(completion.finish));
  }
  return absl::OkStatus();
}

absl::Status CheckCompletions(const std::vector<Completion>& completions, int64_t sample_begin,
                              int64_t sample_count, const CompletionLimits& limits) {
  if (std::ssize(completions) != sample_count) {
    return InvalidArgument("expected {} completions, found {}", sample_count, completions.size());
  }
  std::set<int64_t> seen;
  for (const Completion& completion : completions) {
    const int64_t index = completion.sample_index;
    if (index < sample_begin || index >= sample_begin + sample_count ||
        !seen.insert(index).second) {
      return InvalidArgument("expected samples {} to {} once each, found sample {}", sample_begin,
                             sample_begin + sample_count - 1, index);
    }
    PONDER_RETURN_IF_ERROR(
        Annotate(CheckCompletion(completion, limits), fmt::format("sample {}", index)));
  }
  return absl::OkStatus();
}

}  // namespace ponder
