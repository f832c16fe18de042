#include <algorithm>
#include <charconv>
#include <string_view>

#include "app/config_schema.h"
#include "app/device.h"

namespace ponder {
namespace {

class Checker {
 public:
  explicit Checker(const std::string& origin) : origin_(origin) {}

  template <typename... Args>
  void Require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (condition) return;
    if (!message_.empty()) message_ += '\n';
    message_ += fmt::format("{}: {}", origin_, fmt::format(format, std::forward<Args>(args)...));
  }

  absl::Status Result() const {
    return message_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(message_);
  }

 private:
  const std::string origin_;
  std::string message_;
};

bool IsRunName(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.size() <= 100 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

bool IsHostAndPort(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  int port = -1;
  const char* const end = address.data() + address.size();
  const auto parsed = std::from_chars(address.data() + colon + 1, end, port);
  return parsed.ec == std::errc() && parsed.ptr == end && port >= 0 && port <= 65535;
}

void CheckValues(RunConfig config, Checker& check) {
  for (const ConfigSection& section : ConfigSections(config)) {
    for (const ConfigKey& key : section.keys) {
      const ConfigValue value = key.find(config);
      const std::string found = ConfigViolation(key, value);
      check.Require(found.empty(), "{}.{}: expected {}, found {}", section.name, key.name,
                    ConfigExpectation(key, value), found);
    }
  }
}

void CheckTasks(const TaskKeys& tasks, Checker& check) {
  const auto require_order = [&](std::string_view table, std::string_view low_name, int64_t low,
                                 std::string_view high_name, int64_t high) {
    check.Require(low <= high, "tasks.{}.{} must not be above {}, found {} and {}", table, low_name,
                  high_name, low, high);
  };
  const ArithmeticKeys& arithmetic = tasks.arithmetic;
  require_order("arithmetic", "low", arithmetic.low, "high", arithmetic.high);
  require_order("arithmetic", "factor_low", arithmetic.factor_low, "factor_high",
                arithmetic.factor_high);
  require_order("countdown", "low", tasks.countdown.low, "high", tasks.countdown.high);
  if (tasks.kind != "file") return;
  const TaskFileKeys& file = tasks.file;
  check.Require(!file.path.empty(),
                "tasks.kind is \"file\", so tasks.file.path must name a file of JSON lines");
  check.Require(!file.question_field.empty(), "tasks.file.question_field must not be empty");
  check.Require(!file.gold_field.empty() || file.verifier == "code",
                "tasks.file.gold_field must not be empty");
  check.Require(!file.verifier.empty(), "tasks.file.verifier must not be empty");
}

void CheckChat(const ChatKeys& chat, Checker& check) {
  const CustomChatKeys& custom = chat.custom;
  if (chat.template_name != "custom") {
    check.Require(custom == CustomChatKeys(),
                  "[chat.custom] is only read where chat.template is \"custom\", found \"{}\"",
                  chat.template_name);
    return;
  }
  const auto require_content = [&](std::string_view name, const std::string& turn) {
    check.Require(turn.find("{content}") != std::string::npos,
                  "chat.custom.{} must hold {{content}}, found \"{}\"", name, turn);
  };
  require_content("user_turn", custom.user_turn);
  require_content("assistant_turn", custom.assistant_turn);
  if (!custom.system_turn.empty()) require_content("system_turn", custom.system_turn);
  check.Require(custom.default_system.empty() || !custom.system_turn.empty(),
                "chat.custom.default_system needs chat.custom.system_turn");
  check.Require(!custom.stops.empty(), "chat.custom.stops must name the tokens that end an answer");
}

void CheckPrompt(const PromptKeys& prompt, Checker& check) {
  const CustomPromptKeys& custom = prompt.custom;
  if (prompt.template_name != "custom") {
    check.Require(custom == CustomPromptKeys(),
                  "[prompt.custom] is only read where prompt.template is \"custom\", found \"{}\"",
                  prompt.template_name);
    return;
  }
  check.Require(custom.user.find("{question}") != std::string::npos,
                "prompt.custom.user must hold {{question}}, found \"{}\"", custom.user);
}

void CheckSizes(const RolloutKeys& rollout, const LearnerKeys& learner, Checker& check) {
  check.Require(rollout.completions_per_prompt >= 2,
                "learner.advantage compares the completions of one prompt with each other, so "
                "rollout.completions_per_prompt must be at least 2, found {}",
                rollout.completions_per_prompt);
  check.Require(learner.updates_per_step <= rollout.prompts_per_step,
                "learner.updates_per_step splits the groups of a step, so it must be at most "
                "rollout.prompts_per_step = {}, found {}",
                rollout.prompts_per_step, learner.updates_per_step);
  check.Require(rollout.max_step_tokens >= rollout.max_sequences,
                "rollout.max_step_tokens must be at least rollout.max_sequences = {} (each "
                "sequence takes a row of every forward), found {}",
                rollout.max_sequences, rollout.max_step_tokens);
  check.Require(rollout.cache_tokens > rollout.max_new_tokens,
                "rollout.cache_tokens must hold a prompt and rollout.max_new_tokens = {}, found {}",
                rollout.max_new_tokens, rollout.cache_tokens);
  check.Require(learner.micro_batch_tokens > rollout.max_new_tokens,
                "learner.micro_batch_tokens must hold a prompt and rollout.max_new_tokens = {}, "
                "found {}",
                rollout.max_new_tokens, learner.micro_batch_tokens);
  check.Require(rollout.max_staleness == 0 || learner.importance_cap > 0,
                "rollout.max_staleness = {} trains on tokens of older policies, so "
                "learner.importance_cap must be above 0",
                rollout.max_staleness);
  check.Require(learner.kl_reference_every == 0 || learner.kl_weight > 0,
                "learner.kl_reference_every = {} renews a reference that learner.kl_weight = 0 "
                "does not use; set a weight or leave it out",
                learner.kl_reference_every);
}

// The table is named in messages.
void CheckVerifierChoice(const std::string& table, const VerifierChoiceKeys& keys, Checker& check) {
  const int others = !keys.address.empty() + !keys.command.empty() + !keys.plugin.empty();
  check.Require(others <= 1, "{} must have one of address, command and plugin, found {}", table,
                others);
  check.Require(keys.address.empty() || IsHostAndPort(keys.address),
                "{}.address must be host:port, found \"{}\"", table, keys.address);
  if (others == 0) return;
  const VerifierChoiceKeys none;
  check.Require(
      keys.name == none.name && keys.extraction == none.extraction &&
          keys.anchors == none.anchors && keys.decimal_places == none.decimal_places &&
          keys.percent == none.percent && keys.units == none.units &&
          keys.allow_weak_sandbox == none.allow_weak_sandbox,
      "{}: name, extraction, anchors, decimal_places, percent, units and allow_weak_sandbox are "
      "for built-in verifiers; leave them out beside address, command or plugin",
      table);
}

void CheckVerifiers(const RunConfig& config, Checker& check) {
  CheckVerifierChoice("verifier", config.verifier, check);
  check.Require(config.verifiers.size() <= kMaxAddedVerifiers,
                "expected at most {} tables [verifiers.NAME], found {}", kMaxAddedVerifiers,
                config.verifiers.size());
  // Parts of verdicts and terms of rewards share their names in metrics.
  constexpr std::string_view kTaken[] = {"correct",  "format",     "r1_format", "truncated",
                                         "language", "repetition", "overlong",  "cosine",
                                         "gated",    "mean",       "std",       "audit"};
  for (const auto& [name, keys] : config.verifiers) {
    const std::string table = fmt::format("{}.{}", kAddedVerifiers, name);
    check.Require(std::find(std::begin(kTaken), std::end(kTaken), name) == std::end(kTaken),
                  "{}: \"{}\" is the name of a reward's own term; take another one", table, name);
    CheckVerifierChoice(table, keys, check);
    check.Require(keys.role == "part" || keys.weight == 0,
                  "{}.weight is for role \"part\", found role \"{}\"", table, keys.role);
    check.Require(keys.role == "audit" || keys.share == 1,
                  "{}.share is for role \"audit\", found role \"{}\"", table, keys.role);
    check.Require(keys.role != "judge" || !keys.sources.empty() || !keys.kinds.empty(),
                  "{}: a judge of all tasks belongs in [verifier]; name its sources or kinds",
                  table);
  }
}

void CheckReward(const RunConfig& config, Checker& check) {
  const RewardKeys& reward = config.reward;
  for (const std::string& gate : reward.gates) {
    const auto added = config.verifiers.find(gate);
    check.Require(gate == "format" || gate == "r1_format" || gate == "language" ||
                      (added != config.verifiers.end() && added->second.role == "part"),
                  "reward.gates must name format, r1_format, language or a [verifiers.NAME] with "
                  "role \"part\", found \"{}\"",
                  gate);
  }
  check.Require(reward.overlong.tokens <= config.rollout.max_new_tokens,
                "reward.overlong.tokens must not be above rollout.max_new_tokens = {}, found {}",
                config.rollout.max_new_tokens, reward.overlong.tokens);
}

}  // namespace

absl::Status CheckConfig(const RunConfig& config, const std::string& origin) {
  Checker check(origin);
  CheckValues(config, check);
  check.Require(IsRunName(config.run.name),
                "run.name must be letters, digits, - _ . and not begin with a dot, found \"{}\"",
                config.run.name);
  CheckTasks(config.tasks, check);
  CheckChat(config.chat, check);
  CheckPrompt(config.prompt, check);
  CheckSizes(config.rollout, config.learner, check);
  const absl::Status devices = ParseDevices(config.machine.device).status();
  check.Require(devices.ok(), "machine.device: {}", devices.message());
  check.Require(!config.optimizer.offload || config.machine.device.starts_with("cuda"),
                "optimizer.offload moves what a GPU has no room for into the host's memory, but "
                "machine.device is \"{}\", whose memory that is already; leave it out",
                config.machine.device);
  const bool is_fast = config.machine.numerics == "fast";
  check.Require(
      !is_fast || config.machine.device.starts_with("cuda"),
      "machine.numerics = \"fast\" needs a GPU (machine.device = \"cuda\"): the CPU has no "
      "faster products to give exactness up for");
  check.Require(
      !is_fast || config.learner.importance_cap > 0,
      "machine.numerics = \"fast\" learns from log-probs that differ from the sampler's in "
      "their last digits, so learner.importance_cap must be above 0");
  if (!config.machine.rollout_device.empty()) {
    const absl::Status all =
        ParseDevices(config.machine.device + "," + config.machine.rollout_device).status();
    check.Require(!devices.ok() || all.ok(), "machine.rollout_device beside machine.device: {}",
                  all.message());
    check.Require(config.rollout.listen.empty(),
                  "machine.rollout_device is for engines of this process; with rollout.listen "
                  "the workers generate");
  }
  check.Require(config.rollout.listen.empty() || IsHostAndPort(config.rollout.listen),
                "rollout.listen must be host:port, found \"{}\"", config.rollout.listen);
  check.Require(config.dashboard.listen.empty() || IsHostAndPort(config.dashboard.listen),
                "dashboard.listen must be host:port, found \"{}\"", config.dashboard.listen);
  check.Require(config.dashboard.token_file.empty() || !config.dashboard.listen.empty(),
                "dashboard.token_file is for dashboard.listen, which is empty");
  CheckVerifiers(config, check);
  CheckReward(config, check);
  const bool from_file = config.tasks.kind == "file";
  check.Require(config.sft.examples == 0 || !config.sft.path.empty() || !from_file ||
                    !config.tasks.file.solution_field.empty(),
                "sft.examples asks for worked solutions, so tasks.file.solution_field must say "
                "where they are, or sft.path name a file of examples");
  check.Require(config.eval.tasks == 0 || config.tasks.held_out_share > 0 ||
                    (from_file && !config.tasks.file.held_out_path.empty()),
                "eval.tasks asks for held-out tasks, but tasks.held_out_share is 0");
  return check.Result();
}

}  // namespace ponder
