#include "rewards/language.h"

#include <fmt/ranges.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <algorithm>

namespace ponder {
namespace {

struct Language {
  const char* name;
  std::vector<int> scripts;
};

const std::vector<Language>& Languages() {
  static const auto* const languages = new std::vector<Language>{
      {"ar", {USCRIPT_ARABIC}},     {"el", {USCRIPT_GREEK}},
      {"en", {USCRIPT_LATIN}},      {"he", {USCRIPT_HEBREW}},
      {"hi", {USCRIPT_DEVANAGARI}}, {"ja", {USCRIPT_HAN, USCRIPT_HIRAGANA, USCRIPT_KATAKANA}},
      {"ko", {USCRIPT_HANGUL}},     {"latin", {USCRIPT_LATIN}},
      {"ru", {USCRIPT_CYRILLIC}},   {"th", {USCRIPT_THAI}},
      {"zh", {USCRIPT_HAN}}};
  return *languages;
}

std::string_view Thought(std::string_view text) { return text.substr(0, text.find("</think>")); }

// Scripts in which a letter is a word or part of one without blanks around it.
bool CountsAlone(UScriptCode script) {
  return script == USCRIPT_HAN || script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA;
}

// Letters of one script in a row.
struct Word {
  UScriptCode script = USCRIPT_COMMON;
  int64_t letters = 0;
  bool ascii = true;
};

// Calls on_word for each word.
template <typename OnWord>
void ForEachWord(std::string_view text, OnWord on_word) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto size = static_cast<int64_t>(text.size());
  Word word;
  const auto end_word = [&] {
    if (word.letters > 1) on_word(word);
    word = {};
  };
  bool in_command = false;  // a TeX command or a tag's name: letters right behind \, < or /
  for (int64_t i = 0; i < size;) {
    UChar32 c = 0;
    U8_NEXT_OR_FFFD(bytes, i, size, c);
    if (c == '\\' || c == '<' || (c == '/' && in_command)) {
      end_word();
      in_command = true;
      continue;
    }
    if (c == '\'' || c == 0x2019) continue;  // don't
    if (!u_isalpha(c)) {
      // Marks (of Thai, Hindi, Arabic) belong to the letter before.
      const bool mark = (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
      if (mark && word.letters > 0) continue;
      end_word();
      in_command = false;
      continue;
    }
    if (in_command && c < 0x80) continue;
    in_command = false;
    UErrorCode error = U_ZERO_ERROR;
    UScriptCode script = uscript_getScript(c, &error);
    if (script == USCRIPT_COMMON || script == USCRIPT_INHERITED) {
      // The Japanese length mark and the like follow what stands before them.
      script = word.letters > 0 ? word.script : USCRIPT_COMMON;
      if (script == USCRIPT_COMMON) continue;
    }
    if (CountsAlone(script)) {
      end_word();
      on_word(Word{.script = script, .letters = 1, .ascii = false});
      continue;
    }
    if (word.letters > 0 && script != word.script) end_word();
    word.script = script;
    ++word.letters;
    word.ascii &= c < 0x80;
  }
  end_word();
}

}  // namespace

std::vector<std::string> KnownLanguages() {
  std::vector<std::string> names;
  for (const Language& language : Languages()) names.emplace_back(language.name);
  return names;
}

absl::StatusOr<LanguageShare> LanguageShare::Create(const std::string& language) {
  for (const Language& known : Languages()) {
    if (known.name != language) continue;
    LanguageShare share;
    share.scripts_ = known.scripts;
    share.ascii_only_ = language == "en";
    return share;
  }
  return InvalidArgument("no language is called \"{}\"; known are {}", language,
                         fmt::join(KnownLanguages(), ", "));
}

double LanguageShare::Of(std::string_view text) const {
  int64_t words = 0, right = 0;
  ForEachWord(Thought(text), [&](const Word& word) {
    ++words;
    right += std::find(scripts_.begin(), scripts_.end(), word.script) != scripts_.end() &&
             (word.ascii || !ascii_only_);
  });
  return words == 0 ? 1 : static_cast<double>(right) / static_cast<double>(words);
}

}  // namespace ponder
