#include "rollout/group_assembly.h"

#include <utility>

#include "base/check.h"

namespace ponder {

GroupAssembly::GroupAssembly(GroupBatch batch)
    : batch_(std::move(batch)), completions_(batch_.requests.size()) {
  for (const GroupRequest& request : batch_.requests) {
    missing_.push_back(request.completions);
    progress_.total += request.completions;
    stats_.prompt_tokens += std::ssize(request.prompt_ids);
  }
}

void GroupAssembly::Add(size_t index, Completion completion) {
  const GroupRequest& request = batch_.requests.at(index);
  std::vector<Completion>& completions = completions_[index];
  if (completions.empty()) completions.resize(request.completions);
  Completion& place = completions.at(completion.sample_index);
  PONDER_CHECK(place.finish == FinishReason::kUnspecified &&
               completion.finish != FinishReason::kUnspecified);
  stats_.completion_tokens += std::ssize(completion.token_ids);
  place = std::move(completion);
  ++progress_.done;
  if (--missing_[index] > 0) return;
  Group group{.task = request.task,
              .prompt = request.prompt,
              .prompt_ids = request.prompt_ids,
              .seed = request.seed,
              .temperature = request.sampling.temperature,
              .completions = std::move(completions)};
  if (batch_.on_group) batch_.on_group(index, std::move(group));
}

}  // namespace ponder
