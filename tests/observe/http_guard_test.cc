#include "observe/http_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;

constexpr char kToken[] = "0123456789abcdef";

int Status(const HttpGuard& guard, const HttpRequest& request) {
  const std::optional<HttpResponse> refusal = guard.Refusal(request);
  return refusal ? refusal->status : 200;
}

TEST(HttpGuardTest, AnswersForTheLoopbackAndItsOwnAddressAlone) {
  const HttpGuard guard{.address = "127.0.0.1", .port = 6100};
  for (const char* host : {"localhost", "LocalHost:6100", "127.0.0.1", "127.0.0.1:1", "127.8.9.1",
                           "[::1]", "[::1]:6100"}) {
    EXPECT_EQ(Status(guard, {.path = "/", .host = host}), 200) << host;
  }
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.evil.example",
                           "127.0.0.1.evil.example:6100", "192.168.1.7", "[::2]", "[", "[::1",
                           "0.0.0.0", "localhost@evil.example"}) {
    const int expected = std::string(host) == "[::1" ? 200 : 421;  // no browser says that
    EXPECT_EQ(Status(guard, {.path = "/", .host = host}), expected) << host;
  }
  const HttpGuard outside{.address = "192.168.1.7", .port = 6100, .token = kToken};
  const auto with_token = [](const char* host) {
    return HttpRequest{.path = "/", .host = host, .authorization = std::string("Bearer ") + kToken};
  };
  EXPECT_EQ(Status(outside, with_token("192.168.1.7:6100")), 200);
  EXPECT_EQ(Status(outside, with_token("evil.example")), 421);
  const HttpGuard everywhere{.address = "0.0.0.0", .port = 6100, .token = kToken};
  EXPECT_EQ(Status(everywhere, with_token("gpu-box:6100")), 200);
}

TEST(HttpGuardTest, KeepsDataFromPagesOfOtherSites) {
  const HttpGuard guard{.address = "127.0.0.1", .port = 6100};
  for (const char* path : {"/api/runs", "/metrics"}) {
    for (const char* site : {"cross-site", "same-site", "anything"}) {
      EXPECT_EQ(Status(guard, {.path = path, .host = "localhost", .fetch_site = site}), 403);
    }
    for (const char* site : {"same-origin", "none", ""}) {
      EXPECT_EQ(Status(guard, {.path = path, .host = "localhost", .fetch_site = site}), 200);
    }
    for (const char* origin : {"http://evil.example", "null", "http://localhost:8000",
                               "http://localhost.evil.example:6100"}) {
      EXPECT_EQ(Status(guard, {.path = path, .host = "localhost:6100", .origin = origin}), 403);
    }
    EXPECT_EQ(
        Status(guard, {.path = path, .host = "localhost:6100", .origin = "http://localhost:6100"}),
        200);
  }
  // A link to a page may stand anywhere.
  EXPECT_EQ(Status(guard, {.path = "/", .host = "localhost", .fetch_site = "cross-site"}), 200);
}

TEST(HttpGuardTest, AsksForTheTokenOnEveryPath) {
  const HttpGuard guard{.address = "127.0.0.1", .port = 6100, .token = kToken};
  for (const char* path : {"/", "/assets/app.js", "/api/runs", "/metrics", "/healthz"}) {
    const auto with = [path](HttpRequest request) {
      request.path = path;
      request.host = "localhost";
      return request;
    };
    EXPECT_EQ(Status(guard, with({})), 401);
    EXPECT_EQ(Status(guard, with({.authorization = "Bearer 0123456789abcdeF"})), 401);
    EXPECT_EQ(Status(guard, with({.authorization = "Bearer "})), 401);
    EXPECT_EQ(Status(guard, with({.authorization = kToken})), 401);
    EXPECT_EQ(Status(guard, with({.authorization = "Bearer 0123456789abcdef"})), 200);
    EXPECT_EQ(Status(guard, with({.cookie = "a=b; ponder_token_6100=0123456789abcdef; c=d"})), 200);
    EXPECT_EQ(Status(guard, with({.cookie = "ponder_token_6101=0123456789abcdef"})), 401);
    EXPECT_EQ(Status(guard, with({.cookie = "ponder_token_6100=0123456789abcdef0"})), 401);
    EXPECT_EQ(Status(guard, with({.cookie = "ponder_token_6100"})), 401);
  }
}

TEST(HttpGuardTest, TakesTheTokenOnceInTheAddress) {
  const HttpGuard guard{.address = "127.0.0.1", .port = 6100, .token = kToken};
  const auto open = [&](const char* path, const char* token) {
    return guard.Refusal({.path = path, .query = {{"token", token}}, .host = "localhost"});
  };
  const std::optional<HttpResponse> answer = open("/", kToken);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 303);
  const std::map<std::string, std::string> headers(answer->headers.begin(), answer->headers.end());
  EXPECT_EQ(headers.at("Location"), "/");
  EXPECT_EQ(headers.at("Set-Cookie"),
            "ponder_token_6100=0123456789abcdef; HttpOnly; SameSite=Strict; Path=/");
  EXPECT_EQ(open("/", "wrong")->status, 401);
  EXPECT_EQ(open("/api/runs", kToken)->status, 401);
}

TEST(HttpGuardTest, ReadsTokensThatAreOnes) {
  const std::string directory = FreshDirectory();
  const std::string path = directory + "/token";
  const auto read = [&](const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(path, content).ok());
    return ReadTokenFile(path);
  };
  EXPECT_EQ(*read("0123456789abcdef\n"), "0123456789abcdef");
  EXPECT_EQ(*read("0123456789abcde=\r\nmore"), "0123456789abcde=");
  for (const std::string& content :
       {std::string(), std::string("\n"), std::string("short"), std::string("0123456789 abcdefg"),
        std::string("0123456789;abcdefg"), std::string(257, 'a')}) {
    EXPECT_THAT(std::string(read(content).status().message()), HasSubstr("expected a token"));
  }
  EXPECT_FALSE(read(std::string(5000, 'a')).ok());
  EXPECT_EQ(ReadTokenFile(directory + "/none").status().code(), absl::StatusCode::kNotFound);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ponder
