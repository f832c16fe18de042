// Weights through shared memory: the segment, who lends it and who reads it.
#include "rollout/service/weight_lender.h"

#include <absl/synchronization/notification.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <thread>

#include "rollout/service/unix_socket.h"
#include "rollout/service/weight_borrower.h"
#include "tests/rollout/tiny_model.h"

namespace ponder {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(20);  // of every wait

class SharedWeights : public testing::Test {
 protected:
  SharedWeights()
      : source_(TinyModel::Make(kernels::DType::kBF16, 1, 1)),
        target_(TinyModel::Make(kernels::DType::kBF16, 1, 2)),
        store_(*source_.weights),
        borrower_(*target_.weights),
        arena_(target_.weights->MakeArena().value()) {
    StartLender({});
  }

  void StartLender(const WeightLenderOptions& options) {
    lender_ = WeightLender::Start(
                  [this] {
                    absl::MutexLock lock(&mutex_);
                    return current_;
                  },
                  options)
                  .value();
  }
  // A snapshot that tells when nobody has it any longer.
  void PublishWatched(int64_t version, absl::Notification* returned) {
    auto segment =
        WeightSegment::Create(LayoutHash(*source_.weights), source_.weights->ArenaBytes()).value();
    Set(std::shared_ptr<const WeightSnapshot>(new WeightSnapshot(std::move(segment), version),
                                              [returned](const WeightSnapshot* snapshot) {
                                                delete snapshot;
                                                returned->Notify();
                                              }));
  }

  // Version `version` of the source becomes the current one; nothing is copied yet.
  std::shared_ptr<WeightSnapshot> Publish(int64_t version) {
    auto snapshot = store_.Begin(version).value();
    Set(snapshot);
    return snapshot;
  }
  void Set(std::shared_ptr<const WeightSnapshot> snapshot) {
    absl::MutexLock lock(&mutex_);
    current_ = std::move(snapshot);
  }
  // `waiting` is called whenever the reader finds nothing new.
  absl::Status Read(int64_t version, const std::function<void()>& waiting = nullptr) {
    return borrower_.Read(lender_->Name(), version, arena_, [&] {
      if (waiting) waiting();
      return false;
    });
  }
  // A loan in this process's own hands: the socket, once the descriptor has come.
  int TakeLoan(int64_t version) {
    const int socket = ConnectAbstract(lender_->Name(), kLimit).value();
    EXPECT_TRUE(IsLent(socket, version));
    return socket;
  }
  // Asks over a connection; the descriptor that comes is closed again.
  static bool IsLent(int socket, int64_t version) {
    send(socket, &version, sizeof(version), MSG_NOSIGNAL);
    const auto answer = ReceiveWithDescriptor(socket);
    if (!answer.ok() || answer->descriptor < 0) return false;
    close(answer->descriptor);
    return answer->number == version;
  }

  TinyModel source_, target_;
  SnapshotStore store_;
  WeightBorrower borrower_;
  kernels::DeviceBuffer arena_;
  absl::Mutex mutex_;
  std::shared_ptr<const WeightSnapshot> current_ ABSL_GUARDED_BY(mutex_);
  FakeClock clock_;
  std::unique_ptr<WeightLender> lender_;
};

TEST_F(SharedWeights, BringEveryByteOfEachVersion) {
  for (int64_t version = 0; version < 3; ++version) {
    source_.Randomize(10 + version, version);
    Set(nullptr);
    Publish(version)->Fill(*source_.weights);
    const absl::Status status = Read(version);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(target_.weights->Exchange(arena_).ok());
    EXPECT_EQ(ArenaOf(*target_.weights), ArenaOf(*source_.weights));
  }
}

TEST_F(SharedWeights, AReaderFollowsWhileTheyAreWritten) {
  const auto snapshot = Publish(1);
  bool filled = false;
  // The reader has begun and found nothing when it is filled.
  const absl::Status status = Read(1, [&] {
    if (!std::exchange(filled, true)) snapshot->Fill(*source_.weights);
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(filled);
  ASSERT_TRUE(target_.weights->Exchange(arena_).ok());
  EXPECT_EQ(ArenaOf(*target_.weights), ArenaOf(*source_.weights));
}

TEST_F(SharedWeights, AReaderTakesNothingOfTheVersionThatTheSameMemoryHeldBefore) {
  Publish(1)->Fill(*source_.weights);
  Set(nullptr);
  source_.Randomize(7, 2);
  const auto snapshot = Publish(2);
  bool filled = false;
  const absl::Status status = Read(2, [&] {
    if (!std::exchange(filled, true)) snapshot->Fill(*source_.weights);
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(filled);
  ASSERT_TRUE(target_.weights->Exchange(arena_).ok());
  EXPECT_EQ(ArenaOf(*target_.weights), ArenaOf(*source_.weights));
}

TEST_F(SharedWeights, AnotherVersionThanTheCurrentOneIsNotFound) {
  EXPECT_EQ(Read(1).code(), absl::StatusCode::kNotFound);
  Publish(2)->Fill(*source_.weights);
  EXPECT_EQ(Read(1).code(), absl::StatusCode::kNotFound);
}

TEST_F(SharedWeights, WhatIsOverwrittenWhileItIsReadIsRefused) {
  for (const int64_t next : {2, 1}) {  // also by the same version again
    auto segment =
        WeightSegment::Create(LayoutHash(*source_.weights), source_.weights->ArenaBytes()).value();
    WeightSegment* const written = segment.get();
    Set(std::make_shared<WeightSnapshot>(std::move(segment), 1));
    written->Advance(written->Bytes() / 2);
    bool overwritten = false;
    const absl::Status status = Read(1, [&] {
      if (std::exchange(overwritten, true)) return;
      written->Begin(next);
      written->Advance(written->Bytes());
    });
    EXPECT_TRUE(overwritten);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  }
}

TEST_F(SharedWeights, WhatIsReadIsOfOneVersionWheneverItIsOverwritten) {
  auto segment =
      WeightSegment::Create(LayoutHash(*source_.weights), source_.weights->ArenaBytes()).value();
  WeightSegment* const written = segment.get();
  Set(std::make_shared<WeightSnapshot>(std::move(segment), 1));
  std::atomic<int64_t> reads = 0;
  std::atomic<bool> over = false;
  // Overwrites once a read, each time somewhat later in it.
  std::thread writer([&] {
    int64_t seen = -1;
    for (int64_t pass = 0; !over; ++pass) {
      while (reads == seen && !over) std::this_thread::yield();
      seen = reads;
      const absl::Time begin = absl::Now() + pass % 199 * absl::Microseconds(1);
      while (absl::Now() < begin && !over) {
      }
      written->Begin(1);
      std::memset(written->Data(), static_cast<int>(pass % 251), written->Bytes());
      written->Advance(written->Bytes());
    }
  });
  int64_t whole = 0, refused = 0;
  const absl::Time end = absl::Now() + kLimit;
  for (int64_t i = 0; (i < 3000 || whole == 0 || refused == 0) && absl::Now() < end; ++i) {
    ++reads;
    const absl::Status status = Read(1);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
      ++refused;
      continue;
    }
    ++whole;
    const std::string_view bytes(arena_.As<char>(), arena_.Bytes());
    EXPECT_EQ(bytes.find_first_not_of(bytes[0]), std::string_view::npos);
  }
  over = true;
  writer.join();
  EXPECT_GT(whole, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(SharedWeights, WhatFailedToBePublishedIsRefused) {
  // Longer than the weights, so that filling it fails at their end.
  auto segment =
      WeightSegment::Create(LayoutHash(*source_.weights), source_.weights->ArenaBytes() + 1)
          .value();
  WeightSegment* const written = segment.get();
  const int descriptor = written->Descriptor();
  WeightSnapshot snapshot(std::move(segment), 1);
  const auto view = SegmentView::Map(dup(descriptor), LayoutHash(*source_.weights),
                                     source_.weights->ArenaBytes() + 1)
                        .value();
  const int64_t sequence = view->Sequence();
  EXPECT_ANY_THROW(snapshot.Fill(*source_.weights));
  EXPECT_NE(view->Sequence(), sequence);
  EXPECT_EQ(view->Version(), SegmentHeader::kNoVersion);
  EXPECT_EQ(view->Ready(), 0);
  const absl::Time asked = absl::Now();
  EXPECT_EQ(snapshot.Await(0, 1).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(absl::Now() - asked, kLimit / 2) << "it does not wait for what never comes";
}

TEST_F(SharedWeights, ALearnerThatEndsInTheMiddleIsUnavailable) {
  const auto snapshot = Publish(1);
  const std::string name = lender_->Name();
  const absl::Status status =
      borrower_.Read(name, 1, arena_, [&] { return lender_.reset(), false; });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ended"));
  EXPECT_EQ(ConnectAbstract(name, kLimit).status().code(), absl::StatusCode::kUnavailable)
      << "the name has gone with it";
}

TEST_F(SharedWeights, ACancelledReaderStops) {
  Publish(1);
  EXPECT_EQ(borrower_.Read(lender_->Name(), 1, arena_, [] { return true; }).code(),
            absl::StatusCode::kCancelled);
}

TEST_F(SharedWeights, AKilledReaderGivesTheMemoryBack) {
  absl::Notification returned;
  PublishWatched(1, &returned);
  const int loan = TakeLoan(1);
  const pid_t reader = fork();
  if (reader == 0) {
    for (;;) pause();
  }
  close(loan);
  Set(nullptr);  // the next version is being published
  EXPECT_FALSE(returned.HasBeenNotified()) << "the reader has it still";
  kill(reader, SIGKILL);
  EXPECT_TRUE(returned.WaitForNotificationWithTimeout(kLimit));
  waitpid(reader, nullptr, 0);
}

// The other end was closed, within kLimit.
bool IsClosed(int socket) {
  char byte = 0;
  return recv(socket, &byte, 1, 0) == 0;
}

TEST_F(SharedWeights, AReaderThatIsStoppedLosesItsLoan) {
  absl::Notification returned;
  StartLender({.look_every = absl::Milliseconds(1), .clock = &clock_});
  PublishWatched(1, &returned);
  const int silent = ConnectAbstract(lender_->Name(), kLimit).value();
  const int loan = TakeLoan(1);
  Set(nullptr);
  clock_.Advance(absl::Seconds(29));
  const int later = ConnectAbstract(lender_->Name(), kLimit).value();
  EXPECT_FALSE(returned.HasBeenNotified());
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(returned.WaitForNotificationWithTimeout(kLimit));
  EXPECT_TRUE(IsClosed(loan));
  EXPECT_TRUE(IsClosed(silent)) << "that nothing was asked for changes nothing";
  Publish(2);
  EXPECT_TRUE(IsLent(later, 2)) << "its own time is not over";
  for (const int socket : {loan, silent, later}) close(socket);
}

TEST_F(SharedWeights, OnlySoManyReadAtOnce) {
  StartLender({.most_loans = 2});
  Publish(1);
  const int first = TakeLoan(1);
  const int second = TakeLoan(1);
  const int third = ConnectAbstract(lender_->Name(), kLimit).value();
  EXPECT_TRUE(IsClosed(third));
  close(third);
  EXPECT_EQ(Read(1).code(), absl::StatusCode::kUnavailable);
  close(first);
  // The lender hears of it in its own time.
  const absl::Time end = absl::Now() + kLimit;
  bool is_lent = false;
  while (!is_lent && absl::Now() < end) {
    const int socket = ConnectAbstract(lender_->Name(), kLimit).value();
    is_lent = IsLent(socket, 1);
    close(socket);
  }
  EXPECT_TRUE(is_lent);
  close(second);
}

TEST_F(SharedWeights, AProcessOfAnotherUserIsTurnedAway) {
  if (geteuid() != 0) GTEST_SKIP() << "did not run: only root can become another user";
  Publish(1);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string name = lender_->Name();
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  // Like ConnectAbstract, which would refuse a lender of another user by itself. 0: turned away.
  const auto ask = [&](uid_t user) {
    const pid_t asker = fork();
    if (asker == 0) {
      const timeval limit = {.tv_sec = absl::ToInt64Seconds(kLimit), .tv_usec = 0};
      const int64_t version = 1;
      const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      if (setuid(user) != 0) _exit(2);
      if (connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) _exit(3);
      send(socket, &version, sizeof(version), MSG_NOSIGNAL);
      int64_t answer = 0;
      const ssize_t received = recv(socket, &answer, sizeof(answer), 0);
      if (received < 0 && errno == EAGAIN) _exit(4);
      _exit(received == ssize_t{sizeof(answer)} && answer == version ? 1 : 0);
    }
    int status = 0;
    waitpid(asker, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(ask(geteuid()), 1);
  EXPECT_EQ(ask(65534), 0);
}

TEST_F(SharedWeights, OneSegmentServesAllVersionsUnlessTheLastOneIsStillRead) {
  // An address says nothing: the next mapping may get that of the last one.
  const auto first = SegmentView::Map(dup(Publish(1)->Segment().Descriptor()),
                                      LayoutHash(*source_.weights), source_.weights->ArenaBytes())
                         .value();
  Set(nullptr);
  EXPECT_TRUE(first->IsOf(Publish(2)->Segment().Descriptor()));
  const auto held = Publish(3);  // version 2 is current until then
  EXPECT_FALSE(first->IsOf(held->Segment().Descriptor()));
}

TEST_F(SharedWeights, AReaderCannotWriteOrShortenThem) {
  const auto snapshot = Publish(1);
  const int descriptor = snapshot->Segment().Descriptor();
  ASSERT_GE(descriptor, 0);
  EXPECT_EQ(mmap(nullptr, kSegmentHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
            MAP_FAILED);
  EXPECT_NE(ftruncate(descriptor, 0), 0);
  EXPECT_LT(pwrite(descriptor, "x", 1, 0), 0);
}

TEST_F(SharedWeights, ASegmentOfAnotherSizeOrLayoutIsRefused) {
  const int64_t bytes = 1000;
  const auto segment = WeightSegment::Create(5, bytes).value();
  const auto map = [&](uint64_t layout, int64_t size) {
    return SegmentView::Map(dup(segment->Descriptor()), layout, size).status();
  };
  EXPECT_TRUE(map(5, bytes).ok());
  EXPECT_THAT(std::string(map(6, bytes).message()), HasSubstr("expected layout"));
  EXPECT_THAT(std::string(map(5, bytes - 1).message()), HasSubstr("a file of"));
  EXPECT_THAT(std::string(map(5, bytes + 1).message()), HasSubstr("a file of"));
}

TEST_F(SharedWeights, AFileThatLacksASealIsRefused) {
  constexpr int kFutureWrite = 0x0010;  // F_SEAL_FUTURE_WRITE, which old headers lack
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, kFutureWrite, F_SEAL_SEAL}) {
    const int file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(ftruncate(file, kSegmentHeaderBytes + 10), 0);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | kFutureWrite | F_SEAL_SEAL;
    ASSERT_EQ(fcntl(file, F_ADD_SEALS, seals & ~missing), 0);
    EXPECT_THAT(std::string(SegmentView::Map(file, 5, 10).status().message()),
                HasSubstr("a sealed file"))
        << missing;
  }
}

TEST_F(SharedWeights, AHeaderThatIsNotTheExpectedOneIsRefused) {
  SegmentHeader header;
  header.layout = 5;
  header.bytes = 10;
  const auto check = [&](size_t size = sizeof(SegmentHeader)) {
    return std::string(
        CheckSegmentHeader({reinterpret_cast<const char*>(&header), size}, 5, 10).message());
  };
  EXPECT_EQ(check(), "");
  EXPECT_THAT(check(sizeof(SegmentHeader) - 1), HasSubstr("a header of"));
  header.bytes = 11;
  EXPECT_THAT(check(), HasSubstr("expected 10 bytes, found 11"));
  header.layout = 6;
  EXPECT_THAT(check(), HasSubstr("expected layout"));
  header.magic ^= 1;
  EXPECT_THAT(check(), HasSubstr("at the start"));
}

}  // namespace
}  // namespace ponder
