#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ponder {

// Reads the parameters of a request by type. What is wrong is kept; Check() tells the first of it.
class QueryReader {
 public:
  using Query = std::map<std::string, std::string, std::less<>>;
  explicit QueryReader(const Query& query) : query_(query) {}

  // Empty where the parameter is absent or empty.
  std::string Text(std::string_view name);
  std::optional<int64_t> Integer(std::string_view name, int64_t low, int64_t high);
  std::optional<double> Number(std::string_view name);  // finite
  // Without empty ones; "a,b" is two.
  std::vector<std::string> List(std::string_view name, size_t most);
  // One of `choices` as an index into them.
  std::optional<size_t> Choice(std::string_view name, const std::vector<std::string>& choices);

  // INVALID_ARGUMENT where a parameter is none of those that were read, or has a wrong value.
  absl::Status Check() const;

 private:
  void Fail(absl::Status status);

  const Query& query_;
  std::vector<std::string> known_;
  absl::Status status_;
};

}  // namespace ponder
