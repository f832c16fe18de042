#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "observe/http_guard.h"
#include "observe/http_message.h"
#include "observe/http_server.h"

namespace ponder {

// One connection of a server; lives until it is closed. Everything happens in the thread of the
// socket's executor but the answering, which `answer` puts elsewhere.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // Has `done` called in the socket's thread, once, later.
  using Answer = std::function<void(HttpRequest request, std::function<void(HttpResponse)> done)>;

  // `limits` and `guard` outlive the connection. `closed` is called once.
  HttpConnection(boost::asio::ip::tcp::socket socket, const HttpLimits& limits,
                 const HttpGuard& guard, Answer answer, std::function<void()> closed);

  void Run();
  // Says that there are too many, and closes.
  void TurnAway();
  void Close();

 private:
  using Error = boost::system::error_code;
  enum class OnTimeout { kEndReading, kClose };

  void AwaitRequest();
  void ReadHeader();
  void OnHeader(const Error& error);
  void Respond(HttpResponse response);
  // An answer after which nothing more is read.
  void RespondAndEnd(HttpResponse response);
  void OnResponded(const Error& error);
  void Linger();
  void Discard(size_t left);
  void Arm(absl::Duration timeout, OnTimeout on_timeout);

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  int64_t arming_ = 0;  // which Arm a timer's end belongs to
  bool timed_out_ = false;
  bool open_ = true;
  bool ends_ = false;       // after the response under way
  bool head_only_ = false;  // of the request under way
  const HttpLimits& limits_;
  const HttpGuard& guard_;
  const Answer answer_;
  const std::function<void()> closed_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::buffer_body>> parser_;
  std::optional<boost::beast::http::response<boost::beast::http::string_body>> response_;
  std::optional<boost::beast::http::response_serializer<boost::beast::http::string_body>>
      serializer_;
};

}  // namespace ponder
