#include "rollout/fake_step_runner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace ponder {
namespace {

uint64_t Mix(uint64_t hash, int32_t token, int64_t weights) {
  return RandomBits({hash, static_cast<uint64_t>(weights)}, static_cast<uint64_t>(token));
}

}  // namespace

absl::Status FakeStepRunner::Launch(std::span<const StepInput> inputs) {
  if (std::exchange(fails_, false)) return ResourceExhausted("the fake was told to fail");
  PONDER_CHECK(uncollected_.size() <= (info_.runs_ahead ? 1 : 0));
  int64_t rows = 0;
  std::vector<bool> is_stopped;
  for (const StepInput& input : inputs) {
    const int64_t end = input.first_position + std::ssize(input.ids);
    PONDER_CHECK(!input.ids.empty() && std::ssize(input.pages) == kernels::KvPagesFor(end));
    std::vector<int32_t> ids(input.ids.begin(), input.ids.end());
    if (input.follows >= 0) {
      PONDER_CHECK(info_.runs_ahead && ids.size() == 1);
      ids[0] = drawn_.at(static_cast<size_t>(input.follows)).id;
    }
    is_stopped.push_back(input.follows >= 0 && std::ranges::count(input.stop_ids, ids[0]) > 0);
    for (int64_t i = 0; i < std::ssize(ids) && !is_stopped.back(); ++i) {
      const int64_t position = input.first_position + i;
      const int64_t page = input.pages[position / kernels::kPageTokens];
      slots_.at(page * kernels::kPageTokens + position % kernels::kPageTokens) = {ids[i], position,
                                                                                  weights_};
    }
    rows += std::ssize(ids);
  }
  std::vector<SampledToken> sampled;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const StepInput& input = inputs[i];
    uint64_t hash = 0;
    const int64_t end = input.first_position + std::ssize(input.ids);
    for (int64_t position = 0; position < end && !is_stopped[i]; ++position) {
      const int64_t page = input.pages[position / kernels::kPageTokens];
      const Slot& slot = slots_.at(page * kernels::kPageTokens + position % kernels::kPageTokens);
      PONDER_CHECK(slot.position == position,
                   "a page holds something else than its sequence expects");
      hash = Mix(hash, slot.token, slot.weights);
    }
    if (!input.samples) continue;
    sampled.push_back(is_stopped[i] ? SampledToken{.id = -1} : Draw(hash, input.sampling));
  }
  rows_ += rows;
  largest_batch_ = std::max(largest_batch_, rows);
  drawn_ = sampled;
  uncollected_.push_back(std::move(sampled));
  return absl::OkStatus();
}

std::vector<SampledToken> FakeStepRunner::Collect() {
  PONDER_CHECK(!uncollected_.empty());
  std::vector<SampledToken> sampled = std::move(uncollected_.front());
  uncollected_.pop_front();
  return sampled;
}

SampledToken FakeStepRunner::Expected(std::span<const int32_t> tokens,
                                      const kernels::SampleRow& row) const {
  uint64_t hash = 0;
  for (const int32_t token : tokens) hash = Mix(hash, token, weights_);
  return Draw(hash, row);
}

SampledToken FakeStepRunner::Draw(uint64_t hash, const kernels::SampleRow& row) const {
  const auto shift =
      static_cast<uint64_t>(row.uniform * static_cast<double>(info_.drawable_tokens));
  const auto id =
      static_cast<int32_t>((hash + shift) % static_cast<uint64_t>(info_.drawable_tokens));
  const float fraction = static_cast<float>(hash >> 40) * 0x1.0p-24f;
  return {.id = id, .logprob = -fraction * (1 + row.temperature), .entropy = fraction};
}

}  // namespace ponder
