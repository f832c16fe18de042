#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "verifiers/math/answer_check.h"

namespace ponder::math {

// What travels between AlgebraWorkers and its processes: messages of a 32-bit length and that many
// bytes, in this machine's byte order.
struct CheckRequest {
  std::string gold, answer;
  CompareOptions options;
};

std::string EncodeRequest(std::string_view gold, std::string_view answer,
                          const CompareOptions& options);
std::optional<CheckRequest> DecodeRequest(std::string_view bytes);
std::string EncodeReply(const AnswerCheck& check);
std::optional<AnswerCheck> DecodeReply(std::string_view bytes);

constexpr uint32_t kMostMessageBytes = 256 << 10;

}  // namespace ponder::math
