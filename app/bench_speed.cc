#include "app/bench_speed.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>

#include "app/bench_limits.h"
#include "base/random.h"
#include "learner/library.h"
#include "rollout/group_source.h"

namespace ponder {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The most memory this process has held since the last reset, without what probes take.
class PeakMemory {
 public:
  // Before a probe.
  void Take() { bytes_ = std::max(bytes_, Read()); }
  // Behind it.
  static void Reset() { std::ofstream("/proc/self/clear_refs") << "5"; }
  BenchRow Row() {
    Take();
    return MakeRow("rss", "GB", {bytes_ * 1e-9});
  }

 private:
  static double Read() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line)) {
      if (line.starts_with("VmHWM:")) return 1024.0 * std::strtod(line.c_str() + 6, nullptr);
    }
    return 0;
  }

  double bytes_ = 0;
};

// Probes of this machine, each also a row of its own at the end.
class Prober {
 public:
  Prober(kernels::Backend& backend, kernels::DType dtype) : backend_(backend), dtype_(dtype) {}

  MachineRates Probe() {
    memory_.Take();
    const kernels::MachineLimits limits = backend_.Probe();
    const double operations =
        dtype_ == kernels::DType::kBF16 ? limits.bf16_flops : limits.f32_flops;
    read_.push_back(limits.read_bytes * 1e-9);
    matrix_.push_back(operations * 1e-9);
    PeakMemory::Reset();
    return {.read_bytes = limits.read_bytes, .operations = operations};
  }
  void Report(const BenchReport& report) {
    report(memory_.Row());
    if (read_.empty()) return;
    report(MakeRow("probe_read", "GB/s", read_));
    report(MakeRow("probe_matrix", "GFLOP/s", matrix_));
  }

 private:
  kernels::Backend& backend_;
  kernels::DType dtype_;
  std::vector<double> read_, matrix_;
  PeakMemory memory_;
};

// A figure of several repetitions with the limit of each: the row's limit is such that its share is
// the median of the shares.
class Figure {
 public:
  void Add(double value, double limit) {
    values_.push_back(value);
    shares_.push_back(value / limit);
  }
  BenchRow Row(std::string name, std::string unit) const {
    BenchRow row = MakeRow(std::move(name), std::move(unit), values_);
    row.limit = row.median / MakeRow("", "", shares_).median;
    return row;
  }

 private:
  std::vector<double> values_, shares_;
};

// Random prompts of a vocabulary; no two calls share one.
class Prompts {
 public:
  explicit Prompts(int64_t vocabulary)
      : vocabulary_(vocabulary), random_(MakeRandomKey(0, "bench prompts")) {}
  std::vector<int32_t> Next(int64_t tokens) {
    std::vector<int32_t> ids(tokens);
    for (int32_t& id : ids) id = static_cast<int32_t>(random_.Between(0, vocabulary_ - 1));
    return ids;
  }

 private:
  int64_t vocabulary_;
  RandomStream random_;
};

EngineOptions EngineFor(const BenchSpeedOptions& options, int64_t sequences) {
  const int64_t tokens = options.prompt_tokens + options.new_tokens + kernels::kPageTokens;
  return {.max_sequences = sequences,
          .max_step_tokens = std::max<int64_t>(2048, sequences),
          .cache_tokens = (sequences + 1) * tokens};
}

SamplingParams Endless(const BenchSpeedOptions& options) {
  return {.temperature = 1, .max_new_tokens = options.new_tokens};
}

// Of decoding all but the first tokens, which prefill gives. At best every step overlaps its reads
// with its operations, so the limit is taken step by step.
double DecodeLimit(const ModelWork& model, const BenchSpeedOptions& options, int64_t sequences,
                   const MachineRates& rates) {
  double seconds = 0;
  for (int64_t token = 1; token < options.new_tokens; ++token) {
    seconds += LimitSeconds(model.Decode(static_cast<double>(sequences),
                                         static_cast<double>(options.prompt_tokens + token)),
                            rates);
  }
  return seconds;
}

absl::Status BenchBatch(const BenchSpeedOptions& options, Session& session, Prober& prober,
                        Prompts& prompts, int64_t batch, const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<RolloutEngine> engine,
      CreateEngine(session.GetDecoder(), session.GetTokenizer(), EngineFor(options, batch)));
  const ModelWork model = ModelWork::Of(*session.Model().weights);
  const int64_t group = std::min(options.completions, batch);
  const double prompt_count = static_cast<double>((batch + group - 1) / group);
  const double tokens = static_cast<double>(options.prompt_tokens);
  const double decoded = static_cast<double>(batch * (options.new_tokens - 1));
  Figure prefill, decode, rollout;
  for (int64_t repeat = -1; repeat < options.repeats; ++repeat) {
    const MachineRates rates = prober.Probe();
    for (int64_t begin = 0; begin < batch; begin += group) {
      PONDER_RETURN_IF_ERROR(engine->Submit({.id = static_cast<uint64_t>(begin),
                                             .task_id = fmt::format("bench {} {}", repeat, begin),
                                             .prompt_ids = prompts.Next(options.prompt_tokens),
                                             .sample_count = std::min(group, batch - begin),
                                             .sampling = Endless(options)}));
    }
    double prefill_s = 0, decode_s = 0;
    int64_t done = 0, before = engine->Load().prefill_tokens;
    while (done < batch) {
      const double start = Now();
      PONDER_RETURN_IF_ERROR(engine->Step().status());
      const double seconds = Now() - start;
      const int64_t after = engine->Load().prefill_tokens;
      (after > before ? prefill_s : decode_s) += seconds;
      before = after;
      done += std::ssize(engine->Poll());
    }
    if (repeat < 0) continue;  // warm-up
    const double forwards = std::ceil(prompt_count * tokens / 2048);
    const double prefill_limit = LimitSeconds(model.Prefill(prompt_count, tokens, forwards), rates);
    const double decode_limit = DecodeLimit(model, options, batch, rates);
    prefill.Add(prompt_count * tokens / prefill_s, prompt_count * tokens / prefill_limit);
    if (options.new_tokens > 1) decode.Add(decoded / decode_s, decoded / decode_limit);
    const double output = static_cast<double>(batch * options.new_tokens);
    rollout.Add(output / (prefill_s + decode_s), output / (prefill_limit + decode_limit));
  }
  report(prefill.Row(fmt::format("prefill B={}", batch), "tokens/s"));
  if (options.new_tokens > 1) report(decode.Row(fmt::format("decode B={}", batch), "tokens/s"));
  report(rollout.Row(fmt::format("rollout B={}", batch), "tokens/s"));
  return absl::OkStatus();
}

// Rows, targets and visible pairs of what the learner computes for the groups: the prompt's whole
// pages once, its rest with each completion.
struct TrainSizes {
  double rows = 0, targets = 0, pairs = 0;
};
TrainSizes SizesOf(const BenchSpeedOptions& options) {
  const double prompt = static_cast<double>(options.prompt_tokens);
  const double answer = static_cast<double>(options.new_tokens);
  const double prompts = static_cast<double>(options.prompts);
  const double all = prompts * static_cast<double>(options.completions);
  // The prompt once a group; each answer but its last token, whose successor nobody asks for.
  const double rows = answer - 1;
  return {.rows = prompts * prompt + all * rows,
          .targets = all * answer,
          .pairs = prompts * prompt * (prompt + 1) / 2 + all * rows * (prompt + (rows + 1) / 2)};
}

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const BenchSpeedOptions& options,
                                                     kernels::Backend& backend) {
  PONDER_ASSIGN_OR_RETURN(const kernels::DType dtype, ParseDType(options.session.dtype));
  TrainerOptions trainer;
  trainer.model_directory = options.session.model_directory;
  trainer.dtype = dtype;
  trainer.micro_batch_tokens = options.micro_batch_tokens;
  trainer.max_new_tokens = options.new_tokens;
  return CreateTrainer(backend, trainer);
}

// Every second completion is a little better than the others.
void Score(ScoredGroup& scored) {
  for (size_t i = 0; i < scored.group.completions.size(); ++i) {
    scored.rewards.push_back({.total = static_cast<double>(i % 2)});
    scored.verdicts.push_back({.status = VerdictStatus::kCorrect});
    scored.advantages.push_back(i % 2 == 0 ? 1e-3f : -1e-3f);
  }
}

std::vector<ScoredGroup> RandomGroups(const BenchSpeedOptions& options, Prompts& prompts,
                                      int64_t version) {
  std::vector<ScoredGroup> groups;
  for (int64_t p = 0; p < options.prompts; ++p) {
    ScoredGroup scored;
    scored.group.task.id = fmt::format("bench {}", p);
    scored.group.prompt_ids = prompts.Next(options.prompt_tokens);
    for (int64_t g = 0; g < options.completions; ++g) {
      Completion completion;
      completion.sample_index = g;
      completion.token_ids = prompts.Next(options.new_tokens);
      completion.sampled_mask.assign(options.new_tokens, 1);
      completion.logprobs.assign(options.new_tokens, -10);
      completion.entropies.assign(options.new_tokens, 1);
      completion.versions = {{.begin = 0, .version = version}};
      scored.group.completions.push_back(std::move(completion));
    }
    Score(scored);
    groups.push_back(std::move(scored));
  }
  return groups;
}

}  // namespace

absl::Status BenchRollout(const BenchSpeedOptions& options, const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(options.session));
  Prober prober(session->GetBackend(), session->Model().weights->Dtype());
  Prompts prompts(session->Model().weights->DrawableTokens());
  for (const int64_t batch : options.batches) {
    PONDER_RETURN_IF_ERROR(BenchBatch(options, *session, prober, prompts, batch, report));
  }
  prober.Report(report);
  return absl::OkStatus();
}

absl::Status BenchLearner(const BenchSpeedOptions& options, const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<kernels::Backend> backend,
                          CreateBackend(options.session));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer, MakeTrainer(options, *backend));
  Prober prober(*backend, trainer->GetWeights().Dtype());
  Prompts prompts(trainer->GetWeights().DrawableTokens());
  const ModelWork model = ModelWork::Of(trainer->GetWeights());
  const TrainSizes sizes = SizesOf(options);
  Figure train;
  for (int64_t repeat = -1; repeat < options.repeats; ++repeat) {
    const MachineRates rates = prober.Probe();
    const std::vector<ScoredGroup> groups =
        RandomGroups(options, prompts, trainer->PolicyVersion());
    const double start = Now();
    PONDER_RETURN_IF_ERROR(trainer->Update(groups, SamplerNumerics::kSame).status());
    const double seconds = Now() - start;
    const double limit = LimitSeconds(model.Train(sizes.rows, sizes.targets, sizes.pairs), rates);
    if (repeat >= 0) train.Add(sizes.rows / seconds, sizes.rows / limit);
  }
  report(train.Row("train", "tokens/s"));
  prober.Report(report);
  return absl::OkStatus();
}

absl::Status BenchStep(const BenchSpeedOptions& options, const BenchReport& report) {
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<kernels::Backend> backend,
                          CreateBackend(options.session));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          LoadTokenizer(options.session.model_directory));
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer, MakeTrainer(options, *backend));
  Decoder decoder(*backend, trainer->GetWeights());
  const int64_t sequences = options.prompts * options.completions;
  PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<RolloutEngine> engine,
                          CreateEngine(decoder, *tokenizer, EngineFor(options, sequences)));
  const std::unique_ptr<GroupSource> source = CreateLocalGroupSource(*engine);
  Prober prober(*backend, trainer->GetWeights().Dtype());
  Prompts prompts(trainer->GetWeights().DrawableTokens());
  const ModelWork model = ModelWork::Of(trainer->GetWeights());
  const TrainSizes sizes = SizesOf(options);
  const double prompt_count = static_cast<double>(options.prompts);
  const double tokens = static_cast<double>(options.prompt_tokens);
  Figure step, generate, learn;
  double exactness = 0;
  const SamplerNumerics numerics =
      options.session.numerics == "fast" ? SamplerNumerics::kDiffer : SamplerNumerics::kSame;
  for (int64_t repeat = -1; repeat < options.repeats; ++repeat) {
    const MachineRates rates = prober.Probe();
    std::vector<GroupRequest> requests;
    for (int64_t p = 0; p < options.prompts; ++p) {
      requests.push_back({.task = {.id = fmt::format("bench {} {}", repeat, p)},
                          .prompt_ids = prompts.Next(options.prompt_tokens),
                          .completions = options.completions,
                          .sampling = Endless(options)});
    }
    std::vector<ScoredGroup> groups(requests.size());
    const double start = Now();
    PONDER_RETURN_IF_ERROR(
        source
            ->Generate(requests, trainer->PolicyVersion(),
                       [&](size_t index, Group group) { groups[index].group = std::move(group); },
                       {}, {})
            .status());
    const double generated = Now();
    for (ScoredGroup& group : groups) Score(group);
    PONDER_ASSIGN_OR_RETURN(const UpdateReport update, trainer->Update(groups, numerics));
    PONDER_RETURN_IF_ERROR(source->PublishWeights(trainer->PolicyVersion()));
    const double end = Now();
    if (const auto found = update.metrics.find("exactness/logprob_max_abs_diff");
        found != update.metrics.end()) {
      exactness = std::max(exactness, found->second);
    }
    if (repeat < 0) continue;  // warm-up
    const double generate_limit = LimitSeconds(model.Prefill(prompt_count, tokens, 1), rates) +
                                  DecodeLimit(model, options, sequences, rates);
    const double learn_limit =
        LimitSeconds(model.Train(sizes.rows, sizes.targets, sizes.pairs), rates) +
        LimitSeconds(model.Update(), rates);
    // Seconds: the share is limit / measured, so the row holds steps an hour.
    step.Add(3600 / (end - start), 3600 / (generate_limit + learn_limit));
    generate.Add(static_cast<double>(sequences * options.new_tokens) / (generated - start),
                 static_cast<double>(sequences * options.new_tokens) / generate_limit);
    learn.Add(sizes.rows / (end - generated), sizes.rows / learn_limit);
  }
  report(step.Row("step", "steps/h"));
  report(generate.Row("step_generate", "tokens/s"));
  report(learn.Row("step_learn", "tokens/s"));
  report(MakeRow("exactness", "nats", {exactness}));
  prober.Report(report);
  return absl::OkStatus();
}

}  // namespace ponder
