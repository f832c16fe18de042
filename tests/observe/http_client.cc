#include "tests/observe/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/status.h"

namespace ponder {

HttpClient::HttpClient(int64_t port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval patience = {.tv_sec = 10};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

HttpClient::~HttpClient() { close(socket_); }

void HttpClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the server closed; what it said first is still to be read
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

bool HttpClient::ReadMore() {
  char bytes[4096];
  const ssize_t got = recv(socket_, bytes, sizeof(bytes), 0);
  EXPECT_FALSE(got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) << "the server said nothing";
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

ReceivedResponse HttpClient::Receive(bool head) {
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!ReadMore()) return {};
  }
  ReceivedResponse response;
  std::string_view header = std::string_view(buffer_).substr(0, end);
  const auto take_line = [&] {
    const std::string line(header.substr(0, header.find("\r\n")));
    header.remove_prefix(std::min(line.size() + 2, header.size()));
    return line;
  };
  const std::string first = take_line();
  EXPECT_TRUE(first.starts_with("HTTP/1.1 ")) << first;
  std::from_chars(first.data() + 9, first.data() + first.size(), response.status);
  while (!header.empty()) {
    const std::string line = take_line();
    std::string name = line.substr(0, line.find(": "));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
    response.headers[name] = line.substr(name.size() + 2);
  }
  size_t length = 0;
  if (!head && response.headers.contains("content-length")) {
    const std::string& text = response.headers["content-length"];
    std::from_chars(text.data(), text.data() + text.size(), length);
  }
  buffer_.erase(0, end + 4);
  while (buffer_.size() < length && ReadMore()) {
  }
  EXPECT_GE(buffer_.size(), length) << "the body is cut off";
  response.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return response;
}

bool HttpClient::WaitForClose() {
  while (ReadMore()) buffer_.clear();
  return !::testing::Test::HasFailure();
}

ReceivedResponse HttpClient::Get(std::string_view target, std::string_view more_headers) {
  Send(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", target, more_headers));
  return Receive();
}

}  // namespace ponder
