#include "app/config_schema.h"

#include <cmath>
#include <utility>

#include "rewards/language.h"

namespace ponder {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Sizes that are multiplied with one another later stay far from overflow below this.
constexpr double kLargestCount = 1e9;

// A row of a section's table: the name, the member of the section's struct, what is allowed, the
// help. The default is the member's own in config.h.
template <typename Keys>
struct Row {
  using Member = std::variant<bool Keys::*, int64_t Keys::*, double Keys::*, std::string Keys::*,
                              std::vector<std::string> Keys::*>;

  std::string name;
  Member member;
  std::variant<std::monostate, ConfigRange, std::vector<std::string>> allowed;
  std::string help;
};

template <typename Keys>
ConfigSection Section(std::string name, std::string help,
                      const std::function<Keys&(RunConfig&)>& keys, std::vector<Row<Keys>> rows) {
  ConfigSection section{std::move(name), std::move(help), {}};
  for (Row<Keys>& row : rows) {
    ConfigKey key{std::move(row.name), std::move(row.help)};
    if (auto* range = std::get_if<ConfigRange>(&row.allowed)) key.range = *range;
    if (auto* choices = std::get_if<std::vector<std::string>>(&row.allowed)) {
      key.choices = std::move(*choices);
    }
    key.find = [keys, member = row.member](RunConfig& config) {
      return std::visit([&](auto pointer) -> ConfigValue { return &(keys(config).*pointer); },
                        member);
    };
    section.keys.push_back(std::move(key));
  }
  return section;
}

using Choices = std::vector<std::string>;

ConfigRange Between(double low, double high) { return {.low = low, .high = high}; }
ConfigRange CountFrom(double low) { return {.low = low, .high = kLargestCount}; }
ConfigRange NotNegative() { return {.low = 0, .high = kInfinity, .high_open = true}; }
ConfigRange AboveUpTo(double low, double high) {
  return {.low = low, .high = high, .low_open = true};
}
ConfigRange FromBelow(double low, double high) {
  return {.low = low, .high = high, .high_open = true};
}
constexpr std::monostate kAny;

// Seconds that a wait may be told to take: a week, so that a slip in units does not wait for ever.
ConfigRange Seconds() { return AboveUpTo(0, 604800); }

ConfigSection RunSection() {
  return Section<RunKeys>(
      "run", "The run as a whole.", [](RunConfig& c) -> RunKeys& { return c.run; },
      {
          {"name", &RunKeys::name, kAny, "what the run is called: letters, digits, - _ ."},
          {"directory", &RunKeys::directory, kAny,
           "where it leaves everything; empty: runs/<name>-<time>"},
          {"seed", &RunKeys::seed, ConfigRange{.low = 0},
           "keys every random number: the same seed gives the same run"},
          {"steps", &RunKeys::steps, CountFrom(0), "steps of reinforcement learning"},
          {"checkpoint_every", &RunKeys::checkpoint_every, CountFrom(1),
           "steps between checkpoints; the last step always leaves one"},
          {"keep_checkpoints", &RunKeys::keep_checkpoints, CountFrom(0),
           "newest checkpoints that are kept; 0: all"},
      });
}

ConfigSection ModelSection() {
  return Section<ModelKeys>(
      "model", "The model to start from.", [](RunConfig& c) -> ModelKeys& { return c.model; },
      {
          {"directory", &ModelKeys::directory, kAny,
           "Hugging Face directory with config.json, *.safetensors and tokenizer.json"},
          {"dtype", &ModelKeys::dtype, Choices{"bf16", "f32"},
           "type of the working weights; master weights are always f32"},
      });
}

ConfigSection ChatSection() {
  return Section<ChatKeys>(
      "chat", "How a conversation becomes text.", [](RunConfig& c) -> ChatKeys& { return c.chat; },
      {
          {"template", &ChatKeys::template_name, kAny,
           "a family by name (chatml, llama3, ...), auto: the model's own where it is a known "
           "one, custom: [chat.custom]"},
      });
}

ConfigSection CustomChatSection() {
  return Section<CustomChatKeys>(
      "chat.custom", "An own chat template, for chat.template = \"custom\".",
      [](RunConfig& c) -> CustomChatKeys& { return c.chat.custom; },
      {
          {"prefix", &CustomChatKeys::prefix, kAny, "text before the first turn"},
          {"default_system", &CustomChatKeys::default_system, kAny,
           "system turn of a conversation that has none; empty: none"},
          {"system_turn", &CustomChatKeys::system_turn, kAny, "a system turn, with {content}"},
          {"user_turn", &CustomChatKeys::user_turn, kAny, "a user turn, with {content}"},
          {"assistant_turn", &CustomChatKeys::assistant_turn, kAny,
           "a finished answer, with {content}"},
          {"assistant_prefix", &CustomChatKeys::assistant_prefix, kAny,
           "opens the answer to be generated"},
          {"stops", &CustomChatKeys::stops, kAny, "texts of the tokens that end an answer"},
      });
}

ConfigSection TasksSection() {
  return Section<TaskKeys>(
      "tasks", "What the model is trained on.", [](RunConfig& c) -> TaskKeys& { return c.tasks; },
      {
          {"kind", &TaskKeys::kind, Choices{"arithmetic", "countdown", "file"},
           "a generator, or a file of JSON lines; the table [tasks.<kind>] says more"},
          {"seed", &TaskKeys::seed, ConfigRange{.low = 0}, "which tasks come, and in which order"},
          {"held_out_share", &TaskKeys::held_out_share, FromBelow(0, 1),
           "share of all questions that evaluation has to itself"},
      });
}

ConfigSection ArithmeticSection() {
  const ConfigRange operand = Between(0, 1e12);
  return Section<ArithmeticKeys>(
      "tasks.arithmetic", "Sums and products of whole numbers.",
      [](RunConfig& c) -> ArithmeticKeys& { return c.tasks.arithmetic; },
      {
          {"form", &ArithmeticKeys::form, kAny, "letters a, b, c, d and + - *, as in \"a+b*c\""},
          {"low", &ArithmeticKeys::low, operand, "least value of an operand"},
          {"high", &ArithmeticKeys::high, operand, "greatest value of an operand"},
          {"factor_low", &ArithmeticKeys::factor_low, operand,
           "least value of an operand behind *"},
          {"factor_high", &ArithmeticKeys::factor_high, operand,
           "greatest value of an operand behind *"},
      });
}

ConfigSection CountdownSection() {
  return Section<CountdownKeys>(
      "tasks.countdown", "Reach a number from given numbers.",
      [](RunConfig& c) -> CountdownKeys& { return c.tasks.countdown; },
      {
          {"numbers", &CountdownKeys::numbers, Between(2, 6), "how many numbers are given"},
          {"low", &CountdownKeys::low, Between(1, 1e6), "least given number"},
          {"high", &CountdownKeys::high, Between(1, 1e6), "greatest given number"},
          {"target_high", &CountdownKeys::target_high, CountFrom(1), "greatest target"},
      });
}

ConfigSection TaskFileSection() {
  return Section<TaskFileKeys>(
      "tasks.file", "Tasks from JSON lines; the keys map the file's field names.",
      [](RunConfig& c) -> TaskFileKeys& { return c.tasks.file; },
      {
          {"path", &TaskFileKeys::path, kAny, "the file, from the working directory"},
          {"held_out_path", &TaskFileKeys::held_out_path, kAny,
           "a file of its own for evaluation; empty: tasks.held_out_share of the first"},
          {"question_field", &TaskFileKeys::question_field, kAny, "what is asked"},
          {"gold_field", &TaskFileKeys::gold_field, kAny,
           "the expected answer; of code its tests are what is expected, and it may be missing"},
          {"id_field", &TaskFileKeys::id_field, kAny,
           "a unique name; empty: file name and line number"},
          {"solution_field", &TaskFileKeys::solution_field, kAny,
           "a worked solution for the cold start; empty: none"},
          {"gold_after", &TaskFileKeys::gold_after, kAny,
           "the answer is what follows the last occurrence of this in gold_field (GSM8K: "
           "\"####\"); empty: all of it"},
          {"verifier", &TaskFileKeys::verifier, kAny,
           "which verifier judges these tasks: their kind; a row of code without a field data is "
           "data as a whole (HumanEval, MBPP)"},
      });
}

ConfigSection PromptSection() {
  return Section<PromptKeys>("prompt", "How a question becomes a prompt.",
                             [](RunConfig& c) -> PromptKeys& { return c.prompt; },
                             {
                                 {"template", &PromptKeys::template_name, kAny,
                                  "boxed (step by step, then \\boxed{}), r1 (think and answer "
                                  "tags), r1-chat, plain, code, "
                                  "custom: [prompt.custom]"},
                             });
}

ConfigSection CustomPromptSection() {
  return Section<CustomPromptKeys>(
      "prompt.custom", "An own prompt, for prompt.template = \"custom\".",
      [](RunConfig& c) -> CustomPromptKeys& { return c.prompt.custom; },
      {
          {"system", &CustomPromptKeys::system, kAny, "the system message; empty: none"},
          {"user", &CustomPromptKeys::user, kAny,
           "the user's message, with {question}; of code also {tests} and {language}"},
          {"answer_prefix", &CustomPromptKeys::answer_prefix, kAny,
           "how the answer begins (<think>), as part of the prompt"},
          {"solution", &CustomPromptKeys::solution, kAny,
           "what a cold start learns behind it, with {solution} and {gold}"},
          {"chat", &CustomPromptKeys::chat, kAny,
           "through the chat template; otherwise system and user are the whole text"},
      });
}

ConfigSection RolloutSection() {
  return Section<RolloutKeys>(
      "rollout", "How completions are sampled.",
      [](RunConfig& c) -> RolloutKeys& { return c.rollout; },
      {
          {"prompts_per_step", &RolloutKeys::prompts_per_step, CountFrom(1), "groups of a step"},
          {"completions_per_prompt", &RolloutKeys::completions_per_prompt, Between(1, 65536),
           "completions of a group"},
          {"max_new_tokens", &RolloutKeys::max_new_tokens, CountFrom(1),
           "a completion ends at this length"},
          {"temperature", &RolloutKeys::temperature, AboveUpTo(0, 100), "logits are divided by it"},
          {"top_p", &RolloutKeys::top_p, AboveUpTo(0, 1),
           "samples from the likeliest tokens that make up this share; 1: all"},
          {"top_k", &RolloutKeys::top_k, CountFrom(0),
           "samples from so many likeliest tokens; 0: all"},
          {"max_sequences", &RolloutKeys::max_sequences, Between(1, 65536),
           "completions decoded at the same time"},
          {"max_step_tokens", &RolloutKeys::max_step_tokens, CountFrom(1),
           "rows of one forward of the engine"},
          {"cache_tokens", &RolloutKeys::cache_tokens, CountFrom(16),
           "size of the key and value cache"},
          {"max_staleness", &RolloutKeys::max_staleness, Between(0, 64),
           "later steps that are generated while a step is not complete, so by policies up to so "
           "many steps old; 0: a step is sampled by the newest policy alone"},
          {"listen", &RolloutKeys::listen, kAny,
           "host:port where remote rollout workers join; empty: the engine runs in this process"},
          {"heartbeat_timeout_s", &RolloutKeys::heartbeat_timeout_s, Seconds(),
           "a remote worker that is silent for longer has lost its work to others"},
          {"no_worker_timeout_s", &RolloutKeys::no_worker_timeout_s, Seconds(),
           "the run gives up after so long without a remote worker"},
      });
}

// What [verifier] and [verifiers.NAME] have in common.
template <typename Keys>
std::vector<Row<Keys>> VerifierChoiceRows() {
  return {
      {"name", &Keys::name, kAny,
       "a built-in verifier: math, countdown, text, code, or auto: by each task's kind"},
      {"address", &Keys::address, kAny, "host:port of a gRPC service instead"},
      {"command", &Keys::command, kAny,
       "a program that reads and writes JSON lines instead, with its arguments"},
      {"plugin", &Keys::plugin, kAny, "a shared object instead"},
      {"extraction", &Keys::extraction, Choices{"strict", "anywhere"},
       "where an answer may stand: in the asked form, or anywhere in the text"},
      {"anchors", &Keys::anchors, kAny,
       "the marks of an answer that count: box, tag (<answer>), hashes (####), phrase (\"the "
       "answer "
       "is\")"},
      {"decimal_places", &Keys::decimal_places, kAny,
       "decimals of mathematics are compared to so many places; exact: not rounded; empty: exact, "
       "or 6 with extraction anywhere"},
      {"percent", &Keys::percent, Choices{"either", "exact"},
       "either: 28% equals 28 and 0.28; exact: 0.28 alone"},
      {"units", &Keys::units, Choices{"ignore", "match"},
       "match: where both sides have a unit it must be the same"},
      {"allow_weak_sandbox", &Keys::allow_weak_sandbox, kAny,
       "run code where memory and processes cannot be limited"},
  };
}

ConfigSection VerifierSection() {
  std::vector<Row<VerifierKeys>> rows = VerifierChoiceRows<VerifierKeys>();
  rows.push_back({"deadline_s", &VerifierKeys::deadline_s, Seconds(), "of one call"});
  rows.push_back({"max_retries", &VerifierKeys::max_retries, Between(0, 1000),
                  "calls made again after a failure before the completion is dropped"});
  rows.push_back({"max_restarts", &VerifierKeys::max_restarts, Between(0, 1e6),
                  "times that a dead verifier process is started again before the run stops"});
  return Section<VerifierKeys>(
      "verifier", "Who judges.", [](RunConfig& c) -> VerifierKeys& { return c.verifier; },
      std::move(rows));
}

ConfigSection RewardSection() {
  return Section<RewardKeys>(
      "reward", "What a verdict is worth.", [](RunConfig& c) -> RewardKeys& { return c.reward; },
      {
          {"correct", &RewardKeys::correct, Between(-1000, 1000), "weight of the verdict's score"},
          {"format", &RewardKeys::format, Between(-1000, 1000), "weight of the asked form"},
          {"r1_format", &RewardKeys::r1_format, Between(-1000, 1000),
           "weight of R1's form: thoughts, </think>, <answer>...</answer> and nothing else"},
          {"truncated_penalty", &RewardKeys::truncated_penalty, Between(0, 1000),
           "subtracted where a completion ran into max_new_tokens"},
          {"gates", &RewardKeys::gates, kAny,
           "format, r1_format, language or names of [verifiers.NAME]: where one is below 0.5 the "
           "reward is not above 0"},
      });
}

ConfigSection LanguageSection() {
  return Section<LanguageKeys>(
      "reward.language", "Thoughts in one language.",
      [](RunConfig& c) -> LanguageKeys& { return c.reward.language; },
      {
          {"weight", &LanguageKeys::weight, Between(-1000, 1000),
           "of the share of the thought's words in the target's script"},
          {"target", &LanguageKeys::target, KnownLanguages(),
           "the language, known by its script; latin: any in Latin letters"},
      });
}

ConfigSection OverlongSection() {
  return Section<OverlongKeys>(
      "reward.overlong", "A penalty that grows towards the length limit.",
      [](RunConfig& c) -> OverlongKeys& { return c.reward.overlong; },
      {
          {"weight", &OverlongKeys::weight, Between(0, 1000),
           "subtracted at rollout.max_new_tokens"},
          {"tokens", &OverlongKeys::tokens, CountFrom(0),
           "over so many tokens before the limit it grows from 0; 0: a fifth of the limit"},
      });
}

ConfigSection RepetitionSection() {
  return Section<RepetitionKeys>(
      "reward.repetition", "A penalty for saying the same again.",
      [](RunConfig& c) -> RepetitionKeys& { return c.reward.repetition; },
      {
          {"weight", &RepetitionKeys::weight, Between(0, 1000),
           "of the share of n-grams of tokens that came before, subtracted"},
          {"ngram", &RepetitionKeys::ngram, CountFrom(1), "tokens of an n-gram"},
      });
}

ConfigSection CosineSection() {
  const ConfigRange value = Between(-1000, 1000);
  return Section<CosineKeys>(
      "reward.cosine", "Short right answers and long wrong ones are worth more.",
      [](RunConfig& c) -> CosineKeys& { return c.reward.cosine; },
      {
          {"weight", &CosineKeys::weight, value,
           "of the term; reward.correct is often 0 beside it"},
          {"correct_short", &CosineKeys::correct_short, value, "a right answer of no length"},
          {"correct_long", &CosineKeys::correct_long, value, "a right answer at the limit"},
          {"wrong_short", &CosineKeys::wrong_short, value, "a wrong answer of no length"},
          {"wrong_long", &CosineKeys::wrong_long, value, "a wrong answer at the limit"},
          {"exceeded", &CosineKeys::exceeded, value, "where the limit cut the completion"},
      });
}

ConfigSection LearnerSection() {
  return Section<LearnerKeys>(
      "learner", "How rewards become an update.",
      [](RunConfig& c) -> LearnerKeys& { return c.learner; },
      {
          {"advantage", &LearnerKeys::advantage, Choices{"grpo", "dr_grpo", "rloo"},
           "how a reward is compared with its group"},
          {"aggregation", &LearnerKeys::aggregation,
           Choices{"sequence_mean", "token_mean", "constant"},
           "how token terms are summed: GRPO, DAPO, Dr. GRPO"},
          {"clip_low", &LearnerKeys::clip_low, Between(0, 1),
           "the probability ratio is clipped at 1 - clip_low"},
          {"clip_high", &LearnerKeys::clip_high, Between(0, 100),
           "the probability ratio is clipped at 1 + clip_high"},
          {"kl_weight", &LearnerKeys::kl_weight, Between(0, 1000),
           "of the divergence from the reference; 0: no reference is kept"},
          {"kl_reference_every", &LearnerKeys::kl_reference_every, CountFrom(0),
           "steps after which the reference becomes the current policy; 0: never"},
          {"importance_cap", &LearnerKeys::importance_cap, Between(0, 1000),
           "greatest weight of a token whose sampler was older or computes other log-probs than "
           "the "
           "learner; 0: no correction, or 2 with rollout.max_staleness"},
          {"updates_per_step", &LearnerKeys::updates_per_step, CountFrom(1),
           "the groups of a step are split over so many optimizer updates"},
          {"micro_batch_tokens", &LearnerKeys::micro_batch_tokens, CountFrom(1),
           "rows of one forward and backward: memory against speed"},
          {"recompute_layers", &LearnerKeys::recompute_layers, kAny,
           "the backward runs each layer's forward again: a third to a quarter of the activations' "
           "memory for about a quarter more time, the same bits"},
          {"max_bad_updates", &LearnerKeys::max_bad_updates, CountFrom(1),
           "updates in a row that may be skipped for not being finite before the run stops"},
      });
}

ConfigSection OptimizerSection() {
  return Section<OptimizerKeys>(
      "optimizer", "AdamW.", [](RunConfig& c) -> OptimizerKeys& { return c.optimizer; },
      {
          {"learning_rate", &OptimizerKeys::learning_rate, Between(0, 1), "at its height"},
          {"beta1", &OptimizerKeys::beta1, FromBelow(0, 1), "decay of the first moment"},
          {"beta2", &OptimizerKeys::beta2, FromBelow(0, 1), "decay of the second moment"},
          {"epsilon", &OptimizerKeys::epsilon, AboveUpTo(0, 1), "keeps the division finite"},
          {"weight_decay", &OptimizerKeys::weight_decay, Between(0, 100),
           "decoupled from the gradient"},
          {"max_gradient_norm", &OptimizerKeys::max_gradient_norm, NotNegative(),
           "longer gradients are scaled down to it; 0: never"},
          {"warmup_updates", &OptimizerKeys::warmup_updates, CountFrom(0),
           "updates in which the learning rate rises from 0"},
          {"schedule", &OptimizerKeys::schedule, Choices{"constant", "linear", "cosine"},
           "how the learning rate falls to 0 at the end"},
          {"moments", &OptimizerKeys::moments, Choices{"f32", "8bit"},
           "what is kept of both moments: 8 bytes a parameter, or 2 (block-wise quantised)"},
          {"offload", &OptimizerKeys::offload, kAny,
           "master weights and moments in the host's memory instead of the GPU's, where each "
           "update "
           "reads and writes them: the same bits, slower updates"},
      });
}

ConfigSection SftSection() {
  return Section<SftKeys>(
      "sft", "Cold start: supervised fine-tuning before reinforcement learning.",
      [](RunConfig& c) -> SftKeys& { return c.sft; },
      {
          {"path", &SftKeys::path, kAny,
           "JSON lines with prompt and completion, or with messages; empty: worked solutions of "
           "the tasks"},
          {"examples", &SftKeys::examples, CountFrom(0),
           "how many; 0: no cold start, or all of the file where path is set"},
          {"batch", &SftKeys::batch, CountFrom(1), "examples of an update"},
          {"epochs", &SftKeys::epochs, CountFrom(1), "times that every example is seen"},
          {"learning_rate", &SftKeys::learning_rate, Between(0, 1), "at its height"},
          {"warmup_updates", &SftKeys::warmup_updates, CountFrom(0),
           "updates in which the learning rate rises from 0"},
          {"schedule", &SftKeys::schedule, Choices{"constant", "linear", "cosine"},
           "how the learning rate falls to 0 at the end"},
      });
}

ConfigSection EvalSection() {
  return Section<EvalKeys>(
      "eval", "Accuracy on held-out tasks while the run goes on.",
      [](RunConfig& c) -> EvalKeys& { return c.eval; },
      {
          {"every", &EvalKeys::every, CountFrom(0),
           "steps between evaluations; 0: only before and after"},
          {"tasks", &EvalKeys::tasks, CountFrom(0), "held-out tasks; 0: no evaluation at all"},
          {"samples", &EvalKeys::samples, Between(0, 65536),
           "sampled completions of each, beside the greedy one"},
          {"temperature", &EvalKeys::temperature, AboveUpTo(0, 100), "of the sampled completions"},
      });
}

ConfigSection MachineSection() {
  return Section<MachineKeys>(
      "machine", "What the run may take of this machine.",
      [](RunConfig& c) -> MachineKeys& { return c.machine; },
      {
          {"device", &MachineKeys::device, kAny,
           "what generates and learns: cpu, cuda or cuda:N (a GPU's number), or several GPUs: "
           "cuda:0,cuda:1"},
          {"rollout_device", &MachineKeys::rollout_device, kAny,
           "generates in the place of machine.device, which learns alone: other GPUs, which get a "
           "copy of the weights after each update; empty: none"},
          {"numerics", &MachineKeys::numerics, Choices{"exact", "fast"},
           "exact: the learner's log-probs are the sampler's to the last bit. fast gives that up "
           "for "
           "a GPU's speed and corrects for it (learner.importance_cap)"},
          {"threads", &MachineKeys::threads, Between(0, 4096),
           "compute threads of the CPU; 0: one a core. Results do not depend on it"},
          {"isa", &MachineKeys::isa,
           Choices{"best", "portable", "avx2", "avx512", "avx512_bf16", "amx"},
           "instruction set; anything but best is for tests and measurements"},
          {"memory_gib", &MachineKeys::memory_gib, Between(0, 1e6),
           "a plan that needs more is refused; 0: no limit but the machine's"},
      });
}

ConfigSection DashboardSection() {
  return Section<DashboardKeys>(
      "dashboard", "A page of the run while it goes on; `ponder dashboard` shows it at any time.",
      [](RunConfig& c) -> DashboardKeys& { return c.dashboard; },
      {
          {"listen", &DashboardKeys::listen, kAny,
           "host:port with an IP address or localhost as host, port 0 for any free one; empty: "
           "none"},
          {"token_file", &DashboardKeys::token_file, kAny,
           "file with the token that every request must have; needed where other machines reach "
           "the address"},
      });
}

}  // namespace

const std::vector<ConfigSection>& ConfigSchema() {
  static const auto* const schema = new std::vector<ConfigSection>{
      RunSection(),    ModelSection(),        ChatSection(),      CustomChatSection(),
      TasksSection(),  ArithmeticSection(),   CountdownSection(), TaskFileSection(),
      PromptSection(), CustomPromptSection(), RolloutSection(),   VerifierSection(),
      RewardSection(), LanguageSection(),     OverlongSection(),  RepetitionSection(),
      CosineSection(), LearnerSection(),      OptimizerSection(), SftSection(),
      EvalSection(),   MachineSection(),      DashboardSection(),
  };
  return *schema;
}

ConfigSection AddedVerifierSection(const std::string& name) {
  std::vector<Row<AddedVerifierKeys>> rows = VerifierChoiceRows<AddedVerifierKeys>();
  rows.push_back({"role", &AddedVerifierKeys::role, Choices{"part", "judge", "audit"},
                  "part: judges besides, its score is a part of the verdict; judge: gives the "
                  "verdict on its tasks; audit: judges a share besides, for comparison alone"});
  rows.push_back({"weight", &AddedVerifierKeys::weight, Between(-1000, 1000),
                  "of a part's score in the reward"});
  rows.push_back({"share", &AddedVerifierKeys::share, AboveUpTo(0, 1),
                  "of the completions, that an audit looks at"});
  rows.push_back(
      {"sources", &AddedVerifierKeys::sources, kAny, "tasks of these sources alone; empty: all"});
  rows.push_back(
      {"kinds", &AddedVerifierKeys::kinds, kAny, "tasks of these kinds alone; empty: all"});
  return Section<AddedVerifierKeys>(
      fmt::format("{}.{}", kAddedVerifiers, name), "A verifier beside the main one.",
      [name](RunConfig& c) -> AddedVerifierKeys& { return c.verifiers[name]; }, std::move(rows));
}

std::vector<ConfigSection> ConfigSections(const RunConfig& config) {
  std::vector<ConfigSection> sections;
  for (const ConfigSection& section : ConfigSchema()) {
    sections.push_back(section);
    if (section.name != "verifier") continue;
    for (const auto& [name, keys] : config.verifiers) {
      sections.push_back(AddedVerifierSection(name));
    }
  }
  return sections;
}

}  // namespace ponder
