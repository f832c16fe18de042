#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "observe/http_message.h"

namespace ponder {

// Who may ask a server. Runs hold people's data, and any page that a browser shows can send
// requests to servers of the same machine.
struct HttpGuard {
  std::string address;  // the server's own, as text: "127.0.0.1", "::1", "0.0.0.0"
  int64_t port = 0;
  std::string token;  // empty: everybody who reaches the address may ask

  // Empty where the request may go on, else the answer to it:
  //   421  Host is neither a name of this machine's loopback nor the address (a foreign name that
  //        was made to point here); a server on every address has a token and takes any
  //   403  a browser says that another site's page sent it, and it asks for data
  //   401  no token; `/?token=...` with the right one is answered by a cookie that stands for it
  std::optional<HttpResponse> Refusal(const HttpRequest& request) const;
};

// The first line of a file: 16 to 256 letters, digits and -._~+/=.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

}  // namespace ponder
