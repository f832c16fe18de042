#include "base/check.h"

#include <fmt/format.h>

namespace ponder {

void ThrowCheckFailure(const char* expression, const char* file, int line,
                       const std::string& detail) {
  throw CheckFailure(fmt::format("check failed: {} at {}:{}{}{}", expression, file, line,
                                 detail.empty() ? "" : ": ", detail));
}

}  // namespace ponder
