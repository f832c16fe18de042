#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "rollout/engine.h"

namespace ponder {

struct FakeEngineOptions {
  // Says what sample `sample_index` of a request is under policy `version`. What it leaves empty is
  // filled in: sampled_mask (ones), logprobs and entropies (zeros), versions (all `version`),
  // finish (kStop).
  std::function<Completion(const RolloutRequest& request, int64_t sample_index, int64_t version)>
      script;
  int64_t completions_per_step = 1;
  std::string fingerprint = "fake";
};

// An engine without a model, for tests of what stands around it. Completions come out in the order
// of submission. A group source of it is CreateLocalGroupSource(*engine).
std::unique_ptr<RolloutEngine> CreateFakeEngine(FakeEngineOptions options);

}  // namespace ponder
