#include "verifiers/code/wire.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

namespace ponder {
namespace {

constexpr size_t kHeaderBytes = kNonceBytes + 4 + 1 + 4;

uint32_t ReadU32(std::string_view bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << 8 * i;
  return value;
}

// UTF-8 as Python writes it with "surrogatepass": single surrogates are allowed, longer forms than
// needed and what lies beyond U+10FFFF are not.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i <= extra) return false;
    uint32_t code = lead & (0x3F >> extra);
    for (size_t k = 1; k <= extra; ++k) {
      const auto next = static_cast<uint8_t>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3F);
    }
    if ((extra == 2 && code < 0x800) || (extra == 3 && (code < 0x10000 || code > 0x10FFFF))) {
      return false;
    }
    i += extra + 1;
  }
  return true;
}

// Walks over values in place; nothing is built.
class PlainWalk {
 public:
  explicit PlainWalk(std::string_view bytes) : rest_(bytes) {}

  absl::Status Value(int depth, bool hashable) {
    if (depth > kMaxDepth) return InvalidArgument("the value is nested deeper than {}", kMaxDepth);
    if (rest_.empty()) return CutShort();
    const char tag = rest_[0];
    rest_.remove_prefix(1);
    switch (tag) {
      case 'N':
      case 'T':
      case 'F':
        return absl::OkStatus();
      case 'i':
        return Skip(4);
      case 'g':
        return Skip(8);
      case 'y':
        return Skip(16);
      case 'l':
        return LongInteger();
      case 'u':
      case 's':
        return Text(tag == 'u');
      case '(':
      case '>':
        return Items(depth, hashable || tag == '>');
      case '[':
      case '<':
        if (hashable)
          return InvalidArgument("a list or set stands where only a hashable value can");
        return Items(depth, /*hashable=*/tag == '<');
      case '{':
        if (hashable) return InvalidArgument("a dict stands where only a hashable value can");
        return Dict(depth);
      default:
        return InvalidArgument("expected plain data, found a value of tag {}",
                               static_cast<int>(static_cast<uint8_t>(tag)));
    }
  }

  std::string_view Rest() const { return rest_; }

 private:
  static absl::Status CutShort() { return InvalidArgument("the value is cut short"); }

  absl::Status Skip(size_t bytes) {
    if (rest_.size() < bytes) return CutShort();
    rest_.remove_prefix(bytes);
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> U32() {
    if (rest_.size() < 4) return CutShort();
    const uint32_t value = ReadU32(rest_);
    rest_.remove_prefix(4);
    return value;
  }

  // Digits of 15 bits, the highest not 0; the sign is that of their count.
  absl::Status LongInteger() {
    PONDER_ASSIGN_OR_RETURN(const uint32_t signed_count, U32());
    const uint32_t count = signed_count >> 31 != 0 ? 0 - signed_count : signed_count;
    if (count == 0 || count > rest_.size() / 2) return CutShort();
    for (uint32_t i = 0; i < count; ++i) {
      if ((static_cast<uint8_t>(rest_[2 * i + 1]) & 0x80) != 0) {
        return InvalidArgument("a digit of an integer is over 15 bits");
      }
    }
    if (rest_[2 * count - 1] == 0 && rest_[2 * count - 2] == 0) {
      return InvalidArgument("the highest digit of an integer is 0");
    }
    rest_.remove_prefix(2 * size_t{count});
    return absl::OkStatus();
  }

  absl::Status Text(bool utf8) {
    PONDER_ASSIGN_OR_RETURN(const uint32_t length, U32());
    if (length > rest_.size()) return CutShort();
    if (utf8 && !IsUtf8(rest_.substr(0, length))) return InvalidArgument("a text is no UTF-8");
    rest_.remove_prefix(length);
    return absl::OkStatus();
  }

  absl::Status Items(int depth, bool hashable) {
    PONDER_ASSIGN_OR_RETURN(const uint32_t count, U32());
    if (count > rest_.size()) return CutShort();  // each has a byte at least
    for (uint32_t i = 0; i < count; ++i) PONDER_RETURN_IF_ERROR(Value(depth + 1, hashable));
    return absl::OkStatus();
  }

  // Keys and values by turns, until '0' stands in place of a key.
  absl::Status Dict(int depth) {
    for (;;) {
      if (rest_.empty()) return CutShort();
      if (rest_[0] == '0') return Skip(1);
      PONDER_RETURN_IF_ERROR(Value(depth + 1, /*hashable=*/true));
      PONDER_RETURN_IF_ERROR(Value(depth + 1, /*hashable=*/false));
    }
  }

  std::string_view rest_;
};

// A tuple of exactly the tags given.
bool IsTupleOf(std::string_view payload, std::string_view tags) {
  if (payload.size() < 5 || payload[0] != '(' || ReadU32(payload.substr(1)) != tags.size()) {
    return false;
  }
  payload.remove_prefix(5);
  for (const char tag : tags) {
    if (payload.empty() || payload[0] != tag) return false;
    PlainWalk walk(payload);
    if (!walk.Value(0, false).ok()) return false;
    payload = walk.Rest();
  }
  return payload.empty();
}

}  // namespace

absl::StatusOr<Nonce> MakeNonce() {
  Nonce nonce;
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) {
    return Internal("the kernel gave no random bytes: {}", std::strerror(errno));
  }
  return nonce;
}

absl::Status AnswerReader::Append(std::string_view bytes) {
  total_bytes_ += static_cast<int64_t>(bytes.size());
  if (total_bytes_ > limits_.total_bytes) {
    return ResourceExhausted("the values that came back have over {} bytes", limits_.total_bytes);
  }
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Answer>> AnswerReader::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  if (rest.size() < kHeaderBytes) return std::nullopt;
  if (std::memcmp(rest.data(), nonce_.data(), kNonceBytes) != 0) {
    return InvalidArgument("a message does not carry this candidate's nonce");
  }
  const uint32_t length = ReadU32(rest.substr(kNonceBytes + 5));
  if (length > limits_.answer_bytes) {
    return ResourceExhausted("a value has {} bytes, at most {} are taken", length,
                             limits_.answer_bytes);
  }
  if (rest.size() - kHeaderBytes < length) return std::nullopt;
  Answer answer{.number = ReadU32(rest.substr(kNonceBytes)),
                .kind = static_cast<AnswerKind>(rest[kNonceBytes + 4]),
                .payload = std::string(rest.substr(kHeaderBytes, length))};
  begin_ += kHeaderBytes + length;
  PONDER_RETURN_IF_ERROR(CheckAnswer(answer));
  return answer;
}

absl::Status CheckAnswer(const Answer& answer) {
  const std::string_view payload = answer.payload;
  bool fits = false;
  switch (answer.kind) {
    case AnswerKind::kReady:
      fits = payload == "N" && answer.number == 0;
      break;
    case AnswerKind::kSyntax:
      fits = IsTupleOf(payload, "uuu") && answer.number == 0;
      break;
    case AnswerKind::kRaised:
      fits = IsTupleOf(payload, "uuu");
      break;
    case AnswerKind::kValue:
      if (answer.number == 0) break;
      return CheckPlainValue(payload);
    case AnswerKind::kValueAndArguments: {
      if (answer.number == 0 || payload.size() < 5 || payload[0] != '(' ||
          ReadU32(payload.substr(1)) != 2) {
        break;
      }
      PlainWalk walk(payload.substr(5));
      PONDER_RETURN_IF_ERROR(walk.Value(0, false));
      if (walk.Rest().empty() || walk.Rest()[0] != '[') break;
      return CheckPlainValue(walk.Rest());
    }
    case AnswerKind::kHandle:
      // The number is below 2^31.
      fits = answer.number > 0 && IsTupleOf(payload, "iuu") && (payload[9] & 0x80) == 0;
      break;
    case AnswerKind::kMissing:
      fits = answer.number > 0 && !payload.empty() && payload[0] == 'u' &&
             CheckPlainValue(payload).ok();
      break;
  }
  if (fits) return absl::OkStatus();
  return InvalidArgument("message {} of kind {} has not the form of its kind", answer.number,
                         static_cast<int>(answer.kind));
}

absl::Status CheckPlainValue(std::string_view bytes) {
  PlainWalk walk(bytes);
  PONDER_RETURN_IF_ERROR(walk.Value(0, false));
  if (!walk.Rest().empty()) {
    return InvalidArgument("{} bytes stand behind the value", walk.Rest().size());
  }
  return absl::OkStatus();
}

std::vector<std::string> TextsOf(std::string_view tuple) {
  std::vector<std::string> texts;
  const uint32_t count = ReadU32(tuple.substr(1));
  tuple.remove_prefix(5);
  for (uint32_t i = 0; i < count; ++i) {
    PlainWalk walk(tuple);
    if (!walk.Value(0, false).ok()) return texts;
    const std::string_view value = tuple.substr(0, tuple.size() - walk.Rest().size());
    texts.emplace_back(value[0] == 'u' ? value.substr(5) : std::string_view());
    tuple = walk.Rest();
  }
  return texts;
}

std::string LengthPrefix(size_t bytes) {
  std::string prefix(4, '\0');
  for (int i = 0; i < 4; ++i) prefix[i] = static_cast<char>(bytes >> 8 * i);
  return prefix;
}

}  // namespace ponder
