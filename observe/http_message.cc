#include "observe/http_message.h"

#include <nlohmann/json.hpp>

namespace ponder {

HttpResponse HttpError(int status, std::string_view sentence) {
  const nlohmann::json body = {{"error", sentence}};
  return {.status = status,
          .content_type = "application/json",
          .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

HttpResponse HttpError(const absl::Status& status) {
  const std::string_view sentence(status.message().data(), status.message().size());
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return HttpError(404, sentence);
    case absl::StatusCode::kInvalidArgument:
      return HttpError(400, sentence);
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return HttpError(503, sentence);
    default:
      return HttpError(500, sentence);
  }
}

}  // namespace ponder
