#include <absl/container/flat_hash_map.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "model/gguf_convert.h"

namespace ponder {
namespace {

using Json = nlohmann::ordered_json;

// tokenizer.ggml.token_type
enum TokenType : int64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// What `tokenizers` calls ByteLevel, as a pre-tokenizer, post-processor and decoder.
Json ByteLevel(bool trim_offsets, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", trim_offsets},
          {"use_regex", use_regex}};
}

Json Sequence(std::vector<Json> steps) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// How the words of a text are found before bytes are merged; `digits` is the pattern of a run of
// digits.
Json SplitThenBytes(const std::string& digits) {
  const std::string pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
                              R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return Sequence({{{"type", "Split"},
                    {"pattern", {{"Regex", pattern}}},
                    {"behavior", "Isolated"},
                    {"invert", false}},
                   ByteLevel(false, false)});
}

struct TextRules {
  Json normalizer;
  Json pre_tokenizer;
  bool ignore_merges = false;
  bool begins_with_bos = false;  // llama.cpp's default where the file is silent
};

// By llama.cpp's name. An unknown one is an error, since a near miss would give other tokens
// without anybody noticing.
absl::StatusOr<TextRules> FindRules(const std::string& pre, const std::string& path) {
  if (pre == "smollm") {
    return TextRules{nullptr, Sequence({{{"type", "Digits"}, {"individual_digits", true}},
                                        ByteLevel(true, true)})};
  }
  if (pre == "gpt-2") return TextRules{nullptr, ByteLevel(true, true)};
  if (pre == "qwen2") return TextRules{{{"type", "NFC"}}, SplitThenBytes(R"(\p{N})")};
  if (pre == "llama-bpe") {
    return TextRules{nullptr, SplitThenBytes(R"(\p{N}{1,3})"), true, true};
  }
  return InvalidArgument(
      "{}: tokenizer.ggml.pre: expected smollm, gpt-2, qwen2 or llama-bpe, found \"{}\"; convert "
      "from the original checkpoint's tokenizer.json",
      path, pre);
}

struct Vocabulary {
  std::vector<std::string> tokens;                // [V], by id
  std::vector<int64_t> types;                     // [V]
  absl::flat_hash_map<std::string, int64_t> ids;  // without unused ones

  std::optional<std::string> Token(int64_t id) const {
    if (id < 0 || id >= static_cast<int64_t>(tokens.size())) return std::nullopt;
    return tokens[static_cast<size_t>(id)];
  }
};

absl::StatusOr<Vocabulary> ReadVocabulary(const GgufFile& file) {
  PONDER_ASSIGN_OR_RETURN(const std::string model, file.String("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return InvalidArgument("{}: tokenizer.ggml.model: expected gpt2 (byte-level BPE), found \"{}\"",
                           file.Path(), model);
  }
  PONDER_ASSIGN_OR_RETURN(const auto* tokens, file.Strings("tokenizer.ggml.tokens"));
  PONDER_ASSIGN_OR_RETURN(const auto* types, file.Integers("tokenizer.ggml.token_type"));
  if (tokens->size() != types->size()) {
    return InvalidArgument(
        "{}: tokenizer.ggml.token_type: expected {} values, one a token, found {}", file.Path(),
        tokens->size(), types->size());
  }
  Vocabulary vocabulary;
  vocabulary.types = *types;
  for (size_t id = 0; id < tokens->size(); ++id) {
    vocabulary.tokens.emplace_back((*tokens)[id]);
    if ((*types)[id] == kUnused) continue;
    const auto [other, is_new] =
        vocabulary.ids.emplace(vocabulary.tokens.back(), static_cast<int64_t>(id));
    if (!is_new) {
      return InvalidArgument("{}: tokenizer.ggml.tokens: tokens {} and {} are both \"{}\"",
                             file.Path(), other->second, id, other->first);
    }
  }
  return vocabulary;
}

absl::StatusOr<Json> MakeMerges(const GgufFile& file, const Vocabulary& vocabulary) {
  PONDER_ASSIGN_OR_RETURN(const auto* merges, file.Strings("tokenizer.ggml.merges"));
  Json list = Json::array();
  for (size_t i = 0; i < merges->size(); ++i) {
    const std::string merge((*merges)[i]);
    const size_t blank = merge.find(' ');
    const bool is_pair =
        blank != std::string::npos && merge.find(' ', blank + 1) == std::string::npos;
    if (!is_pair || !vocabulary.ids.contains(merge.substr(0, blank)) ||
        !vocabulary.ids.contains(merge.substr(blank + 1)) ||
        !vocabulary.ids.contains(merge.substr(0, blank) + merge.substr(blank + 1))) {
      return InvalidArgument(
          "{}: tokenizer.ggml.merges: expected two tokens that make a third, found \"{}\" at {}",
          file.Path(), merge, i);
    }
    list.push_back(merge);
  }
  return list;
}

Json MakeAddedTokens(const Vocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const int64_t type = vocabulary.types[id];
    if (type != kControl && type != kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type == kControl}});
  }
  return added;
}

// Puts the begin-of-sequence token before a text, for programs that ask for special tokens.
Json BeginOfSequence(const std::string& token, int64_t id) {
  const Json begin = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  const Json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  const Json begin_again = {{"SpecialToken", {{"id", token}, {"type_id", 1}}}};
  Json special;
  special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
  return {{"type", "TemplateProcessing"},
          {"single", {begin, first}},
          {"pair", {begin, first, begin_again, second}},
          {"special_tokens", special}};
}

absl::StatusOr<std::string> Dump(const Json& json, const GgufFile& file) {
  try {
    return json.dump(2) + "\n";
  } catch (const nlohmann::json::type_error&) {
    return InvalidArgument(
        "{}: tokenizer: expected tokens and template in UTF-8, found other bytes", file.Path());
  }
}

}  // namespace

absl::StatusOr<std::string> GgufTokenizer(const GgufFile& file) {
  PONDER_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(file));
  PONDER_ASSIGN_OR_RETURN(const std::string pre, file.String("tokenizer.ggml.pre"));
  PONDER_ASSIGN_OR_RETURN(const TextRules rules, FindRules(pre, file.Path()));
  PONDER_ASSIGN_OR_RETURN(Json merges, MakeMerges(file, vocabulary));
  PONDER_ASSIGN_OR_RETURN(const bool add_bos,
                          file.Bool("tokenizer.ggml.add_bos_token", rules.begins_with_bos));

  Json vocab = Json::object();
  auto& members = vocab.get_ref<Json::object_t&>();
  members.reserve(vocabulary.ids.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    // Not by operator[], which looks through all members of an ordered object; names are unique
    // already.
    if (vocabulary.types[id] != kUnused) members.emplace_back(vocabulary.tokens[id], Json(id));
  }
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = MakeAddedTokens(vocabulary);
  json["normalizer"] = rules.normalizer;
  json["pre_tokenizer"] = rules.pre_tokenizer;
  json["post_processor"] = nullptr;
  if (add_bos) {
    PONDER_ASSIGN_OR_RETURN(const int64_t bos, file.Integer("tokenizer.ggml.bos_token_id"));
    const std::optional<std::string> token = vocabulary.Token(bos);
    if (!token) {
      return InvalidArgument("{}: tokenizer.ggml.bos_token_id: expected one of {} tokens, found {}",
                             file.Path(), vocabulary.tokens.size(), bos);
    }
    json["post_processor"] = BeginOfSequence(*token, bos);
  }
  json["decoder"] = ByteLevel(true, true);
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", rules.ignore_merges}};
  json["model"]["vocab"] = std::move(vocab);
  json["model"]["merges"] = std::move(merges);
  return Dump(json, file);
}

absl::StatusOr<std::string> GgufTokenizerConfig(const GgufFile& file) {
  PONDER_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(file));
  Json json;
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  json["add_prefix_space"] = false;
  json["clean_up_tokenization_spaces"] = false;
  for (const auto& [name, gguf_key] : {std::pair{"bos_token", "tokenizer.ggml.bos_token_id"},
                                       std::pair{"eos_token", "tokenizer.ggml.eos_token_id"},
                                       std::pair{"pad_token", "tokenizer.ggml.padding_token_id"},
                                       std::pair{"unk_token", "tokenizer.ggml.unknown_token_id"}}) {
    if (!file.Has(gguf_key)) continue;
    PONDER_ASSIGN_OR_RETURN(const int64_t id, file.Integer(gguf_key));
    const std::optional<std::string> token = vocabulary.Token(id);
    if (!token) {
      return InvalidArgument("{}: {}: expected one of {} tokens, found {}", file.Path(), gguf_key,
                             vocabulary.tokens.size(), id);
    }
    json[name] = *token;
  }
  PONDER_ASSIGN_OR_RETURN(const std::string architecture, file.String("general.architecture"));
  PONDER_ASSIGN_OR_RETURN(const int64_t positions, file.Integer(architecture + ".context_length"));
  json["model_max_length"] = positions;
  if (file.Has("tokenizer.chat_template")) {
    PONDER_ASSIGN_OR_RETURN(const std::string chat, file.String("tokenizer.chat_template"));
    json["chat_template"] = chat;
  }
  return Dump(json, file);
}

}  // namespace ponder
