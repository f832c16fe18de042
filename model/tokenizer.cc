#include "model/tokenizer.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/utf8.h"
#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/byte_alphabet.h"
#include "model/pre_tokenizer.h"
#include "model/tokenizer_json.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

absl::string_view AbslView(std::string_view text) { return {text.data(), text.size()}; }

// Every token by id and by content: those of the model and the added ones.
class Vocabulary {
 public:
  explicit Vocabulary(TokenizerSpec* spec)
      : model_size_(spec->vocabulary_size), contents_(std::move(spec->tokens)) {
    ids_.reserve(contents_.size());
    for (size_t id = 0; id < contents_.size(); ++id) {
      if (!contents_[id].empty()) ids_.emplace(contents_[id], static_cast<int32_t>(id));
    }
  }

  std::optional<int32_t> Find(std::string_view token) const {
    const auto found = ids_.find(AbslView(token));
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  int32_t Size() const { return static_cast<int32_t>(contents_.size()); }
  const std::string& Content(int32_t id) const { return contents_[id]; }

  // The id of an added token: the one it has already, or the one that `tokenizers` gives a new
  // token, the first behind the vocabulary and behind the added tokens.
  absl::StatusOr<int32_t> Add(const std::string& content) {
    int32_t id = 0;
    if (const std::optional<int32_t> known = Find(content)) {
      id = *known;
    } else {
      id = std::max(static_cast<int32_t>(model_size_), max_added_ + 1);
      if (id < Size() && !contents_[id].empty()) {
        return InvalidArgument(
            "the added token \"{}\" gets id {}, which \"{}\" has; the vocabulary's ids have gaps",
            content, id, contents_[id]);
      }
      if (id >= Size()) contents_.resize(id + 1);
      contents_[id] = content;
      ids_.emplace(content, id);
    }
    max_added_ = std::max(max_added_, id);
    return id;
  }

 private:
  int64_t model_size_;
  int32_t max_added_ = -1;
  std::vector<std::string> contents_;
  absl::flat_hash_map<std::string, int32_t> ids_;
};

absl::StatusOr<BpeParams> MakeBpeParams(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  BpeParams params;
  for (int byte = 0; byte < 256; ++byte) {
    const char bytes[1] = {static_cast<char>(byte)};
    params.byte_ids.push_back(vocabulary.Find(TokenOfBytes({bytes, 1})).value_or(-1));
  }
  if (!spec.unknown_token.empty()) {
    params.unknown = vocabulary.Find(spec.unknown_token);
    const bool needed = std::count(params.byte_ids.begin(), params.byte_ids.end(), -1) > 0;
    if (!params.unknown.has_value() && needed) {
      return InvalidArgument("model.unk_token: \"{}\" is not in model.vocab", spec.unknown_token);
    }
  }
  params.fuse_unknown = spec.fuse_unknown;
  params.merges.reserve(spec.merges.size());
  std::string joined;
  for (const TokenizerSpec::Merge& merge : spec.merges) {
    joined.assign(merge.left).append(merge.right);
    const std::optional<int32_t> left = vocabulary.Find(merge.left),
                                 right = vocabulary.Find(merge.right),
                                 result = vocabulary.Find(joined);
    if (!left || !right || !result) {
      return InvalidArgument("model.merges[{}]: \"{}\" is not in model.vocab", params.merges.size(),
                             !left    ? merge.left
                             : !right ? merge.right
                                      : joined);
    }
    params.merges.push_back({*left, *right, *result});
  }
  if (spec.ignore_merges) {
    for (int32_t id = 0; id < vocabulary.Size(); ++id) {
      std::optional<std::string> bytes = BytesOfToken(vocabulary.Content(id));
      if (bytes.has_value() && !bytes->empty())
        params.whole_words.emplace_back(*std::move(bytes), id);
    }
  }
  return params;
}

class BpeTokenizer : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerSpec spec,
                                                           const std::vector<AddedToken>& more) {
    auto tokenizer = std::unique_ptr<BpeTokenizer>(new BpeTokenizer(&spec));
    PONDER_ASSIGN_OR_RETURN(tokenizer->pre_tokenizer_, CreatePreTokenizer(spec.pre_tokenizer));
    PONDER_ASSIGN_OR_RETURN(BpeParams bpe, MakeBpeParams(spec, tokenizer->vocabulary_));
    tokenizer->bpe_ = CreateBpe(std::move(bpe));
    for (const AddedToken& token : spec.added_tokens) PONDER_RETURN_IF_ERROR(tokenizer->Add(token));
    for (const AddedToken& token : more) {
      // A role ("eos_token") says nothing new of a token that is added already.
      if (token.id < 0 && tokenizer->FindAdded(token.content) != nullptr) continue;
      PONDER_RETURN_IF_ERROR(tokenizer->Add(token));
    }
    tokenizer->Finish();
    return tokenizer;
  }

  std::vector<int32_t> Encode(std::string_view text) const override {
    PONDER_CHECK(text.size() <= INT32_MAX);
    std::vector<int32_t> ids;
    if (IsValidUtf8(text)) {
      EncodeValid(text, &ids);
    } else {
      EncodeValid(ToValidUtf8(text), &ids);
    }
    return ids;
  }

  std::string Decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      if (skip_special && IsSpecial(id)) continue;
      bytes += TokenBytes(id);
    }
    return IsValidUtf8(bytes) ? bytes : ToValidUtf8(bytes);
  }

  std::string_view TokenBytes(int32_t id) const override {
    return id >= 0 && id < Size() ? std::string_view(bytes_[id]) : std::string_view();
  }
  int64_t Size() const override { return vocabulary_.Size(); }
  std::optional<int32_t> Find(std::string_view token) const override {
    return vocabulary_.Find(token);
  }
  bool IsSpecial(int32_t id) const override { return id >= 0 && id < Size() && is_special_[id]; }

 private:
  explicit BpeTokenizer(TokenizerSpec* spec) : nfc_(spec->nfc), vocabulary_(spec) {}

  const AddedToken* FindAdded(const std::string& content) const {
    const auto found = std::find_if(added_.begin(), added_.end(), [&](const AddedToken& token) {
      return token.content == content;
    });
    return found == added_.end() ? nullptr : &*found;
  }

  // A token that is added again takes its new flags; once special, always special.
  absl::Status Add(AddedToken token) {
    PONDER_ASSIGN_OR_RETURN(const int32_t id, vocabulary_.Add(token.content));
    if (token.id >= 0 && token.id != id) {
      return InvalidArgument(
          "the added token \"{}\" should have id {}, but vocabulary and order give it {}",
          token.content, token.id, id);
    }
    token.id = id;
    const auto known = std::find_if(added_.begin(), added_.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (known == added_.end()) {
      added_.push_back(std::move(token));
    } else {
      token.special |= known->special;
      *known = std::move(token);
    }
    return absl::OkStatus();
  }

  void Finish() {
    bytes_.reserve(Size());
    for (int32_t id = 0; id < Size(); ++id) {
      const std::string& content = vocabulary_.Content(id);
      bytes_.push_back(BytesOfToken(content).value_or(content));
    }
    is_special_.resize(Size(), false);
    // Special tokens first: of two with one normal form the first counts.
    std::stable_sort(added_.begin(), added_.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.special && !b.special;
    });
    for (const AddedToken& token : added_) {
      is_special_[token.id] = token.special;
      if (token.normalized) {
        const std::string pattern = nfc_ ? ToNfc(token.content) : token.content;
        bytes_[token.id] =
            BytesOfToken(pattern).value_or(pattern);  // it is decoded in this form too
        normalized_matcher_.Add(token, pattern);
      } else {
        raw_matcher_.Add(token, token.content);
      }
    }
  }

  void EncodeValid(std::string_view text, std::vector<int32_t>* ids) const {
    for (const Segment& segment : raw_matcher_.Cut(text)) {
      if (segment.token >= 0) {
        ids->push_back(segment.token);
      } else if (nfc_) {
        EncodeNormalized(ToNfc(segment.text), ids);
      } else {
        EncodeNormalized(segment.text, ids);
      }
    }
  }

  void EncodeNormalized(std::string_view text, std::vector<int32_t>* ids) const {
    for (const Segment& segment : normalized_matcher_.Cut(text)) {
      if (segment.token >= 0) {
        ids->push_back(segment.token);
        continue;
      }
      const Words words = pre_tokenizer_->Split(segment.text);
      for (size_t i = 0; i < words.spans.size(); ++i) bpe_->Encode(words.Word(i), ids);
    }
  }

  bool nfc_;
  Vocabulary vocabulary_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<Bpe> bpe_;
  std::vector<AddedToken> added_;
  AddedTokenMatcher raw_matcher_;         // looks at the text as given
  AddedTokenMatcher normalized_matcher_;  // looks at normalized text between those
  std::vector<std::string> bytes_;        // by id
  std::vector<bool> is_special_;          // by id
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  PONDER_ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kMaxFileBytes));
  absl::StatusOr<TokenizerSpec> spec = ParseTokenizerJson(json);
  if (!spec.ok()) return Annotate(spec.status(), path);
  std::vector<AddedToken> more;
  const std::string config_path = directory + "/tokenizer_config.json";
  if (std::filesystem::exists(config_path)) {
    PONDER_ASSIGN_OR_RETURN(const std::string config, ReadFile(config_path, kMaxFileBytes));
    absl::StatusOr<std::vector<AddedToken>> tokens = ParseTokenizerConfigTokens(config);
    if (!tokens.ok()) return Annotate(tokens.status(), config_path);
    more = *std::move(tokens);
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      BpeTokenizer::Create(*std::move(spec), more);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(const std::string& json) {
  PONDER_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerJson(json));
  return BpeTokenizer::Create(std::move(spec), {});
}

}  // namespace ponder
