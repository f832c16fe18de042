#include "app/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ponder {

BenchRow MakeRow(std::string name, std::string unit, std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  return {.name = std::move(name),
          .unit = std::move(unit),
          .median = figures[figures.size() / 2],
          .min = figures.front(),
          .max = figures.back()};
}

BenchRow Repeat(std::string name, std::string unit, int64_t repeats,
                const std::function<double()>& measure) {
  measure();
  std::vector<double> figures;
  for (int64_t i = 0; i < repeats; ++i) figures.push_back(measure());
  return MakeRow(std::move(name), std::move(unit), std::move(figures));
}

std::string BenchJson(const BenchRow& row) {
  nlohmann::json out = {{"name", row.name}, {"unit", row.unit}, {"median", row.median},
                        {"min", row.min},   {"max", row.max},   {"limit", nullptr},
                        {"share", nullptr}};
  if (row.limit) {
    out["limit"] = *row.limit;
    out["share"] = row.median / *row.limit;
  }
  return out.dump();
}

std::string BenchText(const BenchRow& row) {
  std::string text = fmt::format("{:<24} {:>12.6g} {:<9} [{:.6g}, {:.6g}]", row.name, row.median,
                                 row.unit, row.min, row.max);
  if (row.limit) {
    text += fmt::format("  {:.0f} % of {:.6g}", 100 * row.median / *row.limit, *row.limit);
  }
  return text;
}

}  // namespace ponder
