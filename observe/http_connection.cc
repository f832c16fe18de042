#include "observe/http_connection.h"

#include <absl/time/clock.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <limits>
#include <utility>

namespace ponder {
namespace {

namespace http = boost::beast::http;
using Header = http::request_header<http::fields>;

constexpr size_t kReadBytes = 4096;
// What is read and thrown away of a request that was refused before its end, so that closing does
// not take the answer back.
constexpr size_t kDiscardedBytes = size_t{1} << 18;

// dygraphs colours its legend by style attributes, which need 'unsafe-inline'. Charts are saved as
// pictures by way of blobs.
constexpr char kContentSecurityPolicy[] =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

std::string Field(const Header& header, boost::beast::string_view name) {
  const boost::beast::string_view value = header[name];
  return {value.data(), value.size()};
}

HttpRequest MakeRequest(const Header& header, HttpTarget target) {
  return {.path = std::move(target.path),
          .query = std::move(target.query),
          .host = Field(header, "Host"),
          .origin = Field(header, "Origin"),
          .fetch_site = Field(header, "Sec-Fetch-Site"),
          .authorization = Field(header, "Authorization"),
          .cookie = Field(header, "Cookie"),
          .if_none_match = Field(header, "If-None-Match")};
}

HttpResponse BrokenRequest(const boost::system::error_code& error, bool in_first_line) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return in_first_line ? HttpError(414, "the address is too long")
                         : HttpError(431, "the headers are too long");
  }
  if (error == http::error::bad_version) return HttpError(505, "expected HTTP/1.1 or HTTP/1.0");
  return HttpError(400, fmt::format("this is no HTTP request: {}", error.message()));
}

}  // namespace

HttpConnection::HttpConnection(boost::asio::ip::tcp::socket socket, const HttpLimits& limits,
                               const HttpGuard& guard, Answer answer, std::function<void()> closed)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      limits_(limits),
      guard_(guard),
      answer_(std::move(answer)),
      closed_(std::move(closed)),
      // Room for the parser to see that a header is too long.
      buffer_(limits.header_bytes + 2 * kReadBytes) {}

void HttpConnection::Run() { AwaitRequest(); }

void HttpConnection::TurnAway() {
  RespondAndEnd(HttpError(
      503, fmt::format("all {} connections are taken; try again later", limits_.connections)));
}

void HttpConnection::Close() {
  if (!std::exchange(open_, false)) return;
  timer_.cancel();
  Error ignored;
  socket_.close(ignored);
  closed_();
}

void HttpConnection::Arm(absl::Duration timeout, OnTimeout on_timeout) {
  timed_out_ = false;
  timer_.expires_after(absl::ToChronoNanoseconds(timeout));
  timer_.async_wait(
      [self = shared_from_this(), arming = ++arming_, on_timeout](const Error& error) {
        if (error || arming != self->arming_ || !self->open_) return;
        self->timed_out_ = true;
        if (on_timeout == OnTimeout::kClose) return self->Close();
        // Unlike a cancellation this ends the reads that follow in one operation, too.
        Error ignored;
        self->socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_receive, ignored);
      });
}

void HttpConnection::AwaitRequest() {
  if (buffer_.size() > 0) return ReadHeader();
  Arm(limits_.idle, OnTimeout::kClose);
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](const Error& error, size_t bytes) {
                            if (!self->open_) return;
                            if (error) return self->Close();
                            self->buffer_.commit(bytes);
                            self->ReadHeader();
                          });
}

void HttpConnection::ReadHeader() {
  parser_.emplace();
  parser_->header_limit(limits_.header_bytes);
  // Bodies are refused below, before any of them is read.
  parser_->body_limit(std::numeric_limits<uint64_t>::max());
  Arm(limits_.request, OnTimeout::kEndReading);
  http::async_read_header(
      socket_, buffer_, *parser_,
      [self = shared_from_this()](const Error& error, size_t) { self->OnHeader(error); });
}

void HttpConnection::OnHeader(const Error& error) {
  if (!open_) return;
  ends_ = true;  // what is refused here ends the connection: what follows in it is not known
  head_only_ = false;
  if (timed_out_) return Respond(HttpError(408, "the request did not come to its end in time"));
  const bool gone = error == http::error::end_of_stream || error == http::error::partial_message ||
                    (error && error.category() == boost::asio::error::get_system_category());
  if (gone) return Close();
  if (error) {
    return Respond(BrokenRequest(error, parser_->get().target().empty()));
  }
  const Header& header = parser_->get().base();
  if (header.count(http::field::host) != 1) {
    return Respond(HttpError(400, "expected one header Host in the request"));
  }
  if (header.method() != http::verb::get && header.method() != http::verb::head) {
    HttpResponse response = HttpError(405, "this server knows GET and HEAD only");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return Respond(std::move(response));
  }
  head_only_ = header.method() == http::verb::head;
  if (parser_->chunked() || parser_->content_length().value_or(0) > 0) {
    return Respond(HttpError(413, "this server takes no bodies"));
  }
  const auto text = header.target();
  absl::StatusOr<HttpTarget> target = ParseHttpTarget({text.data(), text.size()}, limits_.target);
  if (absl::IsResourceExhausted(target.status())) {
    return Respond(HttpError(414, "the address is too long"));
  }
  ends_ = !parser_->keep_alive();
  if (!target.ok()) return Respond(HttpError(target.status()));
  HttpRequest request = MakeRequest(header, *std::move(target));
  if (std::optional<HttpResponse> refusal = guard_.Refusal(request)) {
    return Respond(*std::move(refusal));
  }
  timer_.cancel();
  answer_(std::move(request), [self = shared_from_this()](HttpResponse response) {
    self->Respond(std::move(response));
  });
}

void HttpConnection::RespondAndEnd(HttpResponse response) {
  ends_ = true;
  Respond(std::move(response));
}

void HttpConnection::Respond(HttpResponse response) {
  if (!open_) return;
  response_.emplace(static_cast<http::status>(response.status), 11);
  http::response<http::string_body>& message = *response_;
  message.set(http::field::date,
              absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
  message.set("Content-Security-Policy", kContentSecurityPolicy);
  message.set("X-Content-Type-Options", "nosniff");
  message.set("X-Frame-Options", "DENY");
  message.set("Referrer-Policy", "no-referrer");
  message.set("Cross-Origin-Resource-Policy", "same-origin");
  message.set(http::field::cache_control, "no-store");
  if (response.status != 304) message.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.keep_alive(!ends_);
  message.body() = std::move(response.body);
  message.prepare_payload();
  // A length there would be that of what is not sent.
  if (response.status == 304) message.erase(http::field::content_length);
  serializer_.emplace(message);
  serializer_->split(head_only_);
  Arm(limits_.response, OnTimeout::kClose);
  const auto written = [self = shared_from_this()](const Error& error, size_t) {
    self->OnResponded(error);
  };
  if (head_only_) {
    http::async_write_header(socket_, *serializer_, written);
  } else {
    http::async_write(socket_, *serializer_, written);
  }
}

void HttpConnection::OnResponded(const Error& error) {
  if (!open_) return;
  serializer_.reset();
  response_.reset();
  if (error) return Close();
  if (ends_) return Linger();
  AwaitRequest();
}

void HttpConnection::Linger() {
  Error ignored;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  Arm(limits_.lingering, OnTimeout::kClose);
  Discard(kDiscardedBytes);
}

void HttpConnection::Discard(size_t left) {
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this(), left](const Error& error, size_t bytes) {
                            if (error || bytes >= left) return self->Close();
                            self->Discard(left - bytes);
                          });
}

}  // namespace ponder
