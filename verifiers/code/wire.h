#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// What a candidate's process writes, see candidate.py. Nothing of it is believed before it has been
// checked here: the process may be in anybody's hands.

constexpr size_t kNonceBytes = 16;
using Nonce = std::array<char, kNonceBytes>;

// Unpredictable bytes, new for each candidate.
absl::StatusOr<Nonce> MakeNonce();

enum class AnswerKind : uint8_t {
  kReady = 1,              // number 0 only: the code is loaded
  kSyntax = 2,             // number 0 only: it cannot be compiled
  kRaised = 3,             // (type, message, nearest built-in exception)
  kValue = 4,              // the value
  kValueAndArguments = 5,  // (value, [argument...]) as the call left them
  kHandle = 6,             // (number, type, what in it is no plain data)
  kMissing = 7,            // the name that is not defined
};

struct Answer {
  uint32_t number = 0;  // 0: the loading; then the operations, counted from 1
  AnswerKind kind = AnswerKind::kReady;
  std::string payload;
};

struct WireLimits {
  int64_t answer_bytes = int64_t{4} << 20;  // of one answer
  int64_t total_bytes = int64_t{16} << 20;  // of all
};

// Takes the stream apart. An error means that it is not what candidate.py writes, or is over a
// limit (RESOURCE_EXHAUSTED); nothing can be read after one.
class AnswerReader {
 public:
  AnswerReader(const Nonce& nonce, const WireLimits& limits) : nonce_(nonce), limits_(limits) {}

  absl::Status Append(std::string_view bytes);
  // The next answer, checked by CheckAnswer; nullopt where more bytes are needed.
  absl::StatusOr<std::optional<Answer>> Next();

 private:
  const Nonce nonce_;
  const WireLimits limits_;
  int64_t total_bytes_ = 0;
  std::string buffer_;
  size_t begin_ = 0;  // of the first byte of `buffer_` that was not taken yet
};

// Whether the payload has the shape that its kind asks for.
absl::Status CheckAnswer(const Answer& answer);

// Whether the bytes are one value of plain data: None, bool, int, float, complex, str, bytes, and
// tuple, list, dict, set, frozenset of them, no deeper than kMaxDepth, in Python's marshal format,
// version 2. What passes is safe for marshal.loads, which is not so for any bytes.
constexpr int kMaxDepth = 100;
absl::Status CheckPlainValue(std::string_view bytes);

// The texts of a tuple of texts that has passed CheckAnswer; other members come out empty.
std::vector<std::string> TextsOf(std::string_view tuple);

// A length of four bytes, least first, as it stands before every message.
std::string LengthPrefix(size_t bytes);

}  // namespace ponder
