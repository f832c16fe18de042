#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// A run as a person writes it down: a TOML file, one struct a table. app/config_schema.cc holds the
// names, ranges and help of the keys; the defaults stand here. Units are in the names.

struct RunKeys {
  std::string name = "run";
  std::string directory;  // empty: runs/<name>-<timestamp>
  int64_t seed = 1;
  int64_t steps = 60;
  int64_t checkpoint_every = 10;
  int64_t keep_checkpoints = 2;
};

struct ModelKeys {
  std::string directory;
  std::string dtype = "bf16";
};

struct CustomChatKeys {  // read where chat.template is "custom"
  std::string prefix;
  std::string default_system;
  std::string system_turn;
  std::string user_turn;
  std::string assistant_turn;
  std::string assistant_prefix;
  std::vector<std::string> stops;

  bool operator==(const CustomChatKeys&) const = default;
};

struct ChatKeys {
  std::string template_name = "auto";  // the key is called "template"
  CustomChatKeys custom;
};

struct ArithmeticKeys {
  std::string form = "a+b*c";
  int64_t low = 10;
  int64_t high = 99;
  int64_t factor_low = 2;
  int64_t factor_high = 9;
};

struct CountdownKeys {
  int64_t numbers = 3;
  int64_t low = 1;
  int64_t high = 20;
  int64_t target_high = 99;
};

struct TaskFileKeys {
  std::string path;
  std::string held_out_path;  // empty: a share of `path`
  std::string question_field = "question";
  std::string gold_field = "answer";
  std::string id_field;
  std::string solution_field;
  std::string gold_after;
  std::string verifier = "math";
};

struct TaskKeys {
  std::string kind = "arithmetic";
  int64_t seed = 1;
  double held_out_share = 0.1;
  ArithmeticKeys arithmetic;
  CountdownKeys countdown;
  TaskFileKeys file;
};

struct CustomPromptKeys {  // read where prompt.template is "custom"
  std::string system;
  std::string user;
  std::string answer_prefix;
  std::string solution = "{solution}\n\\boxed{{gold}}";
  bool chat = true;

  bool operator==(const CustomPromptKeys&) const = default;
};

struct PromptKeys {
  std::string template_name = "boxed";  // the key is called "template"
  CustomPromptKeys custom;
};

struct RolloutKeys {
  int64_t prompts_per_step = 16;
  int64_t completions_per_prompt = 8;
  int64_t max_new_tokens = 256;
  double temperature = 1;
  double top_p = 1;
  int64_t top_k = 0;
  int64_t max_sequences = 128;
  int64_t max_step_tokens = 2048;
  int64_t cache_tokens = 65536;
  int64_t max_staleness = 0;
  std::string listen;  // empty: the engine runs in this process
  double heartbeat_timeout_s = 20;
  double no_worker_timeout_s = 600;
};

// How one verifier is reached and what it is told. At most one of address, command and plugin.
struct VerifierChoiceKeys {
  std::string name = "auto";          // a built-in one, in a child process of the run
  std::string address;                // a gRPC service
  std::vector<std::string> command;   // a program that reads and writes JSON lines
  std::string plugin;                 // a shared object, in a child process of the run
  std::string extraction = "strict";  // the rest is for built-in ones
  std::string anchors = "box,tag,hashes,phrase";
  std::string decimal_places;
  std::string percent = "either";
  std::string units = "ignore";
  bool allow_weak_sandbox = false;
};

struct VerifierKeys : VerifierChoiceKeys {
  double deadline_s = 10;
  int64_t max_retries = 3;
  int64_t max_restarts = 10;
};

// [verifiers.NAME]: one beside the main one.
inline constexpr char kAddedVerifiers[] = "verifiers";
struct AddedVerifierKeys : VerifierChoiceKeys {
  std::string role = "part";
  double weight = 0;
  double share = 1;
  std::vector<std::string> sources;
  std::vector<std::string> kinds;
};

struct LanguageKeys {
  double weight = 0;
  std::string target = "en";
};

struct OverlongKeys {
  double weight = 0;
  int64_t tokens = 0;  // 0: a fifth of rollout.max_new_tokens
};

struct RepetitionKeys {
  double weight = 0;
  int64_t ngram = 20;
};

struct CosineKeys {
  double weight = 0;
  double correct_short = 2;
  double correct_long = 1;
  double wrong_short = -10;
  double wrong_long = 0;
  double exceeded = -10;
};

struct RewardKeys {
  double correct = 1;
  double format = 0.1;
  double r1_format = 0;
  double truncated_penalty = 0;
  std::vector<std::string> gates;
  LanguageKeys language;
  OverlongKeys overlong;
  RepetitionKeys repetition;
  CosineKeys cosine;
};

struct LearnerKeys {
  std::string advantage = "grpo";
  std::string aggregation = "token_mean";
  double clip_low = 0.2;
  double clip_high = 0.2;
  double kl_weight = 0;
  int64_t kl_reference_every = 0;
  double importance_cap = 0;
  int64_t updates_per_step = 1;
  int64_t micro_batch_tokens = 4096;
  bool recompute_layers = false;
  int64_t max_bad_updates = 3;
};

struct OptimizerKeys {
  double learning_rate = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_gradient_norm = 1;
  int64_t warmup_updates = 0;
  std::string schedule = "constant";
  std::string moments = "f32";
  bool offload = false;
};

struct SftKeys {
  std::string path;      // empty: the task generator's worked solutions
  int64_t examples = 0;  // 0: none, or the whole file where there is a path
  int64_t batch = 32;
  int64_t epochs = 1;
  double learning_rate = 2e-4;
  int64_t warmup_updates = 0;
  std::string schedule = "constant";

  bool Wanted() const { return examples > 0 || !path.empty(); }
};

struct EvalKeys {
  int64_t every = 0;
  int64_t tasks = 200;
  int64_t samples = 1;
  double temperature = 1;
};

struct MachineKeys {
  std::string device = "cpu";
  std::string numerics = "exact";
  std::string rollout_device;
  int64_t threads = 0;
  std::string isa = "best";
  double memory_gib = 0;
};

struct DashboardKeys {
  std::string listen;  // empty: none
  std::string token_file;
};

struct RunConfig {
  RunKeys run;
  ModelKeys model;
  ChatKeys chat;
  TaskKeys tasks;
  PromptKeys prompt;
  RolloutKeys rollout;
  VerifierKeys verifier;
  std::map<std::string, AddedVerifierKeys> verifiers;  // by NAME
  RewardKeys reward;
  LearnerKeys learner;
  OptimizerKeys optimizer;
  SftKeys sft;
  EvalKeys eval;
  MachineKeys machine;
  DashboardKeys dashboard;
};

inline constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

// Reads a TOML file, lays `overrides` ("rollout.temperature=0.8", in this order) over it and checks
// the whole; what follows from other keys is filled in. Unknown keys, wrong types, values out of
// range and keys that contradict each other are INVALID_ARGUMENT with one line a problem (at most
// ten), each with file, line and key.
absl::StatusOr<RunConfig> LoadConfig(const std::string& path,
                                     std::span<const std::string> overrides = {});

// The same from a text; `origin` stands for the path in messages. An empty text gives the defaults.
absl::StatusOr<RunConfig> ParseConfig(std::string_view text, const std::string& origin,
                                      std::span<const std::string> overrides = {});

// Checks every value's range and what keys demand of each other; ParseConfig has done this already.
absl::Status CheckConfig(const RunConfig& config, const std::string& origin);

// Commented TOML with every key; ParseConfig reads it back to the same values. The configuration
// must pass CheckConfig.
std::string DumpConfig(const RunConfig& config);

// The same with those keys alone that `why` names ("rollout.temperature"), each commented with its
// meaning and with why it has its value, where there is something to say.
std::string DumpChosenKeys(const RunConfig& config, const std::map<std::string, std::string>& why);

// The reference of all keys as Markdown, one table a section.
std::string ConfigReference();

}  // namespace ponder
