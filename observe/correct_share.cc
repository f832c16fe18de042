#include "observe/correct_share.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

namespace ponder {

std::vector<double> CorrectShares(const MetricTable& table, size_t rows) {
  constexpr std::string_view kPrefix = "verdict/";
  std::vector<double> all(rows, 0.0), correct(rows, 0.0);
  for (auto it = table.values.lower_bound(std::string(kPrefix));
       it != table.values.end() && it->first.starts_with(kPrefix); ++it) {
    const bool is_correct = it->first == "verdict/CORRECT";
    for (size_t row = 0; row < std::min(rows, it->second.size()); ++row) {
      const double count = std::isfinite(it->second[row]) ? it->second[row] : 0;
      all[row] += count;
      if (is_correct) correct[row] = count;
    }
  }
  for (size_t row = 0; row < rows; ++row) {
    correct[row] =
        all[row] > 0 ? correct[row] / all[row] : std::numeric_limits<double>::quiet_NaN();
  }
  return correct;
}

}  // namespace ponder
