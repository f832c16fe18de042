#include "verifiers/answer.h"

#include <absl/strings/ascii.h>

#include <algorithm>

namespace ponder {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::string_view kThink = "<think>", kEndThink = "</think>";
constexpr std::string_view kAnswer = "<answer>", kEndAnswer = "</answer>";
constexpr std::string_view kBlank = " \t\r\n";
constexpr size_t kMaxBlanks = 64;    // between a marker and its answer
constexpr size_t kMaxFewWords = 40;  // bytes
constexpr size_t kMaxJoinedBoxes = 64;
constexpr std::string_view kNumberStarts =
    "-+.$\\(\xE2\xC2";  // the bytes begin a minus and currency signs

std::string_view Trim(std::string_view text, std::string_view characters = kBlank) {
  const size_t begin = text.find_first_not_of(characters);
  if (begin == kNone) return text.substr(0, 0);
  return text.substr(begin, text.find_last_not_of(characters) - begin + 1);
}

char At(std::string_view text, size_t position) {
  return position < text.size() ? text[position] : '\0';
}
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

// A marker with the place where it begins: the last one wins.
struct Found {
  size_t begin = kNone;
  MarkedAnswer answer;
};

struct Box {
  size_t begin = kNone;  // of the backslash
  size_t end = kNone;    // behind the closing brace; kNone: never closed
  std::string_view content;
};

// The last box that begins before `before`.
Box FindBox(std::string_view text, size_t before) {
  while (before > 0) {
    before = text.rfind('\\', before - 1);
    if (before == kNone) return {};
    const std::string_view rest = text.substr(before);
    size_t open = before + (rest.starts_with("\\boxed") ? 6 : rest.starts_with("\\fbox") ? 5 : 0);
    if (open == before || IsLetter(At(text, open))) continue;  // "\boxedtext" is another command
    Box box{.begin = before};
    while (At(text, open) == ' ') ++open;
    if (At(text, open) != '{') {
      // TeX also takes "\boxed 5": to the end of the word.
      const size_t end = std::min(text.find_first_of(" \t\r\n$", open), text.size());
      box.content = text.substr(std::min(open, text.size()), end - std::min(open, end));
      if (!box.content.empty()) box.end = end;
      return box;
    }
    int64_t depth = 0;
    for (size_t i = open; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;  // \{ and \} are not braces
      } else if (text[i] == '{') {
        ++depth;
      } else if (text[i] == '}' && --depth == 0) {
        box.content = text.substr(open + 1, i - open - 1);
        box.end = i + 1;
        return box;
      }
    }
    return box;
  }
  return {};
}

// "\boxed{5} or \boxed{7}": what stands between is nothing or a connective.
bool AreJoined(std::string_view between, JoinBoxes join) {
  if (join == JoinBoxes::kByFewWords && between.size() <= kMaxFewWords &&
      between.find_first_of(".\n") == kNone) {
    return true;
  }
  between = Trim(between, " \t\r\n$,;\\()[]");
  return between.empty() || between == "or" || between == "and" || between == "text{or}" ||
         between == "text{ or }" || between == "text{and}" || between == "text{ and }" ||
         between == "quad";
}

Found FindLastBox(std::string_view text, JoinBoxes join) {
  const Box box = FindBox(text, text.size());
  if (box.begin == kNone) return {};
  Found found{box.begin, {AnswerForm::kBox, Trim(box.content), "", {}}};
  if (box.end == kNone) {
    found.answer.problem = "the last box is never closed";
    return found;
  }
  std::vector<std::string_view> joined = {found.answer.text};
  for (size_t next = box.begin; joined.size() < kMaxJoinedBoxes;) {
    const Box previous = FindBox(text, next);
    if (previous.end == kNone || previous.end > next ||
        !AreJoined(text.substr(previous.end, next - previous.end), join)) {
      break;
    }
    joined.push_back(Trim(previous.content));
    next = previous.begin;
  }
  std::reverse(joined.begin(), joined.end());
  // The same box twice is one answer.
  const bool differ = std::any_of(joined.begin(), joined.end(), [&](std::string_view content) {
    return content != found.answer.text;
  });
  if (differ) {
    found.answer.problem = "several boxes are joined";
    found.answer.joined = std::move(joined);
  }
  return found;
}

Found FindLastHashes(std::string_view text) {
  for (size_t before = text.size(); before > 0;) {
    const size_t begin = text.rfind("####", before - 1);
    if (begin == kNone) return {};
    size_t content = begin + 4;
    while (content < begin + kMaxBlanks &&
           (At(text, content) == ' ' || At(text, content) == '\t')) {
      ++content;
    }
    // "#### Step 3" is a heading; an answer begins like a number.
    const char first = At(text, content);
    if (IsDigit(first) || (first != '\0' && kNumberStarts.find(first) != kNone)) {
      const size_t end = std::min(text.find_first_of("\r\n", content), text.size());
      return {begin, {AnswerForm::kHashes, Trim(text.substr(content, end - content)), "", {}}};
    }
    before = begin;
  }
  return {};
}

bool BeginsWordless(std::string_view rest, std::string_view word) {
  return absl::ascii_tolower(static_cast<unsigned char>(At(rest, 0))) == word[0] &&
         absl::ascii_tolower(static_cast<unsigned char>(At(rest, 1))) == word[1] &&
         !IsLetter(At(rest, 2));
}

// To the end of the sentence or line that begins behind "answer is" or "answer:".
Found FindLastPhrase(std::string_view text) {
  const std::string lower = absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
  for (size_t before = lower.size(); before > 0;) {
    const size_t begin = lower.rfind("answer", before - 1);
    if (begin == kNone) return {};
    before = begin;
    std::string_view rest = text.substr(begin + 6);
    const auto skip = [&](std::string_view characters) {
      const size_t stop = std::min({rest.find_first_not_of(characters), rest.size(), kMaxBlanks});
      const bool skipped = stop > 0;
      rest.remove_prefix(stop);
      return skipped;
    };
    skip(" *_");
    bool marked = false;
    if (BeginsWordless(rest, "is")) {
      rest.remove_prefix(2);
      marked = true;
    }
    skip(" *_");
    if (At(rest, 0) == ':' || At(rest, 0) == '=') {
      rest.remove_prefix(1);
      marked = true;
    }
    if (!marked) continue;
    skip(" *_\t\r\n");
    // One scan that stops at the first end: "answer:. answer:. ..." has as many as it has phrases.
    size_t end = 0;
    while (end < rest.size() && rest[end] != '\r' && rest[end] != '\n' &&
           !(rest[end] == '.' && At(rest, end + 1) == ' ')) {
      ++end;
    }
    const std::string_view content = Trim(rest.substr(0, end));
    if (content.empty()) continue;
    return {begin, {AnswerForm::kPhrase, content, "", {}}};
  }
  return {};
}

// Box, hashes, then phrase; not tags.
MarkedAnswer FindUntagged(std::string_view text, JoinBoxes join, const AnswerAnchors& anchors) {
  const Found box = anchors.box ? FindLastBox(text, join) : Found();
  const Found hashes = anchors.hashes ? FindLastHashes(text) : Found();
  if (box.begin != kNone || hashes.begin != kNone) {
    const bool box_is_last =
        hashes.begin == kNone || (box.begin != kNone && box.begin > hashes.begin);
    return box_is_last ? box.answer : hashes.answer;
  }
  return anchors.phrase ? FindLastPhrase(text).answer : MarkedAnswer();
}

}  // namespace

absl::StatusOr<AnswerAnchors> ParseAnswerAnchors(std::string_view names) {
  AnswerAnchors anchors{.box = false, .tag = false, .hashes = false, .phrase = false};
  for (bool more = true; more;) {
    const size_t comma = names.find(',');
    const std::string_view name = Trim(names.substr(0, comma));
    bool* const anchor = name == "box"      ? &anchors.box
                         : name == "tag"    ? &anchors.tag
                         : name == "hashes" ? &anchors.hashes
                         : name == "phrase" ? &anchors.phrase
                                            : nullptr;
    if (anchor == nullptr) {
      return InvalidArgument("anchors: expected some of box, tag, hashes and phrase, found \"{}\"",
                             name);
    }
    *anchor = true;
    more = comma != kNone;
    if (more) names.remove_prefix(comma + 1);
  }
  return anchors;
}

std::string_view OutsideThoughts(std::string_view completion) {
  if (const size_t end = completion.rfind(kEndThink); end != kNone)
    completion.remove_prefix(end + kEndThink.size());
  return completion.substr(0, completion.find(kThink));
}

MarkedAnswer FindMarkedAnswer(std::string_view completion, JoinBoxes join,
                              const AnswerAnchors& anchors) {
  const std::string_view text = OutsideThoughts(completion);
  const size_t end_tag = text.rfind(kEndAnswer);
  const size_t tag = anchors.tag ? text.rfind(kAnswer) : kNone;
  if (tag == kNone) return FindUntagged(text, join, anchors);
  const bool closed = end_tag != kNone && end_tag > tag;
  const size_t content = tag + kAnswer.size();
  const size_t end = closed ? end_tag : text.size();
  // A box or hashes behind the tag are later, so they decide.
  if (closed) {
    const MarkedAnswer later =
        FindUntagged(text.substr(end_tag + kEndAnswer.size()), join, anchors);
    if (later.form == AnswerForm::kBox || later.form == AnswerForm::kHashes) return later;
  }
  MarkedAnswer answer{AnswerForm::kAnswerTag, Trim(text.substr(content, end - content)), "", {}};
  if (!closed) {
    answer.problem = "the answer tag is never closed";
    return answer;
  }
  const MarkedAnswer inner = FindUntagged(answer.text, join, {});
  if (inner.form != AnswerForm::kNone) {
    answer.text = inner.text;
    answer.problem = inner.problem;
    answer.joined = inner.joined;
  }
  return answer;
}

std::optional<std::string_view> FindLastNumber(std::string_view completion) {
  const std::string_view text = OutsideThoughts(completion);
  const size_t last = text.find_last_of("0123456789");
  if (last == kNone) return std::nullopt;
  size_t begin = last;
  // Leftwards over one number's characters; separators only between digits.
  while (begin > 0) {
    const char c = text[begin - 1];
    const bool separator = c == ',' || c == '.' || c == '/';
    if (!IsDigit(c) && !(separator && (c == '.' || (begin > 1 && IsDigit(text[begin - 2]))))) break;
    --begin;
  }
  while (begin < last && text[begin] == '.' && begin > 0 && IsLetter(text[begin - 1])) ++begin;
  const bool sign = begin > 0 && (text[begin - 1] == '-' || text[begin - 1] == '+');
  // "7-5" and "x-5" are differences.
  const bool bound = sign && begin > 1 && (IsDigit(text[begin - 2]) || IsLetter(text[begin - 2]));
  if (sign && !bound) --begin;
  size_t end = last + 1;
  if (At(text, end) == '%') ++end;
  return text.substr(begin, end - begin);
}

bool KeepsForm(std::string_view completion, const MarkedAnswer& answer) {
  if (!answer.problem.empty() || answer.form == AnswerForm::kNone ||
      answer.form == AnswerForm::kPhrase) {
    return false;
  }
  const auto comes_once = [](std::string_view text, std::string_view tag) {
    return text.find(tag) != kNone && text.find(tag) == text.rfind(tag);
  };
  std::string_view text = Trim(completion);
  const bool tagged = answer.form == AnswerForm::kAnswerTag;
  if (!tagged && text.find(kThink) == kNone && text.find(kEndThink) == kNone &&
      text.find(kAnswer) == kNone && text.find(kEndAnswer) == kNone) {
    return true;
  }
  if (text.starts_with(kThink)) text.remove_prefix(kThink.size());
  if (text.find(kThink) != kNone || !comes_once(text, kEndThink)) return false;
  const size_t end_think = text.find(kEndThink);
  if (text.substr(0, end_think).find(kAnswer) != kNone) return false;
  text = Trim(text.substr(end_think + kEndThink.size()));
  if (!tagged) return text.find(kAnswer) == kNone && text.find(kEndAnswer) == kNone;
  return text.starts_with(kAnswer) && text.ends_with(kEndAnswer) && comes_once(text, kAnswer) &&
         comes_once(text, kEndAnswer);
}

}  // namespace ponder
