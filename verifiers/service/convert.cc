#include "verifiers/service/convert.h"

#include <utility>

#include "verifiers/verdict_check.h"

namespace ponder {
namespace {

// The length of the well-formed character at the front, or 0 (RFC 3629: no overlong forms, no
// surrogates).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool valid = continues(1) && continues(2) && !(first == 0xE0 && second < 0xA0) &&
                       !(first == 0xED && second > 0x9F);
    return valid ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool valid = continues(1) && continues(2) && continues(3) &&
                       !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
    return valid ? 4 : 0;
  }
  return 0;
}

v1::VerdictStatus ToProto(VerdictStatus status) {
  switch (status) {
    case VerdictStatus::kUnspecified:
      return v1::VERDICT_STATUS_UNSPECIFIED;
    case VerdictStatus::kCorrect:
      return v1::VERDICT_STATUS_CORRECT;
    case VerdictStatus::kWrong:
      return v1::VERDICT_STATUS_WRONG;
    case VerdictStatus::kNoAnswer:
      return v1::VERDICT_STATUS_NO_ANSWER;
    case VerdictStatus::kUnparseable:
      return v1::VERDICT_STATUS_UNPARSEABLE;
    case VerdictStatus::kInvalidGold:
      return v1::VERDICT_STATUS_INVALID_GOLD;
    case VerdictStatus::kTimeout:
      return v1::VERDICT_STATUS_TIMEOUT;
    case VerdictStatus::kInternal:
      return v1::VERDICT_STATUS_INTERNAL;
  }
  return v1::VERDICT_STATUS_UNSPECIFIED;
}

VerdictStatus FromProto(v1::VerdictStatus status) {
  switch (status) {
    case v1::VERDICT_STATUS_CORRECT:
      return VerdictStatus::kCorrect;
    case v1::VERDICT_STATUS_WRONG:
      return VerdictStatus::kWrong;
    case v1::VERDICT_STATUS_NO_ANSWER:
      return VerdictStatus::kNoAnswer;
    case v1::VERDICT_STATUS_UNPARSEABLE:
      return VerdictStatus::kUnparseable;
    case v1::VERDICT_STATUS_INVALID_GOLD:
      return VerdictStatus::kInvalidGold;
    case v1::VERDICT_STATUS_TIMEOUT:
      return VerdictStatus::kTimeout;
    case v1::VERDICT_STATUS_INTERNAL:
      return VerdictStatus::kInternal;
    default:
      return VerdictStatus::kUnspecified;
  }
}

}  // namespace

std::string ToUtf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    result.append(length == 0 ? "\uFFFD" : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

void ToProto(const Task& task, v1::Task* message) {
  message->set_id(ToUtf8(task.id));
  message->set_kind(ToUtf8(task.kind));
  message->set_source(ToUtf8(task.source));
  message->set_question(ToUtf8(task.question));
  message->set_gold(ToUtf8(task.gold));
  message->set_data(ToUtf8(task.data));
  message->set_difficulty(task.difficulty);
}

Task FromProto(const v1::Task& message) {
  return {.id = message.id(),
          .kind = message.kind(),
          .source = message.source(),
          .question = message.question(),
          .gold = message.gold(),
          .data = message.data(),
          .difficulty = message.difficulty()};
}

void ToProto(const VerifyItem& item, v1::VerifyItem* message) {
  ToProto(item.task, message->mutable_task());
  message->set_completion(ToUtf8(item.completion));
}

VerifyItem FromProto(const v1::VerifyItem& message) {
  return {FromProto(message.task()), message.completion()};
}

void ToProto(const Verdict& verdict, v1::Verdict* message) {
  message->set_status(ToProto(verdict.status));
  message->set_score(verdict.score);
  for (const auto& [name, value] : verdict.parts) (*message->mutable_parts())[ToUtf8(name)] = value;
  message->set_extracted(ToUtf8(verdict.extracted));
  message->set_reason(ToUtf8(verdict.reason));
  message->set_elapsed_us(verdict.elapsed_us);
}

Verdict FromProto(const v1::Verdict& message) {
  Verdict verdict{.status = FromProto(message.status()),
                  .score = message.score(),
                  .extracted = message.extracted(),
                  .reason = message.reason(),
                  .elapsed_us = message.elapsed_us()};
  for (const auto& [name, value] : message.parts()) verdict.parts[name] = value;
  return CheckedVerdict(std::move(verdict));
}

}  // namespace ponder
