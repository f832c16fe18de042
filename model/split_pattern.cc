#include "model/split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

constexpr size_t kMaxPatternBytes = 16 << 10;
// Steps of the matcher for one search: some for every byte it may look at, so that honest patterns never meet the limit on
// long text.
constexpr uint32_t kMatchLimitBase = 1'000'000;
constexpr uint32_t kMatchLimitPerByte = 64;
constexpr uint32_t kHeapLimitKib = 256 << 10;

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct SplitPattern::Compiled {
  std::unique_ptr<pcre2_code, Free> code;
  mutable std::atomic<bool> has_complained = false;
  std::string original;
};

absl::StatusOr<SplitPattern> SplitPattern::Compile(const std::string& pattern) {
  PONDER_ASSIGN_OR_RETURN(const std::string pcre, TranslatePattern(pattern));
  return FromPcre(pcre, pattern);
}

absl::StatusOr<SplitPattern> SplitPattern::CompileLiteral(const std::string& text) {
  std::string pcre;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80) {
      pcre += fmt::format("\\x{{{:x}}}", static_cast<int>(c));
    } else {
      pcre += c;
    }
  }
  return FromPcre(pcre, text);
}

absl::StatusOr<SplitPattern> SplitPattern::FromPcre(const std::string& pcre, const std::string& original) {
  if (original.size() > kMaxPatternBytes) {
    return InvalidArgument("a pattern of {} bytes; at most {} are accepted", original.size(), kMaxPatternBytes);
  }
  std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->original = original;
  compiled->code.reset(pcre2_compile(Units(pcre), pcre.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get()));
  if (compiled->code == nullptr) {
    return InvalidArgument("the pattern {} cannot be read: {} (near '{}')", original, ErrorText(error),
                           pcre.substr(0, offset).substr(offset > 20 ? offset - 20 : 0));
  }
  // Without just-in-time code (not every machine allows it) the interpreter does the same, slower.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  return SplitPattern(std::move(compiled));
}

std::vector<Stretch> SplitPattern::Cut(std::string_view text) const {
  std::vector<Stretch> stretches;
  std::unique_ptr<pcre2_match_data, Free> match(pcre2_match_data_create(1, nullptr));
  std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
  PONDER_CHECK(match != nullptr && context != nullptr);
  const uint64_t limit = kMatchLimitBase + uint64_t{kMatchLimitPerByte} * text.size();
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);

  size_t covered = 0;      // behind the last match
  size_t search_from = 0;
  bool any_match = false;
  while (search_from <= text.size()) {
    int rc = pcre2_match(compiled_->code.get(), Units(text), text.size(), search_from, PCRE2_NO_UTF_CHECK,
                         match.get(), context.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(compiled_->code.get(), Units(text), text.size(), search_from,
                       PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match.get(), context.get());
    }
    if (rc < 0) {
      if (rc != PCRE2_ERROR_NOMATCH && !compiled_->has_complained.exchange(true)) {
        spdlog::error("tokenizer: the pattern {} was given up in a text of {} bytes: {}; the rest of the text is not split",
                      compiled_->original, text.size(), ErrorText(rc));
      }
      break;
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    const size_t begin = bounds[0], end = bounds[1];
    PONDER_CHECK(begin <= end && begin >= covered);  // \K is refused
    if (begin == end && any_match && end == covered) {
      // An empty match right behind the last one is none; go on one character further.
      if (search_from >= text.size()) break;
      NextCodePoint(text, &search_from);
      continue;
    }
    if (covered < begin) stretches.push_back({covered, begin, false});
    stretches.push_back({begin, end, true});
    any_match = true;
    covered = end;
    search_from = end;
  }
  if (covered < text.size() || text.empty()) stretches.push_back({covered, text.size(), false});
  return stretches;
}

}  // namespace ponder
