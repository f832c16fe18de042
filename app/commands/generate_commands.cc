// generate and chat: answers from a model.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <unistd.h>

#include <deque>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands/command.h"

namespace ponder {
namespace {

using nlohmann::json;

struct GenerateOptions {
  SessionOptions session;
  std::string prompt;
  bool chat = false;
  bool as_json = false;
  double temperature = 0;
  double top_p = 1;
  int64_t top_k = 0;
  int64_t max_new_tokens = 256;
  int64_t max_sequences = 64;
  double deadline_s = 0;
  uint64_t seed = 1;
  std::vector<std::string> stop_strings;
  std::string system;  // chat
};

void AddSamplingOptions(CLI::App& command, GenerateOptions& options) {
  command.add_option("--temperature", options.temperature, "0 takes the most likely token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-p", options.top_p, "nucleus of this probability; 1 = off")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--top-k", options.top_k, "the k most likely tokens; 0 = off")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--max-new-tokens", options.max_new_tokens, "longest answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command
      .add_option("--deadline-s", options.deadline_s,
                  "an answer that takes longer ends as cancelled, with what it has; 0: no limit")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 604800.0));
  command.add_option("--seed", options.seed, "of the random numbers")->capture_default_str();
  command.add_option("--stop", options.stop_strings, "text that ends an answer; may be repeated");
}

SamplingParams MakeSampling(const GenerateOptions& options, std::vector<int32_t> stop_ids) {
  return {.temperature = static_cast<float>(options.temperature),
          .top_p = static_cast<float>(options.top_p),
          .top_k = options.top_k,
          .max_new_tokens = options.max_new_tokens,
          .stop_ids = std::move(stop_ids),
          .stop_strings = options.stop_strings};
}

absl::Time Deadline(const GenerateOptions& options) {
  return options.deadline_s == 0 ? absl::InfiniteFuture()
                                 : absl::Now() + absl::Seconds(options.deadline_s);
}

// The whole cache that `in_flight` answers of a model may need, within reason.
EngineOptions SizeEngine(const ModelConfig& config, const GenerateOptions& options) {
  const int64_t longest = std::min(config.max_positions, int64_t{1024} + options.max_new_tokens);
  return {.max_sequences = options.max_sequences,
          .max_step_tokens = std::max<int64_t>(2048, options.max_sequences),
          .cache_tokens = std::max(config.max_positions, longest * options.max_sequences)};
}

absl::StatusOr<std::vector<Message>> ParseMessages(const json& value, int64_t number) {
  std::vector<Message> messages;
  if (value.is_array()) {
    for (const json& item : value) {
      if (!item.is_object() || !item.contains("role") || !item["role"].is_string() ||
          !item.contains("content") || !item["content"].is_string()) {
        messages.clear();
        break;
      }
      messages.push_back({item["role"].get<std::string>(), item["content"].get<std::string>()});
    }
  }
  if (messages.empty()) {
    return InvalidArgument(
        "line {} of standard input: expected \"messages\" as an array of {{\"role\",\"content\"}} "
        "strings",
        number);
  }
  return messages;
}

// One line of input as text for the model. Messages go through the chat template, which is looked
// up when the first is seen.
class PromptReader {
 public:
  explicit PromptReader(const Session& session) : session_(session) {}

  absl::StatusOr<std::string> Read(const json& value, int64_t number) {
    if (value.is_object() && value.contains("prompt") && value["prompt"].is_string()) {
      return value["prompt"].get<std::string>();
    }
    if (value.is_object() && value.contains("messages")) {
      if (!chat_.has_value()) {
        PONDER_ASSIGN_OR_RETURN(chat_, session_.Chat());
      }
      PONDER_ASSIGN_OR_RETURN(const std::vector<Message> messages,
                              ParseMessages(value["messages"], number));
      return RenderChat(*chat_, messages, /*add_assistant_prefix=*/true);
    }
    return InvalidArgument(
        "line {} of standard input: expected a JSON object with \"prompt\" or \"messages\"",
        number);
  }

 private:
  const Session& session_;
  std::optional<ChatTemplate> chat_;
};

json CompletionJson(const Completion& completion) {
  return {{"text", completion.text},
          {"token_ids", completion.token_ids},
          {"logprobs", completion.logprobs},
          {"finish", std::string(ToString(completion.finish))}};
}

void WriteLine(const json& value) {
  std::cout << value.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
}

// JSON lines in, JSON lines out. Answers leave in the order of the lines, whatever the order in
// which they end.
absl::Status GenerateLines(const GenerateOptions& options, Session& session,
                           const std::vector<int32_t>& stop_ids) {
  PONDER_ASSIGN_OR_RETURN(RolloutEngine * engine,
                          session.Engine(SizeEngine(session.Model().config, options)));
  PromptReader reader(session);
  std::deque<json> names;  // of the requests whose answers are not out yet
  std::map<uint64_t, json> finished;
  uint64_t first_open = 0;  // request id of names.front()
  int64_t number = 0;
  auto next = [&]() -> absl::StatusOr<std::optional<RolloutRequest>> {
    std::string line;
    while (std::getline(std::cin, line)) {
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
      PONDER_ASSIGN_OR_RETURN(const std::string prompt, reader.Read(value, number));
      names.push_back(value.contains("id") ? value["id"] : json(number));
      const json& name = names.back();
      return std::optional(
          RolloutRequest{.id = first_open + names.size() - 1,
                         .task_id = name.is_string() ? name.get<std::string>() : name.dump(),
                         .seed = options.seed,
                         .prompt_ids = session.GetTokenizer().Encode(prompt),
                         .sampling = MakeSampling(options, stop_ids),
                         .deadline = Deadline(options)});
    }
    return std::optional<RolloutRequest>();
  };
  auto on_result = [&](RolloutResult result) -> absl::Status {
    finished[result.request_id] = CompletionJson(result.completion);
    while (!finished.empty() && finished.begin()->first == first_open) {
      json out = std::move(finished.begin()->second);
      out["id"] = names.front();
      WriteLine(out);
      finished.erase(finished.begin());
      names.pop_front();
      ++first_open;
    }
    return absl::OkStatus();
  };
  absl::Status status = RunRequests(*engine, 2 * options.max_sequences, next, on_result);
  if (!status.ok() && number > 0) {
    return Annotate(status, fmt::format("line {} of standard input", number));
  }
  return status;
}

// How many bytes at the front of `text` are whole UTF-8 characters (bytes that begin none count as
// one).
size_t WholeCharacters(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t length = lead >= 0xf0 && lead < 0xf8 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (at + length > text.size()) break;
    at += length;
  }
  return at;
}

// Generates one answer; unless it is asked for as JSON it is written to standard output as it
// comes, whole characters at a time.
absl::StatusOr<Completion> GenerateAnswer(const GenerateOptions& options, Session& session,
                                          const std::vector<int32_t>& stop_ids,
                                          const std::string& prompt, const std::string& task_id) {
  GenerateOptions single = options;
  single.max_sequences = 1;
  PONDER_ASSIGN_OR_RETURN(RolloutEngine * engine,
                          session.Engine(SizeEngine(session.Model().config, single)));
  const Tokenizer& tokenizer = session.GetTokenizer();
  std::string pending;
  PONDER_RETURN_IF_ERROR(engine->Submit({.id = 1,
                                         .task_id = task_id,
                                         .seed = options.seed,
                                         .prompt_ids = tokenizer.Encode(prompt),
                                         .sampling = MakeSampling(options, stop_ids),
                                         .deadline = Deadline(options),
                                         .on_token = [&](int64_t, int32_t token) {
                                           if (options.as_json || tokenizer.IsSpecial(token))
                                             return;
                                           pending += tokenizer.TokenBytes(token);
                                           const size_t whole = WholeCharacters(pending);
                                           std::cout << pending.substr(0, whole) << std::flush;
                                           pending.erase(0, whole);
                                         }}));
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool worked, engine->Step());
    std::vector<RolloutResult> results = engine->Poll();
    if (!results.empty()) {
      if (!options.as_json) std::cout << pending << std::endl;
      return std::move(results[0].completion);
    }
    if (Interrupted()) engine->Cancel(1);
    if (!worked) return Internal("the engine stands still before the answer's end");
  }
}

absl::Status RunGenerate(const GenerateOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Open(options.session));
  absl::StatusOr<ChatTemplate> chat = session->Chat();
  const std::vector<int32_t> stop_ids =
      StopIds(session->Model().config, session->GetTokenizer(), chat.ok() ? &*chat : nullptr);
  if (options.prompt.empty()) return GenerateLines(options, *session, stop_ids);
  std::string prompt = options.prompt;
  if (options.chat) {
    if (!chat.ok()) return chat.status();
    PONDER_ASSIGN_OR_RETURN(prompt, RenderChat(*chat, {{"user", options.prompt}}, true));
  }
  WatchInterrupts();
  PONDER_ASSIGN_OR_RETURN(const Completion completion,
                          GenerateAnswer(options, *session, stop_ids, prompt, "prompt"));
  if (options.as_json) WriteLine(CompletionJson(completion));
  return absl::OkStatus();
}

absl::Status RunChat(const GenerateOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Open(options.session));
  PONDER_ASSIGN_OR_RETURN(const ChatTemplate chat, session->Chat());
  const std::vector<int32_t> stop_ids =
      StopIds(session->Model().config, session->GetTokenizer(), &chat);
  std::vector<Message> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  const size_t kept = messages.size();
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) std::cerr << "Type a message; /new begins again, Ctrl-D ends.\n";
  std::string line;
  for (int64_t turn = 0;; ++turn) {
    if (terminal) std::cerr << "> " << std::flush;
    if (!std::getline(std::cin, line)) return absl::OkStatus();
    if (line.empty()) continue;
    if (line == "/new") {
      messages.resize(kept);
      continue;
    }
    messages.push_back({"user", line});
    PONDER_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(chat, messages, true));
    PONDER_ASSIGN_OR_RETURN(
        const Completion completion,
        GenerateAnswer(options, *session, stop_ids, prompt, fmt::format("turn-{}", turn)));
    messages.push_back({"assistant", completion.text});
  }
}

}  // namespace

void AddGenerateCommands(CommandLine& line) {
  auto generate = std::make_shared<GenerateOptions>();
  CLI::App* command = AddCommand(
      line.app, "generate",
      R"(Answers: one for --prompt, else JSON lines {"id","prompt"} or {"id","messages"} in and )"
      R"({"id","text","token_ids","logprobs","finish"} out)",
      R"(ponder generate --model models/smollm2-135m-instruct --chat --prompt "What is 12 + 7?")");
  AddSessionOptions(*command, generate->session);
  AddSamplingOptions(*command, *generate);
  command->add_option("--prompt", generate->prompt, "text to go on from");
  command->add_flag("--chat", generate->chat, "put --prompt into the chat template first");
  command->add_flag("--json", generate->as_json, "the answer to --prompt as one JSON object");
  command->add_option("--max-sequences", generate->max_sequences, "answers generated at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->callback(
      [&line, generate] { line.chosen = [generate] { return RunGenerate(*generate); }; });

  auto chat = std::make_shared<GenerateOptions>();
  chat->temperature = 0.7;
  command = AddCommand(line.app, "chat", "Talk to a model in the terminal",
                       "ponder chat --model models/smollm2-135m-instruct");
  AddSessionOptions(*command, chat->session);
  AddSamplingOptions(*command, *chat);
  command->add_option("--system", chat->system, "a system message");
  command->callback([&line, chat] { line.chosen = [chat] { return RunChat(*chat); }; });
}

}  // namespace ponder
