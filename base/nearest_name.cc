#include "base/nearest_name.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace ponder {
namespace {

// Names are short; a longer one is compared by its beginning, so that hostile input costs little.
constexpr size_t kLongestName = 128;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

int64_t EditDistance(std::string_view a, std::string_view b) {
  a = a.substr(0, kLongestName);
  b = b.substr(0, kLongestName);
  // Three rows of the usual table: two back is needed for a swap.
  std::vector<int64_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) current[j] = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(previous);
    previous.swap(current);
    current[0] = static_cast<int64_t>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool equal = Lower(a[i - 1]) == Lower(b[j - 1]);
      current[j] =
          std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (equal ? 0 : 1)});
      if (i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
          Lower(a[i - 2]) == Lower(b[j - 1])) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
  }
  return current[b.size()];
}

std::string NearestName(std::string_view name, std::span<const std::string> known) {
  std::string nearest;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const std::string& candidate : known) {
    if (const int64_t distance = EditDistance(name, candidate); distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

bool IsNear(std::string_view name, std::string_view known) {
  const auto longer = static_cast<int64_t>(std::max(name.size(), known.size()));
  return 3 * EditDistance(name, known) <= std::max<int64_t>(longer, 3);
}

}  // namespace ponder
