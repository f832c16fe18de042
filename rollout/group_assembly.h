#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rollout/group_source.h"

namespace ponder {

// Puts completions together to groups and hands each group over when it is whole. Not thread-safe.
class GroupAssembly {
 public:
  // `requests` outlive the object.
  GroupAssembly(const std::vector<GroupRequest>& requests,
                std::function<void(size_t index, Group group)> on_group);

  // Completion `sample_index` of request `index`; each comes once.
  void Add(size_t index, Completion completion);

  int64_t Done() const { return done_; }
  int64_t Total() const { return total_; }  // completions
  bool Whole() const { return done_ == total_; }
  GenerateStats Stats() const { return stats_; }  // the tokens

 private:
  const std::vector<GroupRequest>& requests_;
  const std::function<void(size_t, Group)> on_group_;
  std::vector<std::vector<Completion>>
      completions_;  // one a request, by sample index; empty before the first
  std::vector<int64_t> missing_;
  int64_t done_ = 0;
  int64_t total_ = 0;
  GenerateStats stats_;
};

}  // namespace ponder
