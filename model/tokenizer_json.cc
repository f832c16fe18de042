#include "model/tokenizer_json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace ponder {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

constexpr size_t kMaxDepth = 64;
constexpr int64_t kMaxTokens = int64_t{1} << 24;  // some fifty times the largest vocabulary in use
constexpr size_t kMaxAddedTokenBytes = 4096;      // bounds the work at each place of a text
constexpr int kMaxSequenceDepth = 4;

std::string_view TypeName(const element& value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::INT64:
    case element_type::UINT64:
      return "an integer";
    case element_type::DOUBLE:
      return "a number";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
  }
  return "something else";
}

absl::Status WrongType(std::string_view key, std::string_view expected, const element& value) {
  return InvalidArgument("{}: expected {}, found {}", key, expected, TypeName(value));
}

// A value and how to get to it: "model.vocab".
struct Node {
  element value;
  std::string path;

  bool IsNull() const { return value.is_null(); }

  absl::StatusOr<object> Object() const {
    object result;
    if (value.get(result)) return WrongType(path, "an object", value);
    return result;
  }
  absl::StatusOr<array> Array() const {
    array result;
    if (value.get(result)) return WrongType(path, "an array", value);
    return result;
  }
  absl::StatusOr<std::string> String() const {
    std::string_view result;
    if (value.get(result)) return WrongType(path, "a string", value);
    return std::string(result);
  }
  absl::StatusOr<bool> Bool() const {
    bool result;
    if (value.get(result)) return WrongType(path, "true or false", value);
    return result;
  }
  absl::StatusOr<int32_t> Id() const {
    int64_t result;
    if (value.get(result)) return WrongType(path, "a token id", value);
    if (result < 0 || result >= kMaxTokens) {
      return InvalidArgument("{}: expected a token id below {}, found {}", path, kMaxTokens,
                             result);
    }
    return static_cast<int32_t>(result);
  }

  // Empty where the key is missing or null.
  absl::StatusOr<std::optional<Node>> Find(std::string_view key) const {
    PONDER_ASSIGN_OR_RETURN(const object members, Object());
    element member;
    if (members.at_key(key).get(member) || member.is_null()) return std::nullopt;
    return Node{member, path.empty() ? std::string(key) : fmt::format("{}.{}", path, key)};
  }
  absl::StatusOr<Node> Get(std::string_view key) const {
    PONDER_ASSIGN_OR_RETURN(std::optional<Node> found, Find(key));
    if (!found.has_value())
      return InvalidArgument("{} is missing in {}", key, path.empty() ? "the file" : path);
    return *std::move(found);
  }
  absl::StatusOr<std::string> GetString(std::string_view key, const char* missing = nullptr) const {
    PONDER_ASSIGN_OR_RETURN(const std::optional<Node> found, Find(key));
    if (found.has_value()) return found->String();
    if (missing == nullptr)
      return InvalidArgument("{} is missing in {}", key, path.empty() ? "the file" : path);
    return std::string(missing);
  }
  absl::StatusOr<bool> GetBool(std::string_view key, bool missing) const {
    PONDER_ASSIGN_OR_RETURN(const std::optional<Node> found, Find(key));
    if (!found.has_value()) return missing;
    return found->Bool();
  }
};

absl::StatusOr<Node> ParseRoot(const std::string& json, simdjson::dom::parser* parser) {
  if (const auto error = parser->allocate(std::max<size_t>(json.size(), 64), kMaxDepth)) {
    return InvalidArgument("the JSON text cannot be read: {}", simdjson::error_message(error));
  }
  element root;
  if (const auto error = parser->parse(json).get(root)) {
    return InvalidArgument("the JSON text cannot be read: {}", simdjson::error_message(error));
  }
  Node node{root, ""};
  if (!root.is_object()) return WrongType("the file", "an object", root);
  return node;
}

absl::Status ParseNormalizer(const Node& node, int depth, TokenizerSpec* spec) {
  PONDER_ASSIGN_OR_RETURN(const std::string type, node.GetString("type"));
  if (type == "NFC") {
    spec->nfc = true;
    return absl::OkStatus();
  }
  if (type == "Sequence" && depth < kMaxSequenceDepth) {
    PONDER_ASSIGN_OR_RETURN(const Node parts, node.Get("normalizers"));
    PONDER_ASSIGN_OR_RETURN(const array list, parts.Array());
    size_t i = 0;
    for (const element part : list) {
      PONDER_RETURN_IF_ERROR(
          ParseNormalizer({part, fmt::format("{}[{}]", parts.path, i++)}, depth + 1, spec));
    }
    return absl::OkStatus();
  }
  return InvalidArgument("{}.type: {} is not supported; expected NFC or a Sequence of it",
                         node.path, type);
}

absl::StatusOr<SplitBehavior> ParseBehavior(const Node& node) {
  PONDER_ASSIGN_OR_RETURN(const std::string name, node.String());
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return InvalidArgument("{}: unknown behavior {}", node.path, name);
}

absl::Status ParseSplit(const Node& node, PreTokenizerStep* step) {
  step->kind = PreTokenizerStep::Kind::kSplit;
  PONDER_ASSIGN_OR_RETURN(const Node pattern, node.Get("pattern"));
  PONDER_ASSIGN_OR_RETURN(const std::optional<Node> regex, pattern.Find("Regex"));
  step->is_literal = !regex.has_value();
  if (regex.has_value()) {
    PONDER_ASSIGN_OR_RETURN(step->pattern, regex->String());
  } else {
    PONDER_ASSIGN_OR_RETURN(step->pattern, pattern.GetString("String"));
  }
  PONDER_ASSIGN_OR_RETURN(const Node behavior, node.Get("behavior"));
  PONDER_ASSIGN_OR_RETURN(step->behavior, ParseBehavior(behavior));
  PONDER_ASSIGN_OR_RETURN(step->invert, node.GetBool("invert", false));
  return absl::OkStatus();
}

absl::Status ParsePreTokenizer(const Node& node, int depth, TokenizerSpec* spec) {
  PONDER_ASSIGN_OR_RETURN(const std::string type, node.GetString("type"));
  if (type == "Sequence" && depth < kMaxSequenceDepth) {
    PONDER_ASSIGN_OR_RETURN(const Node parts, node.Get("pretokenizers"));
    PONDER_ASSIGN_OR_RETURN(const array list, parts.Array());
    size_t i = 0;
    for (const element part : list) {
      PONDER_RETURN_IF_ERROR(
          ParsePreTokenizer({part, fmt::format("{}[{}]", parts.path, i++)}, depth + 1, spec));
    }
    return absl::OkStatus();
  }
  PreTokenizerStep step;
  if (type == "Split") {
    PONDER_RETURN_IF_ERROR(ParseSplit(node, &step));
  } else if (type == "Digits") {
    step.kind = PreTokenizerStep::Kind::kDigits;
    PONDER_ASSIGN_OR_RETURN(step.individual_digits, node.GetBool("individual_digits", false));
  } else if (type == "ByteLevel") {
    step.kind = PreTokenizerStep::Kind::kByteLevel;
    PONDER_ASSIGN_OR_RETURN(step.add_prefix_space, node.GetBool("add_prefix_space", true));
    PONDER_ASSIGN_OR_RETURN(step.use_regex, node.GetBool("use_regex", true));
  } else {
    return InvalidArgument(
        "{}.type: {} is not supported; expected Split, Digits, ByteLevel or a Sequence of these",
        node.path, type);
  }
  spec->pre_tokenizer.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status CheckDecoder(const Node& node) {
  PONDER_ASSIGN_OR_RETURN(const std::string type, node.GetString("type"));
  if (type == "ByteLevel") return absl::OkStatus();
  if (type == "Sequence") {
    PONDER_ASSIGN_OR_RETURN(const Node parts, node.Get("decoders"));
    PONDER_ASSIGN_OR_RETURN(const array list, parts.Array());
    if (list.size() == 1) {
      PONDER_ASSIGN_OR_RETURN(
          const std::string only,
          (Node{list.at(0).value_unsafe(), parts.path + "[0]"}.GetString("type")));
      if (only == "ByteLevel") return absl::OkStatus();
    }
  }
  return InvalidArgument("{}.type: {} is not supported; expected ByteLevel", node.path, type);
}

absl::Status ParseVocabulary(const Node& node, TokenizerSpec* spec) {
  PONDER_ASSIGN_OR_RETURN(const object entries, node.Object());
  if (entries.size() == 0) return InvalidArgument("{} is empty", node.path);
  int64_t count = 0;
  for (const auto& [token, value] : entries) {
    const absl::StatusOr<int32_t> id = Node{value, std::string()}.Id();
    if (!id.ok()) return Node{value, fmt::format("{}[\"{}\"]", node.path, token)}.Id().status();
    if (token.empty()) return InvalidArgument("{} has an empty token", node.path);
    if (static_cast<size_t>(*id) >= spec->tokens.size()) {
      // Ids are dense in practice; a table far larger than its entries is a damaged or hostile
      // file.
      if (*id > 1024 + 64 * static_cast<int64_t>(node.value.get_object().value_unsafe().size())) {
        return InvalidArgument("{}[\"{}\"]: id {} is far beyond the number of tokens", node.path,
                               token, *id);
      }
      spec->tokens.resize(*id + 1);
    }
    if (!spec->tokens[*id].empty()) {
      return InvalidArgument("{}: id {} is given to \"{}\" and to \"{}\"", node.path, *id,
                             spec->tokens[*id], token);
    }
    spec->tokens[*id] = std::string(token);
    ++count;
  }
  spec->vocabulary_size = count;
  return absl::OkStatus();
}

absl::Status ParseMerge(const element& value, TokenizerSpec::Merge* merge) {
  std::string_view text;
  if (!value.get(text)) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return InvalidArgument("expected two tokens with one space between them, found \"{}\"", text);
    }
    *merge = {std::string(text.substr(0, space)), std::string(text.substr(space + 1))};
    return absl::OkStatus();
  }
  array pair;
  std::string_view left, right;
  if (value.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
    return InvalidArgument("expected \"left right\" or [\"left\", \"right\"]");
  }
  *merge = {std::string(left), std::string(right)};
  return absl::OkStatus();
}

absl::Status ParseModel(const Node& node, TokenizerSpec* spec) {
  PONDER_ASSIGN_OR_RETURN(const std::string type, node.GetString("type", "BPE"));
  if (type != "BPE") return InvalidArgument("model.type: {} is not supported; expected BPE", type);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    PONDER_ASSIGN_OR_RETURN(const std::string text, node.GetString(key, ""));
    if (!text.empty())
      return InvalidArgument("model.{}: \"{}\" is not supported; expected none", key, text);
  }
  PONDER_ASSIGN_OR_RETURN(const bool byte_fallback, node.GetBool("byte_fallback", false));
  if (byte_fallback)
    return InvalidArgument(
        "model.byte_fallback: true is not supported; only byte-level tokenizers are");
  PONDER_ASSIGN_OR_RETURN(const std::optional<Node> dropout, node.Find("dropout"));
  double rate = 0;
  if (dropout.has_value() && (dropout->value.get(rate) || rate != 0)) {
    return InvalidArgument("model.dropout is not supported; expected null or 0");
  }
  PONDER_ASSIGN_OR_RETURN(spec->unknown_token, node.GetString("unk_token", ""));
  PONDER_ASSIGN_OR_RETURN(spec->fuse_unknown, node.GetBool("fuse_unk", false));
  PONDER_ASSIGN_OR_RETURN(spec->ignore_merges, node.GetBool("ignore_merges", false));
  PONDER_ASSIGN_OR_RETURN(const Node vocabulary, node.Get("vocab"));
  PONDER_RETURN_IF_ERROR(ParseVocabulary(vocabulary, spec));

  PONDER_ASSIGN_OR_RETURN(const Node merges, node.Get("merges"));
  PONDER_ASSIGN_OR_RETURN(const array list, merges.Array());
  spec->merges.reserve(std::min<size_t>(list.size(), kMaxTokens));
  for (const element merge : list) {
    if (static_cast<int64_t>(spec->merges.size()) >= kMaxTokens) {
      return InvalidArgument("{}: more than {} merges", merges.path, kMaxTokens);
    }
    const size_t i = spec->merges.size();
    const absl::Status status = ParseMerge(merge, &spec->merges.emplace_back());
    if (!status.ok()) return Annotate(status, fmt::format("{}[{}]", merges.path, i));
  }
  return absl::OkStatus();
}

// The flags of an added token; its content and id come from elsewhere.
absl::Status ParseFlags(const Node& node, AddedToken* token) {
  PONDER_ASSIGN_OR_RETURN(token->special, node.GetBool("special", false));
  PONDER_ASSIGN_OR_RETURN(token->single_word, node.GetBool("single_word", false));
  PONDER_ASSIGN_OR_RETURN(token->lstrip, node.GetBool("lstrip", false));
  PONDER_ASSIGN_OR_RETURN(token->rstrip, node.GetBool("rstrip", false));
  PONDER_ASSIGN_OR_RETURN(token->normalized, node.GetBool("normalized", !token->special));
  if (token->content.size() > kMaxAddedTokenBytes) {
    return InvalidArgument("{}: a token of {} bytes; at most {} are accepted", node.path,
                           token->content.size(), kMaxAddedTokenBytes);
  }
  return absl::OkStatus();
}

absl::Status ParseAddedTokens(const Node& node, TokenizerSpec* spec) {
  PONDER_ASSIGN_OR_RETURN(const array list, node.Array());
  size_t i = 0;
  for (const element item : list) {
    const Node entry{item, fmt::format("{}[{}]", node.path, i++)};
    AddedToken token;
    PONDER_ASSIGN_OR_RETURN(token.content, entry.GetString("content"));
    PONDER_ASSIGN_OR_RETURN(const Node id, entry.Get("id"));
    PONDER_ASSIGN_OR_RETURN(token.id, id.Id());
    PONDER_RETURN_IF_ERROR(ParseFlags(entry, &token));
    if (token.content.empty()) continue;  // `tokenizers` leaves it out as well
    spec->added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerJson(const std::string& json) {
  simdjson::dom::parser parser;
  PONDER_ASSIGN_OR_RETURN(const Node root, ParseRoot(json, &parser));
  TokenizerSpec spec;
  PONDER_ASSIGN_OR_RETURN(const std::optional<Node> normalizer, root.Find("normalizer"));
  if (normalizer.has_value()) PONDER_RETURN_IF_ERROR(ParseNormalizer(*normalizer, 0, &spec));
  PONDER_ASSIGN_OR_RETURN(const Node pre_tokenizer, root.Get("pre_tokenizer"));
  PONDER_RETURN_IF_ERROR(ParsePreTokenizer(pre_tokenizer, 0, &spec));
  PONDER_ASSIGN_OR_RETURN(const Node decoder, root.Get("decoder"));
  PONDER_RETURN_IF_ERROR(CheckDecoder(decoder));
  PONDER_ASSIGN_OR_RETURN(const Node model, root.Get("model"));
  PONDER_RETURN_IF_ERROR(ParseModel(model, &spec));
  PONDER_ASSIGN_OR_RETURN(const std::optional<Node> added, root.Find("added_tokens"));
  if (added.has_value()) PONDER_RETURN_IF_ERROR(ParseAddedTokens(*added, &spec));
  return spec;
}

absl::StatusOr<std::vector<AddedToken>> ParseTokenizerConfigTokens(const std::string& json) {
  simdjson::dom::parser parser;
  PONDER_ASSIGN_OR_RETURN(const Node root, ParseRoot(json, &parser));
  std::vector<AddedToken> tokens;
  PONDER_ASSIGN_OR_RETURN(const std::optional<Node> decoder, root.Find("added_tokens_decoder"));
  if (decoder.has_value()) {
    PONDER_ASSIGN_OR_RETURN(const object entries, decoder->Object());
    for (const auto& [key, value] : entries) {
      const Node entry{value, fmt::format("{}.{}", decoder->path, key)};
      AddedToken token;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
      if (error != std::errc() || end != key.data() + key.size() || token.id < 0 ||
          token.id >= kMaxTokens) {
        return InvalidArgument("{}: expected a token id as its key", entry.path);
      }
      PONDER_ASSIGN_OR_RETURN(token.content, entry.GetString("content"));
      PONDER_RETURN_IF_ERROR(ParseFlags(entry, &token));
      if (!token.content.empty()) tokens.push_back(std::move(token));
    }
    std::sort(tokens.begin(), tokens.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  }
  for (const char* role : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    PONDER_ASSIGN_OR_RETURN(const std::optional<Node> found, root.Find(role));
    if (!found.has_value()) continue;
    AddedToken token{.id = -1, .special = true, .normalized = false};
    if (found->value.is_string()) {
      PONDER_ASSIGN_OR_RETURN(token.content, found->String());
    } else {
      PONDER_ASSIGN_OR_RETURN(token.content, found->GetString("content"));
      PONDER_RETURN_IF_ERROR(ParseFlags(*found, &token));
      token.special = true;
    }
    if (!token.content.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace ponder
