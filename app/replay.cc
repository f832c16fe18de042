#include "app/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "app/session.h"
#include "base/check.h"
#include "kernels/kv_cache.h"
#include "model/decoder.h"
#include "observe/terminal_text.h"

namespace ponder {
namespace {

class Replayer {
 public:
  Replayer(const ReplayParts& parts, const std::function<absl::Status(ReplayedSample)>& on_sample)
      : parts_(parts), timeline_(*parts.timeline), on_sample_(on_sample) {}

  absl::StatusOr<std::string> Run(std::vector<StoredCompletion> samples);

 private:
  struct Item {
    StoredCompletion recorded;
    std::vector<RunPoint> points;  // one a span of versions
    const RunConfig* config = nullptr;
  };
  // A completion over which weights changed: an engine of its own can stop anywhere.
  struct Flight {
    Item* item = nullptr;
    size_t span = 0;     // under way
    int64_t tokens = 0;  // so far
    std::shared_ptr<Trainer> trainer;
    std::unique_ptr<Decoder> decoder;
    std::unique_ptr<RolloutEngine> engine;
  };

  absl::StatusOr<Item> Place(const StoredCompletion& recorded) const;
  void Announce(const std::vector<RunLeg>& legs) const;
  absl::Status Follow(const RunLeg& leg);
  absl::Status Serve(RunPoint point);
  absl::Status Generate(const std::vector<Item*>& items);
  absl::Status GoOn(Flight& flight);
  absl::StatusOr<RolloutRequest> Request(const Item& item);
  absl::Status Finish(Item& item, Completion found);
  std::string LikelyCause(const Completion& recorded, const ReplayDifference& difference) const;
  bool Cancelled() const { return parts_.cancelled && parts_.cancelled(); }

  const ReplayParts& parts_;
  const RunTimeline& timeline_;
  const std::function<absl::Status(ReplayedSample)>& on_sample_;
  std::vector<Item> items_;
  std::set<RunPoint> wanted_;  // still
  std::vector<std::unique_ptr<Flight>> flights_;
  std::map<const RunConfig*, SamplingParams> sampling_;
  int64_t done_ = 0;
  int64_t learnt_ = 0, to_learn_ = 0;  // updates, for the progress
  std::string first_difference_;       // of an update, over all legs
};

// Which weights sampled a completion, by the versions in its record; DATA_LOSS where none can be
// made that did.
absl::StatusOr<Replayer::Item> Replayer::Place(const StoredCompletion& recorded) const {
  const Completion& completion = recorded.completion;
  const std::vector<VersionSpan>& spans = completion.versions;
  if (completion.token_ids.empty() || spans.empty() || spans.front().begin != 0)
    return DataLoss("expected tokens, and the policy version of each, found none");
  if (completion.logprobs.size() != completion.token_ids.size())
    return DataLoss("it has no log-probs to compare with");
  if (std::ranges::count(completion.sampled_mask, 0) > 0)
    return DataLoss(
        "it has tokens that the model did not sample: what they came from is not stored");
  Item item;
  const bool untrained = recorded.phase == "eval/untrained";
  for (size_t i = 0; i < spans.size(); ++i) {
    const std::optional<RunPoint> point =
        untrained ? std::optional<RunPoint>(0) : timeline_.OfVersion(spans[i].version);
    if (!point.has_value() || (!item.points.empty() && *point <= item.points.back()))
      return DataLoss("policy version {} is none that a step of the run left, in order",
                      spans[i].version);
    if (i > 0 && (spans[i].begin <= spans[i - 1].begin ||
                  spans[i].begin >= std::ssize(completion.token_ids)))
      return DataLoss("policy version {} from token {} on is out of order", spans[i].version,
                      spans[i].begin);
    item.points.push_back(*point);
  }
  // An evaluation belongs to what was done before its point, and was sampled as that had it.
  const bool evaluation = recorded.phase != "train";
  const RunPoint first = item.points.front();
  item.config = &parts_.relearner->ConfigAt(evaluation ? std::max<RunPoint>(first - 1, 0) : first);
  return item;
}

void Replayer::Announce(const std::vector<RunLeg>& legs) const {
  std::string words;
  double seconds = 0;
  for (const RunLeg& leg : legs) {
    words += fmt::format("{}{}", words.empty() ? "" : "; ", Describe(leg, timeline_));
    for (RunPoint point = leg.begin + 1; point <= leg.end; ++point)
      seconds += parts_.learn_s ? parts_.learn_s(point) : 0;
  }
  if (seconds >= 1) words += fmt::format(" ({} in the run)", HumanDuration(seconds));
  const int64_t left = std::ssize(items_) - done_;
  parts_.console->Say(fmt::format("{}, then {} sample{}", words, left, left == 1 ? "" : "s"));
}

absl::StatusOr<std::string> Replayer::Run(std::vector<StoredCompletion> samples) {
  for (StoredCompletion& sample : samples) {
    absl::StatusOr<Item> item = Place(sample);
    if (!item.ok()) {
      PONDER_RETURN_IF_ERROR(on_sample_(
          {.recorded = std::move(sample), .impossible = std::string(item.status().message())}));
      continue;
    }
    item->recorded = std::move(sample);
    wanted_.insert(item->points.begin(), item->points.end());
    items_.push_back(*std::move(item));
  }
  // Completions under way go on with the trainer they began with: no leg may begin among theirs.
  std::vector<RunPoint> checkpoints;
  for (const CheckpointName& name : parts_.checkpoints) {
    const RunPoint point = timeline_.Of(name);
    const bool divides = std::ranges::any_of(items_, [&](const Item& item) {
      return item.points.front() < point && point <= item.points.back();
    });
    if (!divides) checkpoints.push_back(point);
  }
  std::ranges::sort(checkpoints);
  bool news = true;
  while (!wanted_.empty()) {
    const std::vector<RunLeg> legs =
        PlanLegs(parts_.relearner->Here(), {wanted_.begin(), wanted_.end()}, checkpoints);
    if (std::exchange(news, false)) {
      Announce(legs);
      learnt_ = to_learn_ = 0;
      const RunPoint start = timeline_.OfStep(0);
      for (const RunLeg& leg : legs)
        to_learn_ += leg.end - leg.begin - (leg.begin < start && leg.end >= start);
    }
    const RunLeg& leg = legs.front();
    const absl::Status begun = parts_.relearner->Begin(leg);
    if (!begun.ok() && leg.from == RunLeg::From::kCheckpoint) {
      parts_.console->Warn(fmt::format("checkpoint {} cannot be used: {}",
                                       timeline_.NameOf(leg.begin).ToString(), begun.message()));
      std::erase(checkpoints, leg.begin);
      news = true;
      continue;
    }
    PONDER_RETURN_IF_ERROR(begun);
    PONDER_RETURN_IF_ERROR(Follow(leg));
  }
  return first_difference_;
}

absl::Status Replayer::Follow(const RunLeg& leg) {
  for (RunPoint point = leg.begin;; ++point) {
    PONDER_RETURN_IF_ERROR(Serve(point));
    if (point == leg.end) return absl::OkStatus();
    if (Cancelled()) return absl::CancelledError("interrupted");
    parts_.console->Progress("learn again", learnt_, to_learn_);
    const bool was_the_runs = parts_.relearner->Difference().empty();
    PONDER_RETURN_IF_ERROR(parts_.relearner->Advance());
    parts_.console->Progress("", 0, 0);
    if (point == timeline_.supervised) continue;  // the steps begin: nothing was learnt
    parts_.console->Say(fmt::format("{} learnt again, {}/{}",
                                    timeline_.NameOf(point + 1).ToString(), ++learnt_, to_learn_));
    const std::string& difference = parts_.relearner->Difference();
    if (!was_the_runs || difference.empty()) continue;
    parts_.console->Warn(difference +
                         "; from there on the weights are not the run's, up to the next checkpoint "
                         "that is taken up");
    if (first_difference_.empty()) first_difference_ = difference;
  }
}

// Generates whatever comes from the weights of this point.
absl::Status Replayer::Serve(RunPoint point) {
  if (wanted_.erase(point) == 0) return absl::OkStatus();
  for (const auto& flight : flights_) {
    if (flight->item->points[flight->span + 1] != point) continue;
    ++flight->span;
    PONDER_RETURN_IF_ERROR(GoOn(*flight));
  }
  std::vector<Item*> whole;
  for (Item& item : items_) {
    if (item.points.front() != point) continue;
    if (item.points.size() == 1) {
      whole.push_back(&item);
      continue;
    }
    auto flight = std::make_unique<Flight>();
    flight->item = &item;
    PONDER_RETURN_IF_ERROR(GoOn(*flight));
    flights_.push_back(std::move(flight));
  }
  std::erase_if(flights_, [](const auto& flight) { return flight->engine == nullptr; });
  if (!whole.empty()) PONDER_RETURN_IF_ERROR(Generate(whole));
  parts_.console->Progress("", 0, 0);
  return absl::OkStatus();
}

absl::StatusOr<RolloutRequest> Replayer::Request(const Item& item) {
  if (!sampling_.contains(item.config)) {
    PONDER_ASSIGN_OR_RETURN(sampling_[item.config], parts_.sampling(*item.config));
  }
  const StoredCompletion& recorded = item.recorded;
  RolloutRequest request{.task_id = recorded.task.id,
                         .seed = recorded.seed,
                         .prompt_ids = recorded.prompt_ids,
                         .sample_begin = recorded.completion.sample_index,
                         .sample_count = 1,
                         .sampling = sampling_.at(item.config)};
  request.sampling.temperature = recorded.temperature;
  return request;
}

absl::Status Replayer::Generate(const std::vector<Item*>& items) {
  const std::shared_ptr<Trainer> trainer = parts_.relearner->GetTrainer();
  Decoder decoder(*parts_.backend, trainer->GetWeights());
  std::vector<RolloutRequest> requests;
  int64_t longest = 0;
  for (const Item* item : items) {
    PONDER_ASSIGN_OR_RETURN(RolloutRequest request, Request(*item));
    request.id = requests.size();
    longest = std::max(longest, std::ssize(request.prompt_ids) + request.sampling.max_new_tokens);
    requests.push_back(std::move(request));
  }
  const RolloutKeys& keys = items.front()->config->rollout;
  const int64_t together = std::min<int64_t>(std::ssize(items), keys.max_sequences);
  const int64_t pages = kernels::KvPagesFor(longest);
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<RolloutEngine> engine,
      CreateEngine(decoder, *parts_.tokenizer,
                   {.max_sequences = together,
                    .max_step_tokens = keys.max_step_tokens,
                    .cache_tokens = std::max(
                        pages * kernels::kPageTokens,
                        std::min(keys.cache_tokens, together * pages * kernels::kPageTokens))}));
  engine->WeightsChanged(items.front()->recorded.completion.versions.front().version);
  size_t next = 0;
  return RunRequests(
      *engine, together,
      [&]() -> absl::StatusOr<std::optional<RolloutRequest>> {
        if (Cancelled()) return absl::CancelledError("interrupted");
        if (next == requests.size()) return std::nullopt;
        return std::move(requests[next++]);
      },
      [&](RolloutResult result) {
        return Finish(*items.at(result.request_id), std::move(result.completion));
      });
}

// With the weights that stand now, up to the place where they changed, or to the end.
absl::Status Replayer::GoOn(Flight& flight) {
  Item& item = *flight.item;
  if (flight.engine == nullptr) {
    PONDER_ASSIGN_OR_RETURN(RolloutRequest request, Request(item));
    flight.trainer = parts_.relearner->GetTrainer();
    flight.decoder = std::make_unique<Decoder>(*parts_.backend, flight.trainer->GetWeights());
    PONDER_ASSIGN_OR_RETURN(flight.engine,
                            CreateEngine(*flight.decoder, *parts_.tokenizer,
                                         {.max_sequences = 1,
                                          .max_step_tokens = item.config->rollout.max_step_tokens,
                                          .cache_tokens = std::ssize(request.prompt_ids) +
                                                          request.sampling.max_new_tokens}));
    request.on_token = [&flight](int64_t, int32_t) { ++flight.tokens; };
    PONDER_RETURN_IF_ERROR(flight.engine->Submit(std::move(request)));
  }
  const std::vector<VersionSpan>& spans = item.recorded.completion.versions;
  flight.engine->WeightsChanged(spans[flight.span].version);
  const bool last = flight.span + 1 == spans.size();
  while (last || flight.tokens < spans[flight.span + 1].begin) {
    if (Cancelled()) return absl::CancelledError("interrupted");
    PONDER_RETURN_IF_ERROR(flight.engine->Step().status());
    std::vector<RolloutResult> results = flight.engine->Poll();
    if (results.empty()) continue;
    flight.engine = nullptr;
    return Finish(item, std::move(results.front().completion));
  }
  return absl::OkStatus();
}

std::string Replayer::LikelyCause(const Completion& recorded,
                                  const ReplayDifference& difference) const {
  if (!parts_.other_numerics.empty()) return parts_.other_numerics;
  if (!parts_.relearner->Difference().empty()) return parts_.relearner->Difference();
  std::string causes = parts_.other_workers;
  const int64_t first =
      difference.logprob_token.value_or(difference.token.value_or(std::ssize(recorded.token_ids)));
  if (recorded.versions.size() > 1 && first >= recorded.versions[1].begin) {
    causes += fmt::format(
        "{}weights changed under way at token {}; where the engine had to give up its pages then "
        "or later, it ran the tokens before again with newer weights, which is not recorded",
        causes.empty() ? "" : "; or ", recorded.versions[1].begin);
  }
  return causes;
}

absl::Status Replayer::Finish(Item& item, Completion found) {
  ReplayedSample sample{
      .recorded = std::move(item.recorded), .settings = item.config, .found = std::move(found)};
  sample.difference = CompareCompletions(sample.recorded.completion, sample.found);
  if (sample.difference.has_value())
    sample.likely_cause = LikelyCause(sample.recorded.completion, *sample.difference);
  parts_.console->Progress("generate", ++done_, std::ssize(items_));
  return on_sample_(std::move(sample));
}

}  // namespace

absl::StatusOr<std::string> ReplaySamples(
    const ReplayParts& parts, std::vector<StoredCompletion> samples,
    const std::function<absl::Status(ReplayedSample)>& on_sample) {
  return Replayer(parts, on_sample).Run(std::move(samples));
}

}  // namespace ponder
