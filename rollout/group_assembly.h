#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rollout/group_source.h"

namespace ponder {

// Puts the completions of a batch together to groups and hands each group over when it is whole.
// Not thread-safe.
class GroupAssembly {
 public:
  explicit GroupAssembly(GroupBatch batch);

  // Completion `sample_index` of request `index`; each comes once.
  void Add(size_t index, Completion completion);

  const GroupBatch& Batch() const { return batch_; }
  BatchProgress Progress() const { return progress_; }
  GenerateStats Stats() const { return stats_; }  // the tokens

 private:
  const GroupBatch batch_;
  std::vector<std::vector<Completion>>
      completions_;  // one a request, by sample index; empty before the first
  std::vector<int64_t> missing_;
  BatchProgress progress_;
  GenerateStats stats_;
};

}  // namespace ponder
