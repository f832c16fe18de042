#include "base/records.h"

namespace ponder {

std::string_view ToString(FinishReason reason) {
  switch (reason) {
    case FinishReason::kUnspecified:
      return "unspecified";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "unspecified";
}

std::string_view ToString(VerdictStatus status) {
  switch (status) {
    case VerdictStatus::kUnspecified:
      return "UNSPECIFIED";
    case VerdictStatus::kCorrect:
      return "CORRECT";
    case VerdictStatus::kWrong:
      return "WRONG";
    case VerdictStatus::kNoAnswer:
      return "NO_ANSWER";
    case VerdictStatus::kUnparseable:
      return "UNPARSEABLE";
    case VerdictStatus::kInvalidGold:
      return "INVALID_GOLD";
    case VerdictStatus::kTimeout:
      return "TIMEOUT";
    case VerdictStatus::kInternal:
      return "INTERNAL";
  }
  return "UNSPECIFIED";
}

}  // namespace ponder
