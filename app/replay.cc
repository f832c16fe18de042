#include "app/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "app/session.h"
#include "base/check.h"
#include "base/random.h"
#include "kernels/kv_cache.h"
#include "model/decoder.h"
#include "observe/terminal_text.h"

namespace ponder {
namespace {

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

class Replayer {
 public:
  Replayer(const ReplayParts& parts, const std::function<absl::Status(ReplayedSample)>& on_sample)
      : parts_(parts), timeline_(*parts.timeline), on_sample_(on_sample) {}

  absl::Status Run(std::vector<StoredCompletion> samples);

 private:
  struct Item {
    StoredCompletion recorded;
    std::vector<RunPoint> points;  // one a span of versions
    const RunConfig* config = nullptr;
  };
  // A completion over which weights changed: an engine of its own can stop anywhere.
  struct Flight {
    const Item* item = nullptr;
    size_t span = 0;     // under way
    int64_t tokens = 0;  // so far
    std::shared_ptr<Trainer> trainer;
    std::unique_ptr<Decoder> decoder;
    std::unique_ptr<RolloutEngine> engine;
  };

  absl::StatusOr<Item> Place(StoredCompletion recorded) const;
  void Announce(const std::vector<RunLeg>& legs) const;
  absl::Status Follow(const RunLeg& leg);
  absl::Status Serve(RunPoint point);
  absl::Status Generate(const std::vector<const Item*>& items);
  absl::Status GoOn(Flight& flight);
  absl::StatusOr<RolloutRequest> Request(const Item& item);
  absl::Status Finish(const Item& item, Completion found);
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
  bool warned_ = false;
};

// Which weights sampled a completion, by the versions in its record.
absl::StatusOr<Replayer::Item> Replayer::Place(StoredCompletion recorded) const {
  const auto broken = [&](const std::string& what) {
    return DataLoss("sample {} (phase {}, step {}): {}", recorded.rowid, recorded.phase,
                    recorded.step, what);
  };
  const Completion& completion = recorded.completion;
  const std::vector<VersionSpan>& spans = completion.versions;
  if (completion.token_ids.empty() || spans.empty() || spans.front().begin != 0)
    return broken("expected tokens, and the policy version of each, found none");
  if (completion.logprobs.size() != completion.token_ids.size())
    return broken("it has no log-probs to compare with");
  if (std::ranges::count(completion.sampled_mask, 0) > 0)
    return broken("it has tokens that the model did not sample: what they came from is not stored");
  Item item;
  const bool untrained = recorded.phase == "eval/untrained";
  for (size_t i = 0; i < spans.size(); ++i) {
    const std::optional<RunPoint> point =
        untrained ? std::optional<RunPoint>(0) : timeline_.OfVersion(spans[i].version);
    if (!point.has_value() || (!item.points.empty() && *point <= item.points.back()))
      return broken(fmt::format("policy version {} is none that a step of the run left, in order",
                                spans[i].version));
    if (i > 0 && (spans[i].begin <= spans[i - 1].begin ||
                  spans[i].begin >= std::ssize(completion.token_ids)))
      return broken(fmt::format("policy version {} from token {} on is out of order",
                                spans[i].version, spans[i].begin));
    item.points.push_back(*point);
  }
  // An evaluation belongs to what was done before its point, and was sampled as that had it.
  const bool evaluation = recorded.phase != "train";
  const RunPoint first = item.points.front();
  item.config = &parts_.relearner->ConfigAt(evaluation ? std::max<RunPoint>(first - 1, 0) : first);
  item.recorded = std::move(recorded);
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

absl::Status Replayer::Run(std::vector<StoredCompletion> samples) {
  for (StoredCompletion& sample : samples) {
    PONDER_ASSIGN_OR_RETURN(Item item, Place(std::move(sample)));
    wanted_.insert(item.points.begin(), item.points.end());
    items_.push_back(std::move(item));
  }
  std::vector<RunPoint> checkpoints;
  for (const CheckpointName& name : parts_.checkpoints) checkpoints.push_back(timeline_.Of(name));
  std::ranges::sort(checkpoints);
  bool news = true;
  while (!wanted_.empty()) {
    // Completions under way go on with the trainer they began with.
    const std::vector<RunLeg> legs =
        flights_.empty()
            ? PlanLegs(parts_.relearner->Here(), {wanted_.begin(), wanted_.end()}, checkpoints)
            : PlanLegs(parts_.relearner->Here(), {*wanted_.begin()}, {});
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
  return absl::OkStatus();
}

absl::Status Replayer::Follow(const RunLeg& leg) {
  for (RunPoint point = leg.begin;; ++point) {
    PONDER_RETURN_IF_ERROR(Serve(point));
    if (point == leg.end) return absl::OkStatus();
    if (Cancelled()) return absl::CancelledError("interrupted");
    parts_.console->Progress("learn again", learnt_, to_learn_);
    PONDER_RETURN_IF_ERROR(parts_.relearner->Advance());
    parts_.console->Progress("", 0, 0);
    if (point == timeline_.supervised) continue;  // the steps begin: nothing was learnt
    parts_.console->Say(fmt::format("{} learnt again, {}/{}",
                                    timeline_.NameOf(point + 1).ToString(), ++learnt_, to_learn_));
    const std::string& difference = parts_.relearner->Difference();
    if (difference.empty() || std::exchange(warned_, true)) continue;
    parts_.console->Warn(difference + "; from there on the weights are not the run's");
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
  std::vector<const Item*> whole;
  for (const Item& item : items_) {
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

absl::Status Replayer::Generate(const std::vector<const Item*>& items) {
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
  const Item& item = *flight.item;
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

absl::Status Replayer::Finish(const Item& item, Completion found) {
  ReplayedSample sample{.recorded = item.recorded, .found = std::move(found)};
  const Completion& recorded = sample.recorded.completion;
  sample.difference = CompareCompletions(recorded, sample.found);
  if (sample.difference.has_value()) {
    const ReplayDifference& difference = *sample.difference;
    const int64_t length = std::ssize(recorded.token_ids);
    const int64_t first = difference.logprob_token.value_or(difference.token.value_or(length));
    if (!parts_.other_numerics.empty()) {
      sample.likely_cause = parts_.other_numerics;
    } else if (!parts_.relearner->Difference().empty()) {
      sample.likely_cause = parts_.relearner->Difference();
    } else if (recorded.versions.size() > 1 && first >= recorded.versions[1].begin) {
      sample.likely_cause = fmt::format(
          "weights changed under way at token {}; where the engine had to give up its pages then "
          "or later, it ran the tokens before again with newer weights, which is not recorded",
          recorded.versions[1].begin);
    } else {
      sample.likely_cause = parts_.other_workers;
    }
  }
  parts_.console->Progress("generate", ++done_, std::ssize(items_));
  return on_sample_(std::move(sample));
}

}  // namespace

std::optional<ReplayDifference> CompareCompletions(const Completion& recorded,
                                                   const Completion& found) {
  ReplayDifference difference;
  const int64_t common = std::min(std::ssize(recorded.token_ids), std::ssize(found.token_ids));
  int64_t equal = 0;
  while (equal < common && recorded.token_ids[equal] == found.token_ids[equal]) ++equal;
  if (recorded.token_ids.size() != found.token_ids.size() || equal < common)
    difference.token = equal;
  // The token that is another one has a log-prob of its own.
  for (int64_t i = 0; i < equal; ++i) {
    const float was = recorded.logprobs[i], now = found.logprobs[i];
    if (SameBits(was, now)) continue;
    if (!difference.logprob_token.has_value()) difference.logprob_token = i;
    difference.logprob_max_abs_diff =
        std::max(difference.logprob_max_abs_diff, std::abs(static_cast<double>(was) - now));
  }
  if (recorded.finish != found.finish) {
    difference.field = "finish";
  } else if (recorded.text != found.text) {
    difference.field = "text";
  }
  if (!difference.token.has_value() && !difference.logprob_token.has_value() &&
      difference.field.empty())
    return std::nullopt;
  return difference;
}

absl::Status ReplaySamples(const ReplayParts& parts, std::vector<StoredCompletion> samples,
                           const std::function<absl::Status(ReplayedSample)>& on_sample) {
  return Replayer(parts, on_sample).Run(std::move(samples));
}

absl::StatusOr<std::vector<int64_t>> DrawSamples(RunReader& reader, const std::string& phase,
                                                 int64_t count, uint64_t seed) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<StepInfo> infos, reader.Steps());
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
  if (drawn.empty()) return NotFound("the run has no completions of the phase \"{}\"", phase);
  return drawn;
}

}  // namespace ponder
