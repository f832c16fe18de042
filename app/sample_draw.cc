#include "app/sample_draw.h"

#include "app/run_catalog.h"
#include "base/random.h"

namespace ponder {

absl::StatusOr<std::vector<int64_t>> DrawSamples(RunReader& reader, const std::string& phase,
                                                 int64_t count, uint64_t seed) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> infos, reader.Steps());
  PONDER_RETURN_IF_ERROR(CheckPhase(infos, phase));
  std::vector<int64_t> steps;
  for (const StepInfo& info : infos) {
    if (info.phase == phase) steps.push_back(info.step);
  }
  // One of each step in turn, the steps and the samples of each in a random order.
  const RandomKey key = MakeRandomKey(seed, "replay");
  const std::vector<int64_t> turn = RandomPermutation(key, 0, std::ssize(steps));
  std::vector<std::vector<int64_t>> left(turn.size());  // the last of them is the next
  std::vector<int64_t> drawn;
  for (bool first = true, more = true; more && std::ssize(drawn) < count; first = false) {
    more = false;
    for (size_t i = 0; i < turn.size() && std::ssize(drawn) < count; ++i) {
      const int64_t step = steps[turn[i]];
      if (first) {
        PONDER_ASSIGN_OR_RETURN(const std::vector<GroupSummary> groups, reader.Groups(phase, step));
        std::vector<int64_t> samples;
        for (const GroupSummary& group : groups) {
          for (const SampleSummary& sample : group.samples) samples.push_back(sample.sample);
        }
        const auto salt = static_cast<uint64_t>(step) + 1;
        for (const int64_t place : RandomPermutation(key, salt, std::ssize(samples)))
          left[i].push_back(samples[place]);
      }
      if (left[i].empty()) continue;
      drawn.push_back(left[i].back());
      left[i].pop_back();
      more = true;
    }
  }
  if (drawn.empty()) return NotFound("phase '{}' of the run has no completions", phase);
  return drawn;
}

}  // namespace ponder
