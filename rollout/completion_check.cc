#include "rollout/completion_check.h"

#include <cmath>
#include <set>

namespace ponder {
namespace {

absl::Status CheckVersions(const Completion& completion, const CompletionLimits& limits) {
  if (completion.versions.empty() || completion.versions.front().begin != 0)
    return InvalidArgument("expected the policy version of every token, found none of the first");
  for (size_t i = 0; i < completion.versions.size(); ++i) {
    const VersionSpan& span = completion.versions[i];
    if (span.version < limits.oldest_version || span.version > limits.newest_version) {
      return InvalidArgument("expected tokens of policy version {} to {}, found version {}",
                             limits.oldest_version, limits.newest_version, span.version);
    }
    if (i == 0) continue;
    const VersionSpan& before = completion.versions[i - 1];
    if (span.begin <= before.begin || span.begin >= std::ssize(completion.token_ids) ||
        span.version <= before.version) {
      return InvalidArgument(
          "expected ever newer policy versions from ever later tokens on, found version {} from "
          "token {} on behind version {} from token {} on, in {} tokens",
          span.version, span.begin, before.version, before.begin, completion.token_ids.size());
    }
  }
  return absl::OkStatus();
}

}  // namespace

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
  PONDER_RETURN_IF_ERROR(CheckVersions(completion, limits));
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
