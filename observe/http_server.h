#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "observe/http_message.h"
#include "observe/http_target.h"

namespace ponder {

// Every wait and every size of a server ends somewhere; tests take smaller ones.
struct HttpLimits {
  uint32_t header_bytes = 8192;  // request line and headers together; beyond: 431, or 414
  HttpTargetLimits target;
  int64_t connections = 64;                     // beyond: 503
  absl::Duration idle = absl::Seconds(30);      // until a request begins; then closed
  absl::Duration request = absl::Seconds(10);   // from its first byte to its last; then 408
  absl::Duration response = absl::Seconds(30);  // to take an answer; then closed
  absl::Duration lingering = absl::Seconds(2);  // for the other side to close after the last answer
};

struct HttpServerOptions {
  // HOST:PORT; HOST is an IP address (IPv6 in brackets) or localhost, PORT 0 any free one.
  std::string address = "127.0.0.1:0";
  std::string token;    // needed where HOST is not of the loopback; see HttpGuard
  int64_t threads = 3;  // that answer
  HttpLimits limits;
};

// An HTTP/1.1 server for pages that people look at: GET and HEAD without bodies, connections kept
// alive. What is wrong with a request is answered with its status (400, 401, 403, 405, 408, 413,
// 414, 421, 431, 503, 505) and the body of HttpError. Thread-safe.
class HttpServer {
 public:
  // Called in several threads at once, and until the destructor returns; may block, within bounds
  // of its own. What it throws is a 500.
  using Handler = std::function<HttpResponse(const HttpRequest& request)>;

  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           Handler handler);
  // Closes every connection; waits for handlers under way.
  virtual ~HttpServer() = default;

  virtual int64_t Port() const = 0;
  // "http://127.0.0.1:6100/", for a server on every address with this machine's name in it.
  virtual std::string Url() const = 0;
};

}  // namespace ponder
