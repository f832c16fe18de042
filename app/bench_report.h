#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ponder {

// A measured figure with its range over repetitions and, where this machine or a plain way of doing
// the same sets a limit, the share of it that was reached.
struct BenchRow {
  std::string name;  // "math_integers"
  std::string unit;  // "checks/s"
  double median = 0, min = 0, max = 0;
  std::optional<double> limit;  // in the same unit, measured in the same run
};

// The figures of repetitions, of which there is one at least.
BenchRow MakeRow(std::string name, std::string unit, std::vector<double> figures);

// Calls `measure` once to warm up and `repeats` times for the figures it returns.
BenchRow Repeat(std::string name, std::string unit, int64_t repeats,
                const std::function<double()>& measure);

// {"name","unit","median","min","max","limit","share"}, limit and share null where there is none.
std::string BenchJson(const BenchRow& row);
// The same for people: "math_integers      91234 checks/s  [90112, 92001]".
std::string BenchText(const BenchRow& row);

}  // namespace ponder
