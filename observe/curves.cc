#include "observe/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "observe/correct_share.h"

namespace ponder {

double Mean(std::span<const double> values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(count);
}

double Sum(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::isfinite(value) ? value : 0;
  return sum;
}

std::span<const double> Curves::All(const std::string& name) const {
  const auto found = table_.values.find(name);
  if (found == table_.values.end() || found->second.size() < rows_) return {};
  return std::span(found->second).first(rows_);
}

std::span<const double> Curves::First(const std::string& name) const {
  const std::span<const double> all = All(name);
  return all.first(std::min(all.size(), kLevelSteps));
}

std::span<const double> Curves::Last(const std::string& name, size_t count) const {
  const std::span<const double> all = All(name);
  return all.last(std::min(all.size(), count));
}

double Curves::Now(const std::string& name) const {
  const std::span<const double> last = Last(name, 1);
  return last.empty() ? std::numeric_limits<double>::quiet_NaN() : last[0];
}

double Curves::SumOf(std::string_view prefix, size_t count) const {
  double sum = 0;
  for (auto it = table_.values.lower_bound(std::string(prefix));
       it != table_.values.end() && it->first.starts_with(prefix); ++it) {
    sum += Sum(Last(it->first, count));
  }
  return sum;
}

std::string Curves::LargestOf(const std::string& prefix, size_t count) const {
  std::string largest;
  double most = 0;
  for (auto it = table_.values.lower_bound(prefix);
       it != table_.values.end() && it->first.starts_with(prefix); ++it) {
    const double sum = Sum(Last(it->first, count));
    if (it->first == prefix + "total" || sum <= most) continue;
    most = sum;
    largest = it->first;
  }
  return largest;
}

std::vector<double> Curves::RightShares() const { return CorrectShares(table_, rows_); }

}  // namespace ponder
