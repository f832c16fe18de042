#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// A stretch of text, in bytes, and whether the pattern matched it.
struct Stretch {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
};

// A regular expression of a tokenizer.json. Those are written for Oniguruma; the part of its
// language on which it and PCRE2 can be made to agree is accepted, everything else is refused with
// its name. What could take more than polynomial time (repeated groups, references) is refused too,
// and matching has limits besides. Thread-safe.
class SplitPattern {
 public:
  static absl::StatusOr<SplitPattern> Compile(const std::string& pattern);
  static absl::StatusOr<SplitPattern> CompileLiteral(const std::string& text);

  // Cuts valid UTF-8 into stretches, in order, that cover it. Where a limit stops the search (only
  // a hostile pattern gets there; an error is logged once), the rest is one stretch that did not
  // match.
  std::vector<Stretch> Cut(std::string_view text) const;

 private:
  struct Compiled;
  explicit SplitPattern(std::shared_ptr<const Compiled> compiled)
      : compiled_(std::move(compiled)) {}
  static absl::StatusOr<SplitPattern> FromPcre(const std::string& pcre,
                                               const std::string& original);

  std::shared_ptr<const Compiled> compiled_;
};

// The same pattern for PCRE2 with UTF and UCP.
absl::StatusOr<std::string> TranslatePattern(const std::string& pattern);

}  // namespace ponder
