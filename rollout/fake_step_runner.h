#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "rollout/step_runner.h"

namespace ponder {

// A model for tests that keeps tokens where a real one keeps keys and values: what it samples is a
// hash of all that it finds in the pages it was given, so a wrong page, a page overwritten too
// early or one of older weights gives other tokens.
class FakeStepRunner : public StepRunner {
 public:
  explicit FakeStepRunner(const StepRunnerInfo& info)
      : info_(info), slots_(info.pages * kernels::kPageTokens) {}

  StepRunnerInfo Info() const override { return info_; }
  absl::Status Launch(std::span<const StepInput> inputs) override;
  std::vector<SampledToken> Collect() override;

  // What would be sampled behind `tokens`, all of them computed with these weights.
  SampledToken Expected(std::span<const int32_t> tokens, const kernels::SampleRow& row) const;

  void SetWeights(int64_t weights) { weights_ = weights; }
  void FailNextRun() { fails_ = true; }
  int64_t Rows() const { return rows_; }                   // run so far
  int64_t LargestBatch() const { return largest_batch_; }  // rows of one run

 private:
  struct Slot {
    int32_t token = -1;
    int64_t position = -1;
    int64_t weights = -1;
  };

  SampledToken Draw(uint64_t hash, const kernels::SampleRow& row) const;

  const StepRunnerInfo info_;
  std::vector<Slot> slots_;
  std::vector<SampledToken> drawn_;  // of the last step
  std::deque<std::vector<SampledToken>> uncollected_;
  int64_t weights_ = 0;
  bool fails_ = false;
  int64_t rows_ = 0;
  int64_t largest_batch_ = 0;
};

}  // namespace ponder
