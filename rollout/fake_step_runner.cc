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

absl::StatusOr<std::vector<SampledToken>> FakeStepRunner::Run(std::span<const StepInput> inputs) {
  if (std::exchange(fails_, false)) return ResourceExhausted("the fake was told to fail");
  int64_t rows = 0;
  for (const StepInput& input : inputs) {
    const int64_t end = input.first_position + std::ssize(input.ids);
    PONDER_CHECK(!input.ids.empty() && std::ssize(input.pages) == kernels::KvPagesFor(end));
    for (int64_t i = 0; i < std::ssize(input.ids); ++i) {
      const int64_t position = input.first_position + i;
      const int64_t page = input.pages[position / kernels::kPageTokens];
      slots_.at(page * kernels::kPageTokens + position % kernels::kPageTokens) = {
          input.ids[i], position, weights_};
    }
    rows += std::ssize(input.ids);
  }
  std::vector<SampledToken> sampled;
  for (const StepInput& input : inputs) {
    uint64_t hash = 0;
    for (int64_t position = 0; position < input.first_position + std::ssize(input.ids);
         ++position) {
      const int64_t page = input.pages[position / kernels::kPageTokens];
      const Slot& slot = slots_.at(page * kernels::kPageTokens + position % kernels::kPageTokens);
      PONDER_CHECK(slot.position == position,
                   "a page holds something else than its sequence expects");
      hash = Mix(hash, slot.token, slot.weights);
    }
    if (input.samples) sampled.push_back(Draw(hash, input.sampling));
  }
  rows_ += rows;
  largest_batch_ = std::max(largest_batch_, rows);
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
