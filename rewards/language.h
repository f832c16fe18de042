#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// The share of a thought's words that are written in a language's script: R1's language
// consistency reward (DeepSeek-AI 2025, DeepSeek-R1, section 2.3.2). The thought is what precedes
// </think>, the whole text where there is none. A word is a run of letters of one script;
// ideographs and kana count one by one, as those languages write no blanks. Single letters of other
// scripts (variables) and TeX commands do not count. Script is all that is looked at: for "en" a
// word must be of ASCII letters (with apostrophes), so that French with accents differs, without
// them it does not.
class LanguageShare {
 public:
  // "en", "zh", "ja", "ko", "ru", "ar", "hi", "el", "he", "th", or "latin" for any language in
  // Latin letters. INVALID_ARGUMENT names the known ones.
  static absl::StatusOr<LanguageShare> Create(const std::string& language);

  // 0 to 1; 1 for a thought without words. Thread-safe.
  double Of(std::string_view text) const;

 private:
  std::vector<int> scripts_;  // ICU's UScriptCode
  bool ascii_only_ = false;
};

std::vector<std::string> KnownLanguages();

}  // namespace ponder
