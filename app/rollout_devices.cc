#include "app/rollout_devices.h"

#include <utility>

#include "rollout/fed_engine.h"
#include "rollout/spread_engine.h"

namespace ponder {

absl::Status RolloutDevices::Open(const SessionOptions& options, DeviceSet& learner,
                                  std::vector<TrainerDevice>& ranks) {
  if (!options.device.empty()) {
    PONDER_ASSIGN_OR_RETURN(own_, OpenDevices(options));
    std::vector<kernels::Backend*> all = {&learner.First()};
    for (const auto& backend : own_.backends) {
      const std::string& expected = learner.First().Info().fingerprint;
      if (const std::string& found = backend->Info().fingerprint; found != expected)
        return FailedPrecondition(
            "the learner's device computes {}, one of machine.rollout_device {}; choose devices of "
            "one kind",
            expected, found);
      all.push_back(backend.get());
    }
    PONDER_ASSIGN_OR_RETURN(feed_, kernels::CreateCollectives(all));
    ranks.front().feed = feed_.front().get();
  }
  ranks_ = ranks;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RolloutEngine>> RolloutDevices::MakeEngine(
    const Trainer& trainer, const Tokenizer& tokenizer, const EngineOptions& options) {
  const Weights& source = trainer.GetWeights();
  std::vector<FeedTarget> targets;
  for (const auto& backend : own_.backends) {
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Weights> weights,
                            Weights::Create(*backend, source.Config(), source.Dtype()));
    weights->SetDrawableTokens(source.DrawableTokens());
    decoders_.push_back(std::make_unique<Decoder>(*backend, *weights));
    weights_.push_back(std::move(weights));
    targets.push_back({weights_.back().get(), feed_[weights_.size()].get()});
  }
  for (size_t rank = 0; own_.backends.empty() && rank < ranks_.size(); ++rank) {
    decoders_.push_back(std::make_unique<Decoder>(*ranks_[rank].backend,
                                                  trainer.WeightsOn(static_cast<int64_t>(rank))));
  }
  std::vector<std::unique_ptr<RolloutEngine>> engines;
  for (const auto& decoder : decoders_) {
    EngineOptions own = options;
    if (targets.empty()) own.place = ranks_[engines.size()].place;
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<RolloutEngine> one,
                            CreateEngine(*decoder, tokenizer, own));
    engines.push_back(std::move(one));
  }
  std::unique_ptr<RolloutEngine> engine;
  if (engines.size() == 1) {
    engine = std::move(engines.front());
  } else {
    PONDER_ASSIGN_OR_RETURN(engine, CreateSpreadEngine(std::move(engines)));
  }
  if (targets.empty()) return engine;
  return CreateFedEngine(std::move(engine), source, *feed_.front(), std::move(targets));
}

}  // namespace ponder
