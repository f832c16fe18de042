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

// `inner`, whose engines read the targets' weights, in a thread of its own: it goes on while the
// learner updates. The weights of the learner's device are brought to the targets, in pieces, where
// they change (WeightsChanged, or Submit with weights that were never told of); the source's device
// goes on with other work meanwhile: `root`, its end and rank 0, is settled before the source is
// written again (TrainerDevice::feed). Targets are ranks 1, 2, ...; `source` outlives the engine.
// Submit and WeightsChanged are called by the thread that updates the source.
std::unique_ptr<RolloutEngine> CreateFedEngine(std::unique_ptr<RolloutEngine> inner,
                                               const Weights& source, kernels::Collective& root,
                                               std::vector<FeedTarget> targets);

}  // namespace ponder
