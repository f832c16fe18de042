#pragma once

#include <memory>
#include <vector>

#include "app/device_set.h"
#include "app/session.h"
#include "base/status.h"
#include "kernels/collective.h"
#include "learner/trainer.h"
#include "model/decoder.h"
#include "model/tokenizer.h"
#include "model/weights.h"
#include "rollout/engine.h"

namespace ponder {

// Where completions are generated in the learner's process: on its own devices, whose weights the
// engines read in place, or on those of machine.rollout_device, which get a copy after each update.
class RolloutDevices {
 public:
  // Joins the devices of their own, where `options` names any, to the learner's first rank, and
  // says so in `ranks`. Both sets outlive the trainer and the engine. FAILED_PRECONDITION where
  // they compute other bits than the learner's.
  absl::Status Open(const SessionOptions& options, DeviceSet& learner,
                    std::vector<TrainerDevice>& ranks);

  // An engine over all of them. `trainer`, made of the ranks, and `tokenizer` outlive it, and so
  // does this.
  absl::StatusOr<std::unique_ptr<RolloutEngine>> MakeEngine(const Trainer& trainer,
                                                            const Tokenizer& tokenizer,
                                                            const EngineOptions& options);

 private:
  std::vector<TrainerDevice> ranks_;
  DeviceSet own_;                                           // without backends: the learner's
  std::vector<std::unique_ptr<kernels::Collective>> feed_;  // the learner's end, then theirs
  std::vector<std::unique_ptr<Weights>> weights_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

}  // namespace ponder
