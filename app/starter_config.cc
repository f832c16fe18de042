#include "app/starter_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "app/config_convert.h"
#include "app/run_memory.h"
#include "app/task_fields.h"
#include "app/training.h"
#include "base/nearest_name.h"
#include "model/chat_template.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "model/weights.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLookedAt = 100;  // tasks, for their lengths

int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// Smaller models bear, and need, greater learning rates.
struct Rates {
  double reinforcement, supervised;
};
Rates RatesFor(int64_t parameters) {
  if (parameters < 300'000'000) return {2e-5, 2e-4};
  if (parameters < 1'000'000'000) return {1e-5, 1e-4};
  if (parameters < 4'000'000'000) return {5e-6, 5e-5};
  return {2e-6, 2e-5};
}

std::string RunName(const std::string& task, const std::string& model) {
  fs::path folder = fs::path(model).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  std::string name = fs::path(task).stem().string() + "-" + folder.filename().string();
  for (char& c : name) {
    const bool allowed = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
    if (!allowed) c = '-';
  }
  return name;
}

class Starter {
 public:
  explicit Starter(const StarterRequest& request) : request_(request) {}

  absl::StatusOr<StarterConfig> Make() {
    absl::StatusOr<ModelConfig> model = LoadModelConfig(request_.model);
    if (!model.ok()) {
      return Annotate(model.status(),
                      "--model: expected a Hugging Face directory (`ponder model download-sample` "
                      "fetches a small one)");
    }
    model_ = *std::move(model);
    parameters_ = MakeParameterLayout(model_).ParameterCount();
    Say("model      {}: {:.0f} M parameters, {} layers", request_.model, parameters_ / 1e6,
        model_.layers);
    config().model.directory = request_.model;
    Set("model.directory");
    config().run.name = RunName(request_.task, request_.model);
    Set("run.name");
    PONDER_RETURN_IF_ERROR(ChooseTask());
    ChoosePrompt();
    PONDER_RETURN_IF_ERROR(ChooseSizes());
    ChooseLearning();
    PONDER_RETURN_IF_ERROR(FitMemory());
    ChooseRest();
    PONDER_RETURN_IF_ERROR(CheckConfig(config(), "ponder init"));
    return std::move(out_);
  }

 private:
  RunConfig& config() { return out_.config; }
  void Set(const std::string& key, const std::string& why = "") { out_.why[key] = why; }
  template <typename... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) {
    out_.said.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  absl::Status ChooseTask() {
    TaskKeys& tasks = config().tasks;
    Set("tasks.kind");
    if (request_.task == "arithmetic") {
      Set("tasks.arithmetic.form", "products of a number and a digit, and a sum");
      Say("task       arithmetic: {} with worked solutions, endless", tasks.arithmetic.form);
      return absl::OkStatus();
    }
    if (request_.task == "countdown") {
      tasks.kind = "countdown";
      Set("tasks.countdown.numbers");
      Set("tasks.countdown.high");
      Set("tasks.countdown.target_high");
      Say("task       countdown: reach a number from {} numbers, endless", tasks.countdown.numbers);
      return absl::OkStatus();
    }
    std::error_code ignored;
    if (!fs::is_regular_file(request_.task, ignored)) {
      const std::string nearest =
          NearestName(request_.task, std::vector<std::string>{"arithmetic", "countdown"});
      return InvalidArgument(
          "--task: expected arithmetic, countdown or a file of JSON lines, found '{}'{}",
          request_.task,
          IsNear(request_.task, nearest) ? fmt::format("; did you mean '{}'?", nearest) : "");
    }
    PONDER_ASSIGN_OR_RETURN(const TaskFields fields, DetectTaskFields(request_.task));
    tasks.kind = "file";
    tasks.file = fields.keys;
    Set("tasks.file.path");
    Set("tasks.file.question_field");
    const bool code = tasks.file.verifier == "code";
    if (!code) Set("tasks.file.gold_field", fields.why_gold);
    if (!tasks.file.gold_after.empty()) Set("tasks.file.gold_after");
    if (!tasks.file.id_field.empty()) Set("tasks.file.id_field");
    if (!tasks.file.solution_field.empty()) Set("tasks.file.solution_field");
    Set("tasks.file.verifier", fields.why_verifier);
    Set("tasks.held_out_share");
    const std::string answer =
        code ? fields.why_gold
             : fmt::format("answer in \"{}\"{}", tasks.file.gold_field,
                           tasks.file.gold_after.empty() ? "" : " behind " + tasks.file.gold_after);
    Say("task       {}: question in \"{}\", {}", request_.task, tasks.file.question_field, answer);
    Say("verifier   {}: {}", tasks.file.verifier, fields.why_verifier);
    return absl::OkStatus();
  }

  void ChoosePrompt() {
    const bool code = config().tasks.kind == "file" && config().tasks.file.verifier == "code";
    const absl::StatusOr<ChatTemplate> chat = DetectChatTemplate(request_.model);
    std::string why;
    if (code) {
      config().prompt.template_name = "code";
      why = "the tasks are programs";
    } else if (!chat.ok()) {
      config().prompt.template_name = "plain";
      why = "the model has no chat template that is known";
    } else {
      why = fmt::format("the model's chat template is {}", chat->name);
    }
    if (code && !chat.ok()) {
      config().chat.template_name = "chatml";
      Set("chat.template", "the model has none that is known");
    }
    Set("prompt.template", why);
    Say("prompt     {}: {}", config().prompt.template_name, why);
  }

  // Lengths of prompts and answers, and how many tasks there are.
  absl::Status ChooseSizes() {
    PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                            LoadTokenizer(request_.model));
    PONDER_ASSIGN_OR_RETURN(const PromptBuilder prompts,
                            MakePromptBuilder(config(), model_, *tokenizer));
    PONDER_ASSIGN_OR_RETURN(const std::unique_ptr<TaskSource> source,
                            CreateTaskSource(ToTaskSourceOptions(config(), Split::kTrain)));
    task_count_ = source->Size();
    const int64_t looked_at = task_count_ == 0 ? kLookedAt : std::min(task_count_, kLookedAt);
    if (looked_at < 2) {
      return InvalidArgument(
          "{}: expected at least 2 tasks to train on, found {} beside the "
          "held-out ones",
          request_.task, looked_at);
    }
    PONDER_ASSIGN_OR_RETURN(const std::vector<Task> tasks, source->TasksFor(0, looked_at));
    std::vector<int64_t> solutions;
    for (const Task& task : tasks) {
      PONDER_ASSIGN_OR_RETURN(const std::string prompt, prompts.Prompt(task));
      prompt_tokens_ =
          std::max(prompt_tokens_, static_cast<int64_t>(prompts.Encode(prompt).size()));
      if (task.solution.empty()) continue;
      PONDER_ASSIGN_OR_RETURN(const SftExample example, prompts.WorkedExample(task));
      solutions.push_back(static_cast<int64_t>(example.completion_ids.size()));
    }
    has_solutions_ = !solutions.empty();
    std::ranges::sort(solutions);
    RolloutKeys& rollout = config().rollout;
    std::string why = "room for a chain of thought";
    rollout.max_new_tokens = 512;
    if (has_solutions_) {
      const int64_t usual = solutions[solutions.size() * 95 / 100];
      rollout.max_new_tokens = std::clamp<int64_t>(RoundUp(usual * 3 / 2, 16), 64, 1024);
      why = fmt::format("half more than the worked solutions, 95 % of which have at most {} tokens",
                        usual);
    }
    const int64_t room = model_.max_positions - prompt_tokens_;
    if (room < 16) {
      return InvalidArgument("the model has {} positions, and a prompt of {} takes {} of them",
                             model_.max_positions, request_.task, prompt_tokens_);
    }
    if (rollout.max_new_tokens > room) {
      rollout.max_new_tokens = room;
      why = fmt::format("the model has {} positions", model_.max_positions);
    }
    Set("rollout.max_new_tokens", why);
    Say("answers    at most {} tokens: {}", rollout.max_new_tokens, why);
    return absl::OkStatus();
  }

  void ChooseLearning() {
    RolloutKeys& rollout = config().rollout;
    rollout.prompts_per_step = parameters_ < 1'000'000'000 ? 16 : 8;
    rollout.completions_per_prompt = 8;
    if (task_count_ > 0) rollout.prompts_per_step = std::min(rollout.prompts_per_step, task_count_);
    const int64_t sequences = rollout.prompts_per_step * rollout.completions_per_prompt;
    rollout.max_sequences = std::min<int64_t>(sequences, 128);
    Set("rollout.prompts_per_step",
        fmt::format(
            "{} completions a step: enough for a gradient, little enough to see steps go by",
            sequences));
    Set("rollout.completions_per_prompt", "advantages are taken within a group");
    Set("rollout.max_sequences", "a whole step at once");
    Say("a step     {} prompts x {} completions", rollout.prompts_per_step,
        rollout.completions_per_prompt);

    const Rates rates = RatesFor(parameters_);
    config().optimizer.learning_rate = rates.reinforcement;
    Set("optimizer.learning_rate",
        fmt::format("smaller models bear greater ones, and this one has {:.0f} M parameters",
                    parameters_ / 1e6));
    if (!has_solutions_) return;
    // Large instruct models know the form; small ones learn it from worked solutions.
    if (parameters_ >= 1'000'000'000) return;
    config().sft.examples = task_count_ == 0 ? 512 : std::min<int64_t>(512, task_count_);
    config().sft.learning_rate = rates.supervised;
    Set("sft.examples", "a small model learns the form first; 0 leaves the cold start out");
    Set("sft.learning_rate");
    Say("cold start {} worked solutions before reinforcement learning", config().sft.examples);
  }

  absl::Status FitMemory() {
    RolloutKeys& rollout = config().rollout;
    const int64_t longest = RoundUp(prompt_tokens_ + rollout.max_new_tokens, 16);
    rollout.cache_tokens = RoundUp(longest * rollout.max_sequences, 1024);
    LearnerKeys& learner = config().learner;
    learner.micro_batch_tokens = std::max(learner.micro_batch_tokens, 2 * longest);
    PONDER_ASSIGN_OR_RETURN(const std::optional<RunConfig> fitting,
                            FitRunMemory(config(), model_, request_.memory_bytes));
    if (!fitting.has_value()) {
      // What to change is for CheckRunMemory to say.
      config().machine.memory_gib = static_cast<double>(request_.memory_bytes) / double(1 << 30);
      return CheckRunMemory(config(), model_);
    }
    config() = *fitting;
    PONDER_ASSIGN_OR_RETURN(const std::vector<MemoryPlanRow> plan, PlanRunMemory(config(), model_));
    const std::string why = fmt::format("the plan takes {} of {}", HumanGib(TotalBytes(plan)),
                                        HumanGib(request_.memory_bytes));
    Set("rollout.cache_tokens",
        fmt::format("{} sequences of at most {} tokens would fill {}", rollout.max_sequences,
                    longest, longest * rollout.max_sequences));
    Set("learner.micro_batch_tokens", why);
    Set("learner.recompute_layers");
    Say("memory     {}{}", why,
        config().learner.recompute_layers ? "; layers are recomputed to make it fit" : "");
    return absl::OkStatus();
  }

  void ChooseRest() {
    config().run.steps = 40;
    Set("run.steps", "the first curve; --set run.steps=200 on resuming makes it longer");
    Set("run.seed");
    Set("run.checkpoint_every");
    Set("rollout.temperature");
    Set("machine.threads", fmt::format("this machine has {}", request_.cores));
    Say("threads    one a core: {} here", request_.cores);
    EvalKeys& eval = config().eval;
    eval.every = 20;
    Set("eval.every");
    Set("eval.tasks");
    if (config().tasks.kind != "file") return;
    const absl::StatusOr<std::unique_ptr<TaskSource>> held_out =
        CreateTaskSource(ToTaskSourceOptions(config(), Split::kHeldOut));
    const int64_t size = held_out.ok() ? (*held_out)->Size() : 0;
    eval.tasks = std::min<int64_t>(eval.tasks, size);
    Set("eval.tasks", fmt::format("the file's held-out share has {}", size));
    if (eval.tasks == 0) {
      Say("held out   none: the file is too small for tasks that are not trained on, so nothing "
          "says how the model does on new ones");
    } else {
      Say("held out   {} tasks for evaluation", eval.tasks);
    }
  }

  const StarterRequest request_;
  StarterConfig out_;
  ModelConfig model_;
  int64_t parameters_ = 0;
  int64_t prompt_tokens_ = 0;  // the longest seen
  int64_t task_count_ = 0;     // 0: endless
  bool has_solutions_ = false;
};

}  // namespace

absl::StatusOr<StarterConfig> MakeStarterConfig(const StarterRequest& request) {
  return Starter(request).Make();
}

}  // namespace ponder
