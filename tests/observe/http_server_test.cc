#include "observe/http_server.h"

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/observe/http_client.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Answers "path|name=value;..."; "/throw" throws, "/big" has `big_bytes`.
class HttpServerTest : public ::testing::Test {
 protected:
  void Start(HttpServerOptions options = {}) {
    absl::StatusOr<std::unique_ptr<HttpServer>> server =
        HttpServer::Start(std::move(options), [this](const HttpRequest& request) {
          ++requests_;
          if (request.path == "/throw") throw std::runtime_error("a fault");
          if (request.path == "/wait") release_.WaitForNotificationWithTimeout(absl::Seconds(10));
          HttpResponse response{.body = request.path};
          if (request.path == "/big") response.body.assign(big_bytes_, 'x');
          for (const auto& [name, value] : request.query) {
            response.body += "|" + name + "=" + value;
          }
          return response;
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  ReceivedResponse Raw(std::string_view bytes) {
    HttpClient client(server_->Port());
    client.Send(bytes);
    return client.Receive();
  }

  int Status(std::string_view bytes) { return Raw(bytes).status; }

  std::atomic<int> requests_{0};
  absl::Notification release_;
  size_t big_bytes_ = 0;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersRequestsOfOneConnectionInTurn) {
  Start();
  EXPECT_EQ(server_->Url(), "http://127.0.0.1:" + std::to_string(server_->Port()) + "/");
  HttpClient client(server_->Port());
  const ReceivedResponse first = client.Get("/a%20b?x=1&y=%C3%A4+b");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "/a b|x=1|y=ä b");
  EXPECT_EQ(client.Get("/second").body, "/second");
  // Two at once, the second one of them the last.
  client.Send(
      "GET /third HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "GET /fourth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "/third");
  EXPECT_EQ(client.Receive().body, "/fourth");
  EXPECT_TRUE(client.WaitForClose());
}

TEST_F(HttpServerTest, GivesEveryAnswerTheHeadersThatKeepPagesApart) {
  Start();
  for (const char* target : {"/", "/throw", "/%"}) {
    auto headers = HttpClient(server_->Port()).Get(target).headers;
    EXPECT_THAT(headers["content-security-policy"], StartsWith("default-src 'self'; "));
    EXPECT_EQ(headers["x-content-type-options"], "nosniff");
    EXPECT_EQ(headers["x-frame-options"], "DENY");
    EXPECT_EQ(headers["referrer-policy"], "no-referrer");
    EXPECT_EQ(headers["cross-origin-resource-policy"], "same-origin");
    EXPECT_EQ(headers["cache-control"], "no-store");
  }
}

TEST_F(HttpServerTest, AnswersHeadWithTheHeadersOfGet) {
  Start();
  HttpClient client(server_->Port());
  client.Send("HEAD /abc HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ReceivedResponse head = client.Receive(/*head=*/true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-length"], "4");
  EXPECT_EQ(client.Get("/d").body, "/d");  // nothing lies between
}

TEST_F(HttpServerTest, RefusesOtherMethodsAndBodies) {
  Start();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}) {
    ReceivedResponse response =
        Raw(std::string(method) + " / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.headers["allow"], "GET, HEAD");
    EXPECT_EQ(response.headers["connection"], "close");
  }
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"), 413);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n"),
            413);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
            413);
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, TellsASenderOfALargeBodyBeforeItHasSentIt) {
  Start();
  HttpClient client(server_->Port());
  client.Send("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n");
  client.Send(std::string(200000, 'x'));
  EXPECT_EQ(client.Receive().status, 413);
  EXPECT_TRUE(client.WaitForClose());
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Start();
  EXPECT_EQ(Status("hello\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost localhost\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"), 505);
  EXPECT_EQ(Status(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15)), 400);
  EXPECT_EQ(Status("GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET /?a=1&a=2 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, BoundsAddressAndHeaders) {
  Start({.limits = {.header_bytes = 2000, .target = {.target_bytes = 1000}}});
  const auto request = [](size_t address, size_t header) {
    return "GET /" + std::string(address, 'a') +
           " HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(header, 'b') + "\r\n\r\n";
  };
  EXPECT_EQ(Status(request(999, 800)), 200);
  EXPECT_EQ(Status(request(1000, 0)), 414);
  EXPECT_EQ(Status(request(5000, 0)), 414);
  EXPECT_EQ(Status(request(1, 2000)), 431);
  EXPECT_EQ(Status(request(1, 200000)), 431);
  EXPECT_EQ(requests_, 1);
}

TEST_F(HttpServerTest, AnswersARequestThatStopsHalfWay) {
  Start({.limits = {.request = absl::Milliseconds(30)}});
  EXPECT_EQ(Status("GET / HT"), 408);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: localhost\r\n"), 408);
  HttpClient client(server_->Port());
  EXPECT_EQ(client.Get("/").status, 200);
  client.Send("G");
  EXPECT_EQ(client.Receive().status, 408);
  EXPECT_TRUE(client.WaitForClose());
}

TEST_F(HttpServerTest, ClosesWhatIsIdle) {
  Start({.limits = {.idle = absl::Milliseconds(30)}});
  HttpClient silent(server_->Port());
  EXPECT_TRUE(silent.WaitForClose());
  HttpClient client(server_->Port());
  EXPECT_EQ(client.Get("/").status, 200);
  EXPECT_TRUE(client.WaitForClose());
}

TEST_F(HttpServerTest, GivesUpOnAClientThatDoesNotReadItsAnswer) {
  big_bytes_ = size_t{32} << 20;  // more than the system buffers
  Start({.limits = {.connections = 1, .response = absl::Milliseconds(50)}});
  HttpClient stuck(server_->Port());
  stuck.Send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  // Its place becomes free.
  int status = 0;
  for (int attempt = 0; attempt < 1000 && status != 200; ++attempt) {
    status = HttpClient(server_->Port()).Get("/").status;
  }
  EXPECT_EQ(status, 200);
}

TEST_F(HttpServerTest, TurnsAwayWhatIsBeyondItsConnections) {
  Start({.limits = {.connections = 3}});
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server_->Port()));
    EXPECT_EQ(clients.back()->Get("/").status, 200);
  }
  HttpClient fourth(server_->Port());
  ReceivedResponse refusal = fourth.Get("/");
  EXPECT_EQ(refusal.status, 503);
  EXPECT_THAT(refusal.body, HasSubstr("all 3 connections are taken"));
  EXPECT_TRUE(fourth.WaitForClose());
  EXPECT_EQ(clients[1]->Get("/").status, 200);
  clients.pop_back();
  int status = 0;
  for (int attempt = 0; attempt < 1000 && status != 200; ++attempt) {
    status = HttpClient(server_->Port()).Get("/").status;
  }
  EXPECT_EQ(status, 200);
}

TEST_F(HttpServerTest, ServesOnBehindACrowd) {
  Start({.limits = {.connections = 2, .lingering = absl::Milliseconds(10)}});
  std::vector<std::unique_ptr<HttpClient>> crowd;
  for (int i = 0; i < 60; ++i) crowd.push_back(std::make_unique<HttpClient>(server_->Port()));
  crowd.clear();
  int status = 0;
  for (int attempt = 0; attempt < 1000 && status != 200; ++attempt) {
    status = HttpClient(server_->Port()).Get("/").status;
  }
  EXPECT_EQ(status, 200);
}

TEST(HttpErrorTest, GivesStatusesTheirNumbers) {
  EXPECT_EQ(HttpError(absl::NotFoundError("")).status, 404);
  EXPECT_EQ(HttpError(absl::InvalidArgumentError("")).status, 400);
  EXPECT_EQ(HttpError(absl::UnavailableError("")).status, 503);
  EXPECT_EQ(HttpError(absl::ResourceExhaustedError("")).status, 503);
  EXPECT_EQ(HttpError(absl::DeadlineExceededError("")).status, 503);
  EXPECT_EQ(HttpError(absl::DataLossError("")).status, 500);
  EXPECT_EQ(HttpError(absl::InternalError("a \xff")).body, "{\"error\":\"a \xef\xbf\xbd\"}");
}

TEST_F(HttpServerTest, SaysWhatAHandlerThrew) {
  Start();
  const ReceivedResponse response = HttpClient(server_->Port()).Get("/throw");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body, R"({"error":"a fault"})");
}

TEST_F(HttpServerTest, AnswersManyClientsAtOnceUntilItEnds) {
  Start({.threads = 4});
  std::atomic<int> answered{0};
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&, i] {
      const std::string target = "/" + std::to_string(i);
      for (int round = 0; round < 20; ++round) {
        HttpClient client(server_->Port());
        for (int request = 0; request < 5; ++request) {
          answered += client.Get(target).body == target;
        }
        client.Send("GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n");  // leaves before the answer
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(answered, 8 * 20 * 5);
  server_.reset();
}

TEST_F(HttpServerTest, EndsWhileRequestsAreUnderWay) {
  Start({.threads = 1});
  HttpClient waiting(server_->Port()), queued(server_->Port()), idle(server_->Port()),
      half(server_->Port());
  EXPECT_EQ(idle.Get("/").status, 200);
  waiting.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
  queued.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
  half.Send("GET /wa");
  release_.Notify();
  server_.reset();
  EXPECT_TRUE(idle.WaitForClose());
  EXPECT_TRUE(half.WaitForClose());
}

TEST_F(HttpServerTest, TellsWhyItCannotListen) {
  Start();
  const auto start = [](const std::string& address, const std::string& token = "") {
    return HttpServer::Start({.address = address, .token = token},
                             [](const HttpRequest&) { return HttpResponse(); })
        .status();
  };
  const absl::Status taken = start("127.0.0.1:" + std::to_string(server_->Port()));
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), AllOf(HasSubstr("cannot listen on 127.0.0.1:"),
                                                  HasSubstr("port 0 takes any free one")));
  for (const char* address : {"", "6100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                              "127.0.0.1:70000", "::1:6100", "example.org:6100", "127.0.0.1:-1"}) {
    EXPECT_THAT(std::string(start(address).message()), HasSubstr("expected HOST:PORT")) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:0"}) {
    EXPECT_THAT(std::string(start(address).message()), HasSubstr("a file with a token")) << address;
  }
  EXPECT_TRUE(start("0.0.0.0:0", "0123456789abcdef").ok());
  EXPECT_TRUE(start("localhost:0").ok());
}

TEST_F(HttpServerTest, RefusesForeignHostsAndSites) {
  Start();
  const auto status = [this](const std::string& target, const std::string& headers) {
    return Status("GET " + target + " HTTP/1.1\r\n" + headers + "\r\n");
  };
  EXPECT_EQ(status("/", "Host: evil.example\r\n"), 421);
  EXPECT_EQ(status("/api/runs", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"), 403);
  EXPECT_EQ(status("/", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"), 200);
}

}  // namespace
}  // namespace ponder
