#include "verifiers/service/verifier_service.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <limits>
#include <stdexcept>
#include <thread>

#include "ponder/v1/verifier.grpc.pb.h"
#include "verifiers/fake_verifier.h"
#include "verifiers/service/convert.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;

constexpr absl::Duration kLong = absl::Seconds(60);

std::string AddressOf(const VerifierServer& server) {
  return fmt::format("127.0.0.1:{}", server.Port());
}

std::unique_ptr<VerifierServer> Serve(Verifier& verifier) {
  auto server = VerifierServer::Start(verifier, "127.0.0.1:0");
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::vector<VerifyItem> Items(int count) {
  std::vector<VerifyItem> items;
  for (int i = 0; i < count; ++i) items.push_back({{.gold = "7"}, std::to_string(i)});
  return items;
}

TEST(VerifierService, JudgesThroughTheWireAsInProcess) {
  auto verifier = CreateVerifier("auto").value();
  auto server = Serve(*verifier);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  const std::vector<VerifyItem> items = {
      {{.id = "a", .kind = "math", .gold = "7", .difficulty = 2}, "\\boxed{7}"},
      {{.kind = "math", .gold = "7"}, "\\boxed{8}"},
      {{.kind = "countdown", .data = R"({"numbers":[3,4],"target":7})"}, "<answer>3+4</answer>"},
      {{.kind = "math", .gold = "7"}, "bytes \xff\xfe of no text, \\boxed{7}"},
      {{.kind = "poetry"}, ""}};
  auto expected = verifier->Verify(items, absl::InfiniteFuture()).value();
  auto verdicts = remote->Verify(items, absl::Now() + kLong).value();
  for (auto* list : {&expected, &verdicts}) {
    for (Verdict& verdict : *list) verdict.elapsed_us = 0;
  }
  EXPECT_EQ(verdicts, expected);
  EXPECT_EQ(verdicts[3].status, VerdictStatus::kCorrect);
  const VerifierDescription description = remote->Describe();
  EXPECT_EQ(description.name, "auto");
  EXPECT_EQ(description.version, verifier->Describe().version);
  EXPECT_THAT(description.task_kinds, ElementsAre("math", "countdown", "text", "code"));
  EXPECT_EQ(description.max_completion_bytes, verifier->Describe().max_completion_bytes);
}

TEST(VerifierService, SplitsABatchIntoCallsAndKeepsTheOrder) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server), .max_batch_items = 4});
  const auto verdicts = remote->Verify(Items(10), absl::Now() + kLong).value();
  EXPECT_THAT(fake.Batches(), ElementsAre(4, 4, 2));
  ASSERT_EQ(verdicts.size(), 10);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(verdicts[i].extracted, std::to_string(i));
    EXPECT_EQ(verdicts[i].status == VerdictStatus::kCorrect, i == 7);
  }
}

TEST(VerifierService, KeepsToThePeersOwnLimits) {
  FakeVerifier fake;
  fake.SetDescription({.name = "small", .max_batch = 3, .max_completion_bytes = 100});
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  std::vector<VerifyItem> items = Items(8);
  items[1].completion = std::string(101, '7');
  const auto verdicts = remote->Verify(items, absl::Now() + kLong).value();
  EXPECT_THAT(fake.Batches(), Each(Le(3)));
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kUnparseable);
  EXPECT_THAT(verdicts[1].reason,
              AllOf(HasSubstr("101 bytes"), HasSubstr("small takes at most 100")));
  EXPECT_EQ(verdicts[7].status, VerdictStatus::kCorrect);
}

TEST(VerifierService, CallsStayBelowTheUsualMessageSizeWhereTheyCan) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  std::vector<VerifyItem> items = Items(4);
  for (VerifyItem& item : items) item.completion = std::string(size_t{1'100'000}, 'x');
  items[3].completion = std::string(size_t{5'000'000}, 'x');
  EXPECT_EQ(remote->Verify(items, absl::Now() + kLong).value().size(), 4);
  EXPECT_THAT(fake.Batches(), ElementsAre(2, 1, 1));
}

TEST(VerifierService, AVerifiersStatusArrivesWithItsAddress) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  fake.NextCallReturns(ResourceExhausted("no memory left"));
  const absl::Status status = remote->Verify(Items(2), absl::Now() + kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("no memory left"), HasSubstr(AddressOf(*server))));
}

TEST(VerifierService, AWrongNumberOfVerdictsIsAnErrorNotAReward) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  fake.NextCallReturns(std::vector<Verdict>{{.status = VerdictStatus::kCorrect}});
  const absl::Status status = remote->Verify(Items(2), absl::Now() + kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1 verdicts for 2 items"));
}

TEST(VerifierService, AThrowingVerifierIsAnInternalStatus) {
  FakeVerifier fake([](const VerifyItem&) -> Verdict { throw std::runtime_error("out of luck"); });
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  const absl::Status status = remote->Verify(Items(1), absl::Now() + kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("out of luck"));
}

TEST(VerifierService, AHangingPeerIsADeadlineThatNamesIt) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  fake.Hang();
  const absl::Status status =
      remote->Verify(Items(3), absl::Now() + absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(AddressOf(*server)), HasSubstr("did not answer in time (3 items")));
  fake.Release();
  EXPECT_TRUE(remote->Verify(Items(3), absl::Now() + kLong).ok());
}

TEST(VerifierService, TheDeadlineReachesTheVerifier) {
  // A built-in verifier with no time left says INTERNAL for each item; over the wire that is the
  // peer's answer or the call's own deadline, never a verdict on the text.
  auto verifier = CreateVerifier("math").value();
  auto server = Serve(*verifier);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  const auto verdicts = remote->Verify(Items(3), absl::Now() - absl::Seconds(1));
  EXPECT_EQ(verdicts.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(VerifierService, ADeadPeerIsUnavailableAndFoundAgain) {
  FakeVerifier fake;
  auto server = Serve(fake);
  const std::string address = AddressOf(*server);
  auto remote = ConnectVerifier({.address = address});
  EXPECT_TRUE(remote->Verify(Items(1), absl::Now() + kLong).ok());
  server.reset();
  const absl::Status status = remote->Verify(Items(1), absl::Now() + kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(address), HasSubstr("cannot be reached")));
  EXPECT_EQ(remote->Verify({}, absl::Now() + kLong).status().code(),
            absl::StatusCode::kUnavailable);

  auto again = VerifierServer::Start(fake, address);
  ASSERT_TRUE(again.ok()) << again.status();
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  bool found = false;
  while (!found && absl::Now() < give_up) {
    found = remote->Verify(Items(1), absl::Now() + kLong).ok();
    std::this_thread::yield();
  }
  EXPECT_TRUE(found);
}

TEST(VerifierService, APeerThatDiesInMidCallIsUnavailable) {
  FakeVerifier fake;
  auto server = Serve(fake);
  auto remote = ConnectVerifier({.address = AddressOf(*server)});
  EXPECT_TRUE(remote->Verify({}, absl::Now() + kLong).ok());
  fake.Hang();
  absl::Status status;
  std::thread caller([&]() { status = remote->Verify(Items(1), absl::Now() + kLong).status(); });
  ASSERT_TRUE(fake.WaitForCalls(1));
  // Shutdown ends calls in flight after a second; the fake is let go once the caller has heard of
  // it.
  std::thread stopper([&]() { server->Shutdown(); });
  caller.join();
  fake.Release();
  stopper.join();
  EXPECT_THAT(status.code(),
              testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
  EXPECT_THAT(std::string(status.message()), HasSubstr(AddressOf(*server)));
}

TEST(VerifierService, AnUnreachablePeerStillDescribesItself) {
  FakeVerifier fake;
  auto server = Serve(fake);
  const std::string address = AddressOf(*server);
  server.reset();
  auto remote = ConnectVerifier({.address = address});
  EXPECT_EQ(remote->Describe().name, "remote verifier at " + address);
  EXPECT_EQ(remote->Verify(Items(1), absl::Now() + kLong).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(VerifierService, APortInUseIsNamed) {
  FakeVerifier fake;
  auto server = Serve(fake);
  const auto second = VerifierServer::Start(fake, AddressOf(*server));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(AddressOf(*server)), HasSubstr("in use")));
}

TEST(VerifierService, ServesThisMachineAlone) {
  FakeVerifier fake;
  for (const std::string address : {"0.0.0.0:0", "[::]:0", "example.org:5001", ":5001"}) {
    const auto server = VerifierServer::Start(fake, address);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(server.status().message()), HasSubstr(address));
  }
}

TEST(VerifierService, WaitEndsWithShutdown) {
  FakeVerifier fake;
  auto server = Serve(fake);
  std::thread waiter([&]() { server->Wait(); });
  server->Shutdown();
  waiter.join();
}

// A verifier of somebody else, which says what it likes.
class ForeignVerifier final : public v1::Verifier::Service {
 public:
  explicit ForeignVerifier(v1::VerifyResponse response) : response_(std::move(response)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ForeignVerifier() override { server_->Shutdown(); }
  std::string Address() const { return fmt::format("127.0.0.1:{}", port_); }

  grpc::Status Verify(grpc::ServerContext*, const v1::VerifyRequest*,
                      v1::VerifyResponse* response) override {
    *response = response_;
    return grpc::Status::OK;
  }

 private:
  v1::VerifyResponse response_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(VerifierService, WhatCannotBeAVerdictIsInternal) {
  v1::VerifyResponse response;
  const auto add = [&](int status, double score) {
    v1::Verdict* const verdict = response.add_verdicts();
    verdict->set_status(static_cast<v1::VerdictStatus>(status));
    verdict->set_score(score);
    return verdict;
  };
  add(v1::VERDICT_STATUS_UNSPECIFIED, 1);
  add(77, 1);
  add(v1::VERDICT_STATUS_CORRECT, std::numeric_limits<double>::quiet_NaN());
  add(v1::VERDICT_STATUS_CORRECT, 1.5);
  add(v1::VERDICT_STATUS_WRONG, -0.5);
  (*add(v1::VERDICT_STATUS_CORRECT, 1)->mutable_parts())["format"] =
      std::numeric_limits<double>::infinity();
  (*add(v1::VERDICT_STATUS_CORRECT, 0.25)->mutable_parts())["format"] = -2;
  const ForeignVerifier foreign(response);
  auto remote =
      ConnectVerifier({.address = foreign.Address()});  // Describe is not implemented there
  const auto verdicts = remote->Verify(Items(7), absl::Now() + kLong).value();
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(verdicts[i].status, VerdictStatus::kInternal) << i;
    EXPECT_EQ(verdicts[i].score, 0) << i;
    EXPECT_TRUE(verdicts[i].parts.empty()) << i;
    EXPECT_NE(verdicts[i].reason, "") << i;
  }
  EXPECT_EQ(verdicts[6].status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdicts[6].score, 0.25);
  EXPECT_EQ(verdicts[6].parts.at("format"), -2);

  const absl::Status status = remote->Verify(Items(3), absl::Now() + kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("7 verdicts for 3 items"), HasSubstr(foreign.Address())));
}

TEST(ToUtf8, ReplacesBytesThatAreNoText) {
  EXPECT_EQ(ToUtf8("a\u00E9\u20AC\U0001F600"), "a\u00E9\u20AC\U0001F600");
  EXPECT_EQ(ToUtf8("a\xff\x80z"), "a\uFFFD\uFFFDz");
  EXPECT_EQ(ToUtf8("\xE2\x82"), "\uFFFD\uFFFD");
  EXPECT_EQ(ToUtf8("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(ToUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // a surrogate
  EXPECT_EQ(ToUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  EXPECT_EQ(ToUtf8(std::string_view("\0", 1)), std::string_view("\0", 1));
}

}  // namespace
}  // namespace ponder
