#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/collective.h"
#include "kernels/gpu_workspace.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace ponder {

// The cap where samplers need one and PolicyLossSettings::importance_cap is 0.
inline constexpr double kDefaultImportanceCap = 2;

struct PolicyLossSettings {
  // How token terms are summed: "sequence_mean" (GRPO: mean over a sequence's tokens, then over
  // sequences; Shao et al. 2024), "token_mean" (DAPO: mean over all tokens of the step; Yu et al.
  // 2025), "constant" (Dr. GRPO: sum divided by sequences times max_new_tokens; Liu et al. 2025).
  std::string aggregation = "token_mean";
  double clip_low = 0.2;  // the ratio is clipped to [1 - clip_low, 1 + clip_high]
  double clip_high = 0.2;
  double kl_weight = 0;  // of the k3 estimate exp(ref - logp) - (ref - logp) - 1 (Schulman 2020)
                         // against the reference
  // > 0: the ratio's denominator is the learner's own probability before the step's first update,
  // and each token is weighted by min(that / behaviour probability, cap): for samplers of other
  // numerics and of older versions. The weight is 1 for what the current version sampled with the
  // learner's numerics.
  double importance_cap = 0;
};

struct OptimizerSettings {
  double learning_rate = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_gradient_norm = 1;       // 0 = no clipping
  int64_t warmup_updates = 0;         // linear from 0
  std::string schedule = "constant";  // "constant", "linear", "cosine": to 0 at total_updates
  int64_t total_updates = 0;
};

// What the optimizer keeps of the moments: floats, or 8 bits an element (kernels/moment_codes.h).
enum class Moments { kF32, k8Bit };

struct TrainerOptions {
  std::string model_directory;                   // Hugging Face directory to start from
  kernels::DType dtype = kernels::DType::kBF16;  // of the working weights
  PolicyLossSettings loss;
  OptimizerSettings optimizer;
  Moments moments = Moments::kF32;
  bool offload = false;               // master weights and moments in the host's memory, of a GPU
  int64_t micro_batch_tokens = 4096;  // rows of one forward and backward
  Keep keep = Keep::kAll;             // what a forward leaves for its backward
  int64_t updates_per_step = 1;       // mini-batches of groups a step; each is one optimizer update
  int64_t max_new_tokens = 256;       // for "constant" aggregation
  int64_t max_bad_updates = 3;        // skipped in a row before the run stops
  // Ids that have a probability, as in the sampler's Weights::DrawableTokens; 0 = as many as
  // model_directory's tokenizer has, or the whole vocabulary where there is no tokenizer.json.
  int64_t valid_vocabulary = 0;
};

// One example of supervised fine-tuning: loss on the completion's tokens only.
struct SftExample {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> completion_ids;
};

struct UpdateReport {
  int64_t policy_version = 0;  // after the call
  std::map<std::string, double>
      metrics;  // "loss/policy", "policy/kl", "policy/clip_low", "optimizer/gradient_norm", ...
  // What the clip did to each token of each completion of each group: -1 cut off below, 1 above, 0
  // not. Empty at any level: nowhere.
  std::vector<std::vector<std::vector<int8_t>>> clips;
  int64_t skipped_updates = 0;  // not finite: left out
  std::string skip_reason;      // names the first bad tensor
};

// Whether all who sampled a step compute the learner's bits (EngineCapabilities::fingerprint).
enum class SamplerNumerics { kSame, kDiffer };

// What a rank of the learner runs on; both outlive the trainer.
struct TrainerDevice {
  kernels::Backend* backend = nullptr;
  kernels::Collective* collective = nullptr;  // null where it is the only one
  // Through which its weights go to other devices, or null: what was broadcast is settled before
  // they are written again.
  kernels::Collective* feed = nullptr;
  // Where cache and activations lie, TrainerPlaceBytes at least; outlives the trainer. Others may
  // use it between the trainer's calls. Null: the trainer has its own.
  kernels::DeviceSpan place;
};

// The learner: fp32 master weights, AdamW, gradients; the working weights it publishes are read in
// place by the engine of the same process. Not thread-safe; no engine step may run during a call.
class Trainer {
 public:
  virtual ~Trainer() = default;

  virtual const Weights& GetWeights() const = 0;
  // The same bits on another of the learner's devices, for the engine there; rank 0 has GetWeights.
  virtual const Weights& WeightsOn(int64_t rank) const {
    static_cast<void>(rank);
    return GetWeights();
  }
  virtual int64_t PolicyVersion() const = 0;

  // GRPO on a step's groups. Completions of groups without gradient (all advantages 0) are left out
  // of the update, but counted in its normalisation. Metrics hold "exactness/logprob_max_abs_diff":
  // the largest difference between the behaviour log-probs and the learner's own before the first
  // update, over tokens before which the current version has sampled their whole completion.
  // With several devices each takes some of the groups; the update and its metrics are of all.
  // "staleness/mean" and "staleness/max" are of the policy version at the start of the call minus
  // the one that sampled, over target tokens. FAILED_PRECONDITION after max_bad_updates in a row.
  // Samplers of other numerics are corrected for (PolicyLossSettings::importance_cap), with
  // kDefaultImportanceCap where the settings have no cap.
  virtual absl::StatusOr<UpdateReport> Update(std::span<const ScoredGroup> groups,
                                              SamplerNumerics numerics) = 0;

  // One optimizer update on these examples (mean over completion tokens of -log p).
  virtual absl::StatusOr<UpdateReport> Supervise(std::span<const SftExample> examples) = 0;

  // Forgets moments and schedule position: a new phase with other optimizer settings (cold start,
  // then RL).
  virtual absl::Status BeginPhase(const OptimizerSettings& optimizer,
                                  const PolicyLossSettings& loss) = 0;

  // Freezes a copy of the current working weights as the reference of the KL term.
  virtual absl::Status SetReferenceFromCurrent() = 0;

  // DIR becomes a Hugging Face directory (bf16, or f32 for f32 weights; tokenizer files copied from
  // model_directory) with trainer_state.bin beside (master weights, moments, counters;
  // checksummed), written aside, synced, renamed into place.
  virtual absl::Status SaveCheckpoint(const std::string& directory) = 0;
  // Bit for bit the state that was saved. DATA_LOSS where a checksum does not fit.
  virtual absl::Status LoadCheckpoint(const std::string& directory) = 0;
};

// What training will take, worked out before anything is allocated.
struct MemoryPlanRow {
  std::string name;  // "master weights", "moments", "gradients", "working weights", "activations",
                     // "cache", "logits"
  int64_t bytes = 0;
};
// Whose memory a plan is about: of a process that computes on the CPU, or of a GPU.
enum class PlannedMemory { kHost, kGpu };
std::vector<MemoryPlanRow> PlanTrainerMemory(const ModelConfig& config,
                                             const TrainerOptions& options,
                                             PlannedMemory memory = PlannedMemory::kHost);
// Of the plan's rows, what TrainerDevice::place holds.
int64_t TrainerPlaceBytes(const ModelConfig& config, const TrainerOptions& options,
                          PlannedMemory memory);
// What the learner's operations are asked for.
kernels::GpuWork TrainerWork(const ModelConfig& config, const TrainerOptions& options);

}  // namespace ponder
