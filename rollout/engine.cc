#include "rollout/engine.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "rollout/scheduler.h"
#include "rollout/step_runner.h"

namespace ponder {
namespace {

using kernels::KvPagesFor;

absl::Status CheckSampling(const SamplingParams& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return InvalidArgument("expected a temperature of 0 or more, found {}", sampling.temperature);
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return InvalidArgument("expected top_p in (0, 1], found {}", sampling.top_p);
  }
  if (sampling.top_k < 0) {
    return InvalidArgument("expected top_k of 0 (off) or more, found {}", sampling.top_k);
  }
  if (sampling.max_new_tokens < 1) {
    return InvalidArgument("expected max_new_tokens of 1 or more, found {}",
                           sampling.max_new_tokens);
  }
  for (const std::string& text : sampling.stop_strings) {
    if (text.empty())
      return InvalidArgument("an empty stop string would end every completion at once");
  }
  return absl::OkStatus();
}

// True where the text holds a stop string that ends in its last `added` bytes.
bool HoldsStopString(const std::string& text, size_t added, const std::vector<std::string>& stops) {
  return std::ranges::any_of(stops, [&](const std::string& stop) {
    const size_t before = text.size() - added;
    const size_t from = before < stop.size() ? 0 : before - stop.size() + 1;
    return text.find(stop, from) != std::string::npos;
  });
}

class Engine : public RolloutEngine {
 public:
  Engine(std::unique_ptr<StepRunner> runner, const Tokenizer& tokenizer,
         const EngineOptions& options)
      : runner_(std::move(runner)),
        info_(runner_->Info()),
        tokenizer_(tokenizer),
        options_(options),
        scheduler_({.max_sequences = options.max_sequences,
                    .max_step_tokens = options.max_step_tokens,
                    .pages = info_.pages}),
        version_(info_.version) {
    load_.free_pages = load_.total_pages = info_.pages;
  }

  EngineCapabilities Capabilities() const override {
    return {.fingerprint = info_.fingerprint,
            .max_sequences = options_.max_sequences,
            .max_positions = std::min(info_.max_positions, info_.pages * kernels::kPageTokens)};
  }

  absl::Status Submit(RolloutRequest request) override {
    PONDER_RETURN_IF_ERROR(
        Annotate(Check(request), "request for task \"" + request.task_id + "\""));
    auto shared = std::make_shared<const RolloutRequest>(std::move(request));
    absl::MutexLock lock(&mutex_);
    load_.waiting += shared->sample_count;
    inbox_.push_back({.submit = std::move(shared)});
    return absl::OkStatus();
  }

  void Cancel(uint64_t request_id) override {
    absl::MutexLock lock(&mutex_);
    inbox_.push_back({.cancel = request_id});
  }

  absl::StatusOr<bool> Step() override {
    bool changed = TakeInbox();
    changed = DropLate() || changed;
    const std::vector<Chunk> chunks = scheduler_.Plan();
    if (chunks.empty() && flights_.empty()) {
      UpdateLoad();
      return changed;
    }
    absl::Status status;
    if (!chunks.empty()) status = Launch(chunks);
    // A step ahead: what it draws is looked at while the next one runs.
    const size_t ahead = info_.runs_ahead && !chunks.empty() ? 1 : 0;
    while (status.ok() && flights_.size() > ahead) status = Collect();
    if (!status.ok()) Abandon();
    UpdateLoad();
    if (!status.ok()) return status;
    return true;
  }

  std::vector<RolloutResult> Poll() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(finished_, {});
  }

  EngineLoad Load() const override {
    absl::MutexLock lock(&mutex_);
    return load_;
  }

  void WeightsChanged(int64_t version) override {
    version_ = version;
    scheduler_.WeightsChanged();
  }

 private:
  struct Operation {  // one of the two
    std::shared_ptr<const RolloutRequest> submit;
    uint64_t cancel = 0;
  };
  // A step that was launched: who draws a token in it. Null: nobody waits for it any more.
  struct Flight {
    std::vector<Sequence*> drawing;
    int64_t version = 0;
  };

  absl::Status Check(const RolloutRequest& request) const {
    PONDER_RETURN_IF_ERROR(CheckSampling(request.sampling));
    if (request.prompt_ids.empty()) {
      return InvalidArgument("the prompt is empty: expected one token at least, for instance BOS");
    }
    for (size_t i = 0; i < request.prompt_ids.size(); ++i) {
      const int32_t id = request.prompt_ids[i];
      if (id < 0 || id >= info_.vocabulary) {
        return InvalidArgument("token {} of the prompt is id {}, outside the vocabulary of {}", i,
                               id, info_.vocabulary);
      }
    }
    if (request.sample_begin < 0 || request.sample_count < 1) {
      return InvalidArgument("expected samples from 0 on and one at least, found {} from {} on",
                             request.sample_count, request.sample_begin);
    }
    const int64_t prompt = std::ssize(request.prompt_ids);
    const int64_t answer = request.sampling.max_new_tokens;
    if (answer > info_.max_positions - prompt) {
      return InvalidArgument(
          "prompt ({} tokens) and answer (at most {}) exceed the model's {} positions; shorten the "
          "prompt or "
          "lower max_new_tokens",
          prompt, answer, info_.max_positions);
    }
    // Keys and values of the last token are never needed.
    if (KvPagesFor(prompt + answer - 1) > info_.pages) {
      return InvalidArgument(
          "prompt ({} tokens) and answer (at most {}) exceed the cache of {} tokens; enlarge the "
          "cache or lower "
          "max_new_tokens",
          prompt, answer, info_.pages * kernels::kPageTokens);
    }
    return absl::OkStatus();
  }

  // True where something was there.
  bool TakeInbox() {
    std::vector<Operation> inbox;
    {
      absl::MutexLock lock(&mutex_);
      inbox = std::exchange(inbox_, {});
    }
    for (const Operation& operation : inbox) {
      if (operation.submit != nullptr) {
        next_deadline_ = std::min(next_deadline_, operation.submit->deadline);
        for (int64_t i = 0; i < operation.submit->sample_count; ++i)
          scheduler_.Add(Start(operation.submit, i));
      } else {
        EmitCancelled(scheduler_.Remove(
            [&](const RolloutRequest& request) { return request.id == operation.cancel; }));
      }
    }
    return !inbox.empty();
  }

  // True where some request's time is up.
  bool DropLate() {
    if (next_deadline_ == absl::InfiniteFuture()) return false;
    const absl::Time now = options_.clock->Now();
    if (now < next_deadline_) return false;
    next_deadline_ = absl::InfiniteFuture();
    const auto late = scheduler_.Remove([&](const RolloutRequest& request) {
      if (request.deadline <= now) return true;
      next_deadline_ = std::min(next_deadline_, request.deadline);
      return false;
    });
    EmitCancelled(late);
    return !late.empty();
  }

  void EmitCancelled(const std::vector<std::unique_ptr<Sequence>>& sequences) {
    for (const auto& sequence : sequences) {
      Forget(sequence.get());
      Emit(*sequence, FinishReason::kCancelled);
    }
  }

  // What is still drawn for it is for nobody.
  void Forget(const Sequence* sequence) {
    for (Flight& flight : flights_) {
      std::ranges::replace(flight.drawing, const_cast<Sequence*>(sequence), nullptr);
    }
  }

  static std::unique_ptr<Sequence> Start(std::shared_ptr<const RolloutRequest> request, int64_t i) {
    auto sequence = std::make_unique<Sequence>();
    sequence->completion.sample_index = request->sample_begin + i;
    sequence->tokens = request->prompt_ids;
    sequence->request = std::move(request);
    return sequence;
  }

  absl::Status Launch(const std::vector<Chunk>& chunks) {
    static constexpr int32_t kNotKnown = 0;
    std::vector<StepInput> inputs;
    inputs.reserve(chunks.size());
    Flight flight = {.drawing = {}, .version = version_};
    int64_t prefilled = 0;
    for (const Chunk& chunk : chunks) {
      Sequence& sequence = *chunk.sequence;
      const RolloutRequest& request = *sequence.request;
      StepInput input{.first_position = sequence.computed,
                      .pages = std::span<const int32_t>(sequence.pages)
                                   .first(KvPagesFor(sequence.computed + chunk.count)),
                      .samples = chunk.Samples()};
      const std::span<const int32_t> tokens = sequence.tokens;
      if (sequence.pending > 0) {
        PONDER_CHECK(sequence.computed == std::ssize(tokens) && chunk.count == 1);
        input.ids = std::span(&kNotKnown, 1);
        input.follows = sequence.draw;
        input.stop_ids = request.sampling.stop_ids;
      } else {
        input.ids = tokens.subspan(sequence.computed, chunk.count);
      }
      if (input.samples) {
        input.sampling = {
            .temperature = request.sampling.temperature,
            .top_p = request.sampling.top_p,
            .top_k = request.sampling.top_k,
            .uniform = SamplingUniform(request.seed, request.task_id,
                                       sequence.completion.sample_index, sequence.Drawn())};
        flight.drawing.push_back(&sequence);
      }
      const bool decodes = chunk.count == 1 && sequence.computed >= std::ssize(request.prompt_ids);
      if (!decodes) prefilled += chunk.count;
      inputs.push_back(input);
    }
    PONDER_RETURN_IF_ERROR(runner_->Launch(inputs));
    prefill_tokens_ += prefilled;
    scheduler_.Commit(chunks);
    flights_.push_back(std::move(flight));
    return absl::OkStatus();
  }

  // Drops what is under way: it will be drawn again, the same.
  void Abandon() {
    for (; !flights_.empty(); flights_.pop_front()) runner_->Collect();
    scheduler_.Abandon();
  }

  // Takes in what the oldest step under way has drawn.
  absl::Status Collect() {
    const std::vector<SampledToken> sampled = runner_->Collect();
    const Flight flight = std::move(flights_.front());
    flights_.pop_front();
    PONDER_CHECK(sampled.size() == flight.drawing.size());
    for (size_t i = 0; i < sampled.size(); ++i) {
      if (flight.drawing[i] == nullptr) continue;
      PONDER_CHECK(sampled[i].id >= 0 && sampled[i].id < info_.drawable_tokens);
      if (!std::isfinite(sampled[i].logprob)) {
        return Internal(
            "a sampled token has log-prob {}: the weights of policy version {} hold values that "
            "are not finite or too large",
            sampled[i].logprob, flight.version);
      }
    }
    for (size_t i = 0; i < sampled.size(); ++i) {
      if (flight.drawing[i] == nullptr) continue;
      ++decode_tokens_;
      Append(*flight.drawing[i], sampled[i], flight.version);
    }
    return absl::OkStatus();
  }

  void Append(Sequence& sequence, const SampledToken& token, int64_t version) {
    Completion& completion = sequence.completion;
    if (completion.versions.empty() || completion.versions.back().version != version) {
      completion.versions.push_back(
          {.begin = std::ssize(completion.token_ids), .version = version});
    }
    --sequence.pending;
    completion.token_ids.push_back(token.id);
    completion.sampled_mask.push_back(1);
    completion.logprobs.push_back(token.logprob);
    completion.entropies.push_back(token.entropy);
    sequence.tokens.push_back(token.id);
    if (sequence.request->on_token) sequence.request->on_token(completion.sample_index, token.id);
    if (const FinishReason reason = EndedBy(sequence, token.id);
        reason != FinishReason::kUnspecified) {
      Forget(&sequence);
      Emit(*scheduler_.Finish(&sequence), reason);
    }
  }

  FinishReason EndedBy(Sequence& sequence, int32_t id) const {
    const SamplingParams& sampling = sequence.request->sampling;
    if (std::ranges::count(sampling.stop_ids, id) > 0) return FinishReason::kStop;
    if (!sampling.stop_strings.empty() && !tokenizer_.IsSpecial(id)) {
      // Bytes, not text: a character may be spread over several tokens.
      const std::string_view bytes = tokenizer_.TokenBytes(id);
      sequence.text_bytes += bytes;
      if (HoldsStopString(sequence.text_bytes, bytes.size(), sampling.stop_strings))
        return FinishReason::kStop;
    }
    const bool full = std::ssize(sequence.completion.token_ids) == sampling.max_new_tokens;
    return full ? FinishReason::kLength : FinishReason::kUnspecified;
  }

  void Emit(Sequence& sequence, FinishReason reason) {
    Completion& completion = sequence.completion;
    completion.finish = reason;
    completion.text = tokenizer_.Decode(completion.token_ids);
    absl::MutexLock lock(&mutex_);
    finished_.push_back({.request_id = sequence.request->id, .completion = std::move(completion)});
  }

  void UpdateLoad() {
    absl::MutexLock lock(&mutex_);
    load_ = {.waiting = scheduler_.Waiting(),
             .running = scheduler_.Running(),
             .free_pages = scheduler_.Pages().Free(),
             .total_pages = scheduler_.Pages().Total(),
             .prefill_tokens = prefill_tokens_,
             .decode_tokens = decode_tokens_,
             .cached_tokens = scheduler_.CachedTokens(),
             .preemptions = scheduler_.Preemptions()};
    for (const Operation& operation : inbox_) {
      if (operation.submit != nullptr) load_.waiting += operation.submit->sample_count;
    }
  }

  const std::unique_ptr<StepRunner> runner_;
  const StepRunnerInfo info_;
  const Tokenizer& tokenizer_;
  const EngineOptions options_;

  // Of the stepping thread.
  Scheduler scheduler_;
  std::deque<Flight>
      flights_;  // oldest first; none between steps where the runner does not run ahead
  int64_t version_;
  absl::Time next_deadline_ = absl::InfiniteFuture();  // of all requests under way, or earlier
  int64_t prefill_tokens_ = 0;
  int64_t decode_tokens_ = 0;

  mutable absl::Mutex mutex_;
  std::vector<Operation> inbox_ ABSL_GUARDED_BY(mutex_);  // in the order of the calls
  std::vector<RolloutResult> finished_ ABSL_GUARDED_BY(mutex_);
  EngineLoad load_ ABSL_GUARDED_BY(mutex_);  // as of the last step, and what was submitted since
};

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutEngine>> CreateEngineOver(std::unique_ptr<StepRunner> runner,
                                                                const Tokenizer& tokenizer,
                                                                const EngineOptions& options) {
  if (options.max_sequences < 1 || options.max_step_tokens < options.max_sequences) {
    return InvalidArgument(
        "expected max_sequences of 1 or more and max_step_tokens of max_sequences or more, found "
        "{} and {}",
        options.max_sequences, options.max_step_tokens);
  }
  const StepRunnerInfo info = runner->Info();
  if (info.drawable_tokens > tokenizer.Size()) {
    return FailedPrecondition(
        "{} ids can be sampled, but the tokenizer has {} tokens; call Weights::SetDrawableTokens "
        "with the "
        "tokenizer's size",
        info.drawable_tokens, tokenizer.Size());
  }
  return std::make_unique<Engine>(std::move(runner), tokenizer, options);
}

}  // namespace ponder
