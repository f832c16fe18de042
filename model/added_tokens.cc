#include "model/added_tokens.h"

#include <algorithm>

#include "base/check.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

uint64_t EdgeKey(int32_t node, char byte) {
  return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
}

bool EndsWithWord(std::string_view text) {
  if (text.empty()) return false;
  size_t position = PreviousBoundary(text, text.size());
  return IsWord(NextCodePoint(text, &position));
}

bool StartsWithWord(std::string_view text) {
  size_t position = 0;
  return !text.empty() && IsWord(NextCodePoint(text, &position));
}

// Where the white space that ends at `end` begins, not before `limit`.
size_t SpaceBegin(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t begin = PreviousBoundary(text, end);
    size_t position = begin;
    if (!IsSpace(NextCodePoint(text, &position))) break;
    end = begin;
  }
  return end;
}

size_t SpaceEnd(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t end = begin;
    if (!IsSpace(NextCodePoint(text, &end))) break;
    begin = end;
  }
  return begin;
}

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token, const std::string& pattern) {
  PONDER_CHECK(!pattern.empty());
  begins_[static_cast<unsigned char>(pattern[0])] = true;
  int32_t node = 0;
  for (const char byte : pattern) {
    const auto [edge, is_new] =
        children_.try_emplace(EdgeKey(node, byte), static_cast<int32_t>(ends_.size()));
    if (is_new) ends_.push_back(kNone);
    node = edge->second;
  }
  if (ends_[node] != kNone) return;
  ends_[node] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokenMatcher::Match AddedTokenMatcher::LongestAt(std::string_view text, size_t begin) const {
  Match longest;
  int32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto edge = children_.find(EdgeKey(node, text[i]));
    if (edge == children_.end()) break;
    node = edge->second;
    if (ends_[node] != kNone) longest = {ends_[node], i + 1};
  }
  return longest;
}

std::vector<Segment> AddedTokenMatcher::Cut(std::string_view text) const {
  std::vector<Segment> segments;
  size_t covered = 0;
  for (size_t i = 0; i < text.size();) {
    const bool may_begin = begins_[static_cast<unsigned char>(text[i])];
    const Match match = may_begin ? LongestAt(text, i) : Match();
    if (match.token == kNone) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[match.token];
    size_t begin = i, end = match.end;
    i = match.end;  // also where the match is turned down below
    if (token.single_word &&
        (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
      continue;
    if (token.lstrip) begin = std::max(SpaceBegin(text, begin, std::min(begin, covered)), covered);
    if (token.rstrip) end = SpaceEnd(text, end);
    if (covered < begin) segments.push_back({text.substr(covered, begin - covered), -1});
    segments.push_back({text.substr(begin, end > begin ? end - begin : 0), token.id});
    covered = end;
  }
  if (covered < text.size()) segments.push_back({text.substr(covered), -1});
  return segments;
}

}  // namespace ponder
