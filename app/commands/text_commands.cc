// tokenize and score: a model's tokenizer and log-probs as JSON lines.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands/command.h"

namespace ponder {
namespace {

using nlohmann::json;

struct TokenizeOptions {
  std::string model;
  bool decode = false;
  bool keep_special = false;
};

absl::StatusOr<json> ParseLine(const std::string& line, int64_t number, const char* field) {
  json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object() || !value.contains(field)) {
    return InvalidArgument("line {} of standard input: expected a JSON object with \"{}\"", number,
                           field);
  }
  return value;
}

absl::StatusOr<std::vector<int32_t>> ParseIds(const json& value, int64_t number) {
  std::vector<int32_t> ids;
  if (!value.is_array()) {
    return InvalidArgument("line {} of standard input: expected an array as \"ids\"", number);
  }
  ids.reserve(value.size());
  for (const json& item : value) {
    if (!item.is_number_integer() || item < 0 || item > INT32_MAX) {
      return InvalidArgument("line {} of standard input: expected token ids, found {}", number,
                             item.dump());
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

absl::Status RunTokenize(const TokenizeOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(options.model));
  return ForEachInputLine([&](const std::string& line, int64_t number) -> absl::Status {
    json out;
    if (options.decode) {
      PONDER_ASSIGN_OR_RETURN(const json value, ParseLine(line, number, "ids"));
      PONDER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(value["ids"], number));
      for (int32_t id : ids) {
        if (id >= tokenizer->Size()) {
          return InvalidArgument("line {} of standard input: expected ids in [0, {}), found {}",
                                 number, tokenizer->Size(), id);
        }
      }
      out["text"] = tokenizer->Decode(ids, !options.keep_special);
    } else {
      PONDER_ASSIGN_OR_RETURN(const json value, ParseLine(line, number, "text"));
      if (!value["text"].is_string()) {
        return InvalidArgument("line {} of standard input: expected a string as \"text\"", number);
      }
      out["ids"] = tokenizer->Encode(value["text"].get_ref<const std::string&>());
    }
    std::cout << out.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    return absl::OkStatus();
  });
}

absl::Status RunScore(const SessionOptions& options) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Open(options));
  return ForEachInputLine([&](const std::string& line, int64_t number) -> absl::Status {
    PONDER_ASSIGN_OR_RETURN(const json value, ParseLine(line, number, "ids"));
    PONDER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(value["ids"], number));
    absl::StatusOr<std::vector<float>> logprobs = session->Score(ids);
    if (!logprobs.ok()) {
      return Annotate(logprobs.status(), fmt::format("line {} of standard input", number));
    }
    // Nine digits name a float exactly.
    std::string text;
    for (float logprob : *logprobs) {
      fmt::format_to(std::back_inserter(text), "{}{:.9g}", text.empty() ? "" : ",", logprob);
    }
    std::cout << "{\"logprobs\":[" << text << "]}" << std::endl;
    return absl::OkStatus();
  });
}

}  // namespace

void AddTextCommands(CommandLine& line) {
  auto tokenize = std::make_shared<TokenizeOptions>();
  CLI::App* command = AddCommand(
      line.app, "tokenize", "Text to token ids and back, JSON lines in and out",
      R"(echo '{"text":"12 + 7"}' | ponder tokenize --model models/smollm2-135m-instruct)");
  command->add_option("--model", tokenize->model, "Hugging Face directory")->required();
  command->add_flag("--decode", tokenize->decode, R"(read {"ids"} and write {"text"})");
  command->add_flag("--keep-special", tokenize->keep_special, "decode special tokens too");
  command->callback(
      [&line, tokenize] { line.chosen = [tokenize] { return RunTokenize(*tokenize); }; });

  auto score = std::make_shared<SessionOptions>(SessionOptions{.needs_tokenizer = false});
  command = AddCommand(
      line.app, "score", "Log-prob of each token after the first, JSON lines in and out",
      R"(echo '{"ids":[33,34,35]}' | ponder score --model models/smollm2-135m-instruct --dtype f32)");
  AddSessionOptions(*command, *score);
  command->callback([&line, score] { line.chosen = [score] { return RunScore(*score); }; });
}

}  // namespace ponder
