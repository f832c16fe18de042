#include "rollout/completion_check.h"

#include <cmath>

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

}  // namespace ponder
