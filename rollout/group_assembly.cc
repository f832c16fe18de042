#include "rollout/group_assembly.h"

#include <utility>

#include "base/check.h"

namespace ponder {

GroupAssembly::GroupAssembly(const std::vector<GroupRequest>& requests,
                             std::function<void(size_t index, Group group)> on_group)
    : requests_(requests), on_group_(std::move(on_group)), completions_(requests.size()) {
  for (const GroupRequest& request : requests) {
    missing_.push_back(request.completions);
    total_ += request.completions;
    stats_.prompt_tokens += std::ssize(request.prompt_ids);
  }
}

void GroupAssembly::Add(size_t index, Completion completion) {
  const GroupRequest& request = requests_.at(index);
  std::vector<Completion>& completions = completions_[index];
  if (completions.empty()) completions.resize(request.completions);
  Completion& place = completions.at(completion.sample_index);
  PONDER_CHECK(place.finish == FinishReason::kUnspecified &&
               completion.finish != FinishReason::kUnspecified);
  stats_.completion_tokens += std::ssize(completion.token_ids);
  place = std::move(completion);
  ++done_;
  if (--missing_[index] > 0) return;
  Group group{.task = request.task,
              .prompt = request.prompt,
              .prompt_ids = request.prompt_ids,
              .seed = request.seed,
              .temperature = request.sampling.temperature,
              .completions = std::move(completions)};
  if (on_group_) on_group_(index, std::move(group));
}

}  // namespace ponder
