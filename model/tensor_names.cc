#include "model/tensor_names.h"

#include <algorithm>
#include <limits>

namespace ponder {
namespace {

// Bounds what a hostile checkpoint can make one message cost.
constexpr size_t kLongestName = 160;
constexpr size_t kMostNames = 20000;

// Insertions, deletions and replacements between two names (Levenshtein), two rows of the usual
// table at a time.
int64_t Distance(std::string_view a, std::string_view b) {
  std::vector<int64_t> previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = static_cast<int64_t>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replaced});
    }
    previous.swap(current);
  }
  return previous[b.size()];
}

}  // namespace

absl::Status NoSuchTensor(std::string_view name, const std::vector<std::string>& names,
                          std::string_view where) {
  std::string_view nearest;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < std::min(names.size(), kMostNames); ++i) {
    const int64_t distance =
        Distance(name.substr(0, kLongestName), std::string_view(names[i]).substr(0, kLongestName));
    if (distance < least) {
      least = distance;
      nearest = names[i];
    }
  }
  if (nearest.empty()) return NotFound("{}: expected a tensor {}, found no tensors", where, name);
  return NotFound("{}: expected a tensor {}, found none of this name; the nearest is {}", where,
                  name, nearest);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace ponder
