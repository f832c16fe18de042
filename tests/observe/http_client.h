#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace ponder {

struct ReceivedResponse {
  int status = 0;                              // 0: the server closed without an answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// A connection of a client that may say anything, to 127.0.0.1. A server that leaves it waiting for
// ten seconds fails the test.
class HttpClient {
 public:
  explicit HttpClient(int64_t port);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Send(std::string_view bytes);
  // The next answer; `head`: it has no body whatever its Content-Length says.
  ReceivedResponse Receive(bool head = false);
  // True once the server has closed, what else it sent dropped.
  bool WaitForClose();
  ReceivedResponse Get(std::string_view target, std::string_view more_headers = "");

 private:
  bool ReadMore();

  int socket_ = -1;
  std::string buffer_;
};

}  // namespace ponder
