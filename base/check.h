#pragma once

#include <stdexcept>
#include <string>

namespace ponder {

// Thrown by PONDER_CHECK: a precondition that the program itself broke. Never used for what can go
// wrong in use (files, networks, configurations, data): those return absl::Status.
class CheckFailure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void ThrowCheckFailure(const char* expression, const char* file, int line,
                                    const std::string& detail);

}  // namespace ponder

// PONDER_CHECK(rows > 0) or PONDER_CHECK(rows > 0, fmt::format("rows = {}", rows)); throws
// CheckFailure.
#define PONDER_CHECK(condition, ...)                                                           \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::ponder::ThrowCheckFailure(#condition, __FILE__, __LINE__, ::std::string(__VA_ARGS__)); \
  } while (false)
