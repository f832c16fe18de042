#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <fmt/format.h>

#include <string>
#include <utility>

// Debian's Abseil has a string_view of its own, so status.message() needs this to be formatted.
template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<fmt::string_view>::format({text.data(), text.size()}, context);
  }
};

namespace ponder {

// Formatted statuses: `return InvalidArgument("expected {} rows, found {}", a, b);`. A message says
// what was expected, what was found, where, and what to do.
template <typename... Args>
absl::Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status NotFound(fmt::format_string<Args...> format, Args&&... args) {
  return absl::NotFoundError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status FailedPrecondition(fmt::format_string<Args...> format, Args&&... args) {
  return absl::FailedPreconditionError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status ResourceExhausted(fmt::format_string<Args...> format, Args&&... args) {
  return absl::ResourceExhaustedError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status Unavailable(fmt::format_string<Args...> format, Args&&... args) {
  return absl::UnavailableError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status DataLoss(fmt::format_string<Args...> format, Args&&... args) {
  return absl::DataLossError(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status Internal(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InternalError(fmt::format(format, std::forward<Args>(args)...));
}

// The same status with "context: " put before its message.
absl::Status Annotate(const absl::Status& status, std::string_view context);

}  // namespace ponder

#define PONDER_CONCAT_INNER(a, b) a##b
#define PONDER_CONCAT(a, b) PONDER_CONCAT_INNER(a, b)

#define PONDER_RETURN_IF_ERROR(expression)                                                      \
  do {                                                                                          \
    if (::absl::Status ponder_status = (expression); !ponder_status.ok()) return ponder_status; \
  } while (false)

// PONDER_ASSIGN_OR_RETURN(auto value, MakeValue());
#define PONDER_ASSIGN_OR_RETURN(declaration, expression) \
  PONDER_ASSIGN_OR_RETURN_INNER(PONDER_CONCAT(ponder_statusor_, __LINE__), declaration, expression)
#define PONDER_ASSIGN_OR_RETURN_INNER(name, declaration, expression) \
  auto name = (expression);                                          \
  if (!name.ok()) return name.status();                              \
  declaration = std::move(name).value()
