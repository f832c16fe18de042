#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/collective.h"
#include "model/weights.h"
#include "rollout/engine.h"

namespace ponder {

// One end of what brings weights from the learner's device to those of engines. Both outlive it.
struct FeedTarget {
  Weights* weights = nullptr;  // of the source's configuration, type and order
  kernels::Collective* collective = nullptr;
};

// `inner`, whose engines read the targets' weights, with the weights of the learner's device
// brought there, in pieces, before a step that finds their version changed. The source's device
// goes on with other work meanwhile: `root`, its end and rank 0, is settled before the source is
// written again (TrainerDevice::feed). Targets are ranks 1, 2, ...; `source` outlives the engine.
std::unique_ptr<RolloutEngine> CreateFedEngine(std::unique_ptr<RolloutEngine> inner,
                                               const Weights& source, kernels::Collective& root,
                                               std::vector<FeedTarget> targets);

}  // namespace ponder
