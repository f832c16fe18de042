#include "observe/http_server.h"

#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <charconv>
#include <exception>
#include <thread>
#include <unordered_set>
#include <utility>

#include "observe/http_connection.h"
#include "observe/http_guard.h"

namespace ponder {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Error = boost::system::error_code;

// Connections beside the limit that are being told so; the rest waits in the system's queue.
constexpr int64_t kTurnedAwayAtOnce = 16;
constexpr auto kPauseAfterAcceptError = std::chrono::milliseconds(100);

absl::StatusOr<tcp::endpoint> ParseEndpoint(std::string_view address) {
  const auto fail = [&] {
    return InvalidArgument(
        "expected HOST:PORT with an IP address or localhost as HOST, for example 127.0.0.1:6100 or "
        "[::1]:6100, found \"{}\"",
        address);
  };
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return fail();
  std::string host(address.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return fail();
  }
  uint16_t port = 0;
  const char* const end = address.data() + address.size();
  const auto [last, port_error] = std::from_chars(address.data() + colon + 1, end, port);
  if (port_error != std::errc() || last != end) return fail();
  Error error;
  const asio::ip::address parsed =
      asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (error) return fail();
  return tcp::endpoint(parsed, port);
}

class AsioHttpServer : public HttpServer {
 public:
  AsioHttpServer(HttpServerOptions options, Handler handler)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        acceptor_(io_),
        pause_(io_),
        answering_(static_cast<size_t>(options_.threads)) {}

  ~AsioHttpServer() override {
    if (!thread_.joinable()) return;
    // Answers not yet begun are given up; those under way come to their end and find the connection
    // closed.
    asio::post(io_, [this] {
      stopping_ = true;
      work_.reset();
      Error ignored;
      acceptor_.close(ignored);
      pause_.cancel();
      const auto open = connections_;
      for (const auto& connection : open) connection->Close();
    });
    answering_.stop();
    answering_.join();
    thread_.join();
  }

  absl::Status Listen() {
    PONDER_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseEndpoint(options_.address));
    if (!endpoint.address().is_loopback() && options_.token.empty()) {
      return InvalidArgument(
          "{} can be reached from other machines, and runs are nobody else's business: listen on "
          "127.0.0.1, or give a file with a token",
          options_.address);
    }
    Error error;
    const auto check = [&](const char* action) {
      if (!error) return absl::OkStatus();
      return Unavailable("cannot {} {}: {}{}", action, options_.address, error.message(),
                         error == asio::error::address_in_use ? "; port 0 takes any free one" : "");
    };
    acceptor_.open(endpoint.protocol(), error);
    PONDER_RETURN_IF_ERROR(check("open a socket for"));
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    acceptor_.bind(endpoint, error);
    PONDER_RETURN_IF_ERROR(check("listen on"));
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
    PONDER_RETURN_IF_ERROR(check("listen on"));
    guard_ = {.address = endpoint.address().to_string(),
              .port = acceptor_.local_endpoint().port(),
              .token = options_.token};
    Accept();
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  int64_t Port() const override { return guard_.port; }

  std::string Url() const override {
    std::string host = guard_.address;
    if (host == "0.0.0.0" || host == "::") {
      char name[256] = "";
      gethostname(name, sizeof(name) - 1);
      host = name;
    } else if (host.find(':') != std::string::npos) {
      host = fmt::format("[{}]", host);
    }
    return fmt::format("http://{}:{}/", host, guard_.port);
  }

 private:
  void Accept() {
    if (stopping_ || accepting_) return;
    if (std::ssize(connections_) >= options_.limits.connections + kTurnedAwayAtOnce) return;
    accepting_ = true;
    acceptor_.async_accept([this](const Error& error, tcp::socket socket) {
      accepting_ = false;
      if (stopping_) return;
      if (error) {  // too many open files, a connection that was gone again
        pause_.expires_after(kPauseAfterAcceptError);
        pause_.async_wait([this](const Error&) { Accept(); });
        return;
      }
      Serve(std::move(socket));
      Accept();
    });
  }

  void Serve(tcp::socket socket) {
    Error ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const bool has_room = served_ < options_.limits.connections;
    served_ += has_room;
    auto place = std::make_shared<std::shared_ptr<HttpConnection>>();
    const auto connection = std::make_shared<HttpConnection>(
        std::move(socket), options_.limits, guard_,
        [this](HttpRequest request, std::function<void(HttpResponse)> done) {
          Answer(std::move(request), std::move(done));
        },
        [this, place, has_room] {
          served_ -= has_room;
          connections_.erase(*place);
          place->reset();
          asio::post(io_, [this] { Accept(); });
        });
    *place = connection;
    connections_.insert(connection);
    if (has_room) {
      connection->Run();
    } else {
      connection->TurnAway();
    }
  }

  void Answer(HttpRequest request, std::function<void(HttpResponse)> done) {
    asio::post(answering_, [this, request = std::move(request), done = std::move(done)] {
      HttpResponse response;
      try {
        response = handler_(request);
      } catch (const std::exception& error) {
        response = HttpError(500, error.what());
      }
      asio::post(io_,
                 [done, response = std::move(response)]() mutable { done(std::move(response)); });
    });
  }

  const HttpServerOptions options_;
  const Handler handler_;
  HttpGuard guard_;  // written before the threads begin
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  // The rest belongs to the thread of io_.
  std::unordered_set<std::shared_ptr<HttpConnection>> connections_;
  int64_t served_ = 0;  // of them; the others are turned away
  bool accepting_ = false;
  bool stopping_ = false;
  asio::thread_pool answering_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              Handler handler) {
  auto server = std::make_unique<AsioHttpServer>(std::move(options), std::move(handler));
  PONDER_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace ponder
