#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/records.h"
#include "base/status.h"

namespace ponder {

// Items and verdicts as JSON objects, as `ponder verify` reads and writes them and a command
// verifier writes and reads them:
//   {"id": 7, "task": {"id","kind","source","question","gold","data","difficulty"},
//    "completion": "..."}
//   {"id": 7, "status": "WRONG", "score": 0.0, "parts": {"format": 1.0}, "extracted": "...",
//    "reason": "...", "elapsed_us": 12}

// "data" is an object where the task has data. Bytes that are not UTF-8 become U+FFFD in Dump.
nlohmann::json ToJson(const VerifyItem& item);
nlohmann::json ToJson(const Verdict& verdict);

// is_discarded() where the text is no JSON or nested deeper than a hundred levels (what reads it
// later may recurse).
nlohmann::json ParseJson(std::string_view text);

// One line of text, without its end.
std::string Dump(const nlohmann::json& value);

// Takes {"gold","completion"} as well; such an item's kind is `default_kind`. A gold or data that
// is no string is taken as it stands in `text`, of which `value` is what ParseJson made: 5 is "5",
// and numbers keep all their digits.
absl::StatusOr<VerifyItem> ItemFromJson(const nlohmann::json& value, std::string_view text,
                                        const std::string& default_kind);

// "status" may be missing where there is a "score" (1 is CORRECT, less is WRONG) and "score" where
// there is a status; true and false are scores too. The rest may be missing. What is no verdict
// becomes INTERNAL, as CheckedVerdict has it.
Verdict VerdictFromJson(const nlohmann::json& value);

}  // namespace ponder
