#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace ponder {

// A GET or HEAD, as far as anything here needs it. Headers that were not sent are empty.
struct HttpRequest {
  std::string path;  // percent-decoded, without the query; begins with '/'
  std::map<std::string, std::string, std::less<>> query;  // decoded
  std::string host;
  std::string origin;
  std::string fetch_site;  // Sec-Fetch-Site: what a browser says about where the request comes from
  std::string authorization;
  std::string cookie;
  std::string if_none_match;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Besides those that every response has. Values hold no control characters.
  std::vector<std::pair<std::string, std::string>> headers;
};

// {"error": sentence}; bytes that are not UTF-8 become U+FFFD.
HttpResponse HttpError(int status, std::string_view sentence);

// NOT_FOUND is 404, INVALID_ARGUMENT 400, UNAVAILABLE, RESOURCE_EXHAUSTED and
// DEADLINE_EXCEEDED 503, others 500.
HttpResponse HttpError(const absl::Status& status);

}  // namespace ponder
