#include "model/split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/check.h"
#include "model/unicode_stand_ins.h"
#include "model/unicode_text.h"

namespace ponder {
namespace {

constexpr size_t kMaxPatternBytes = 16 << 10;
// The matcher counts its steps from each place at which it tries to match, and honest patterns need
// few. A place that needs more gets ten times as many again and again, charged to a budget for the
// whole text: the work stays linear in the text whatever the pattern, and a pattern that backtracks
// over a run of a million blanks still gets its way.
constexpr uint32_t kFirstLimit = 1000;
constexpr uint32_t kLimitGrowth = 10;
constexpr uint64_t kBudget = 200'000'000;  // about a second
constexpr uint64_t kBudgetPerByte = 100;
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

namespace {

// Looks for matches in one text.
class Search {
 public:
  Search(const pcre2_code* code, std::string_view text)
      : code_(code),
        text_(text),
        match_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        budget_(kBudget + kBudgetPerByte * text.size()) {
    PONDER_CHECK(match_ != nullptr && context_ != nullptr);
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  // The first match that begins at `from` or behind: a positive number, PCRE2_ERROR_NOMATCH, or
  // another error where it was given up.
  int Next(size_t from) {
    const int code = Try(from, kFirstLimit, 0);
    if (code != PCRE2_ERROR_MATCHLIMIT && code != PCRE2_ERROR_JIT_STACKLIMIT) return code;
    for (size_t place = from;; NextCodePoint(text_, &place)) {
      const int here = TryAt(place);
      if (here != PCRE2_ERROR_NOMATCH || place >= text_.size()) return here;
    }
  }

  size_t Begin() const { return pcre2_get_ovector_pointer(match_.get())[0]; }
  size_t End() const { return pcre2_get_ovector_pointer(match_.get())[1]; }

 private:
  int Try(size_t from, uint32_t limit, uint32_t options) {
    pcre2_set_match_limit(context_.get(), limit);
    return pcre2_match(code_, Units(text_), text_.size(), from, PCRE2_NO_UTF_CHECK | options,
                       match_.get(), context_.get());
  }

  // A match that begins at `place`, with as many steps as it takes and the budget has.
  int TryAt(size_t place) {
    uint64_t limit = kFirstLimit;
    for (;;) {
      const int code = Try(place, static_cast<uint32_t>(limit), PCRE2_ANCHORED | PCRE2_NO_JIT);
      if (code != PCRE2_ERROR_MATCHLIMIT) return code;
      limit *= kLimitGrowth;
      if (limit > budget_ || limit > UINT32_MAX) return code;
      budget_ -= limit;
    }
  }

  const pcre2_code* code_;
  std::string_view text_;
  std::unique_ptr<pcre2_match_data, Free> match_;
  std::unique_ptr<pcre2_match_context, Free> context_;
  uint64_t budget_;
};

}  // namespace

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

absl::StatusOr<SplitPattern> SplitPattern::FromPcre(const std::string& pcre,
                                                    const std::string& original) {
  if (original.size() > kMaxPatternBytes) {
    return InvalidArgument("a pattern of {} bytes; at most {} are accepted", original.size(),
                           kMaxPatternBytes);
  }
  std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->original = original;
  compiled->code.reset(pcre2_compile(Units(pcre), pcre.size(), PCRE2_UTF | PCRE2_UCP, &error,
                                     &offset, context.get()));
  if (compiled->code == nullptr) {
    return InvalidArgument("the pattern {} cannot be read: {} (near '{}')", original,
                           ErrorText(error),
                           pcre.substr(0, offset).substr(offset > 20 ? offset - 20 : 0));
  }
  // Without just-in-time code (not every machine allows it) the interpreter does the same, slower.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  return SplitPattern(std::move(compiled));
}

std::vector<Stretch> SplitPattern::Cut(std::string_view text) const {
  const std::optional<std::string> with_stand_ins = WithStandIns(text);
  if (with_stand_ins.has_value()) text = *with_stand_ins;
  Search search(compiled_->code.get(), text);
  std::vector<Stretch> stretches;
  size_t covered = 0;  // behind the last match
  bool any_match = false;
  for (size_t from = 0; from <= text.size();) {
    const int code = search.Next(from);
    if (code < 0) {
      if (code != PCRE2_ERROR_NOMATCH && !compiled_->has_complained.exchange(true)) {
        spdlog::error(
            "tokenizer: the pattern {} was given up in a text of {} bytes: {}; the rest of the "
            "text is not split",
            compiled_->original, text.size(), ErrorText(code));
      }
      break;
    }
    const size_t begin = search.Begin(), end = search.End();
    PONDER_CHECK(begin <= end && begin >= covered);  // \K is refused
    if (begin == end && any_match && end == covered) {
      // An empty match right behind the last one is none; go on one character further.
      if (from >= text.size()) break;
      NextCodePoint(text, &from);
      continue;
    }
    if (covered < begin) stretches.push_back({covered, begin, false});
    stretches.push_back({begin, end, true});
    any_match = true;
    covered = end;
    from = end;
  }
  if (covered < text.size() || text.empty()) stretches.push_back({covered, text.size(), false});
  return stretches;
}

}  // namespace ponder
