#include "app/watched_verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ponder {
namespace {

using testing::HasSubstr;

// Answers with a status of its own; sees what was told when it is called.
class ScriptedVerifier : public Verifier {
 public:
  explicit ScriptedVerifier(const std::vector<WorkerRecord>& seen) : seen_(seen) {}
  VerifierDescription Describe() const override { return {.name = "made", .version = version}; }
  absl::StatusOr<std::vector<Verdict>> Verify(std::span<const VerifyItem> batch,
                                              absl::Time) override {
    during = seen_.back();
    if (!status.ok()) return status;
    version = "2";
    return std::vector<Verdict>(batch.size());
  }

  std::string version;
  absl::Status status;
  WorkerRecord during;

 private:
  const std::vector<WorkerRecord>& seen_;
};

class WatchedVerifierTest : public testing::Test {
 protected:
  void Watch(const std::string& address) {
    report_ = std::make_shared<VerifierReport>(
        "verifiers.own", address, [this](const WorkerRecord& record) { seen_.push_back(record); });
    auto scripted = std::make_unique<ScriptedVerifier>(seen_);
    scripted_ = scripted.get();
    watched_ = WatchVerifier(std::move(scripted), report_);
  }
  absl::Status Verify(size_t items) {
    const std::vector<VerifyItem> batch(items);
    return watched_->Verify(batch, absl::InfiniteFuture()).status();
  }

  std::vector<WorkerRecord> seen_;
  std::shared_ptr<VerifierReport> report_;
  std::unique_ptr<Verifier> watched_;
  ScriptedVerifier* scripted_ = nullptr;
};

TEST_F(WatchedVerifierTest, TellsWhatIsUnderWayAndDone) {
  Watch("");
  report_->Start(123);
  EXPECT_EQ(seen_.back().software, "made");
  ASSERT_TRUE(Verify(8).ok());
  EXPECT_EQ(scripted_->during.running, 8);
  EXPECT_EQ(scripted_->during.state, "working");
  EXPECT_EQ(scripted_->during.address, "process 123");
  EXPECT_EQ(seen_.back().running, 0);
  EXPECT_EQ(seen_.back().done, 8);
  EXPECT_EQ(seen_.back().state, "idle");
  EXPECT_EQ(seen_.back().role, "verifier");
  EXPECT_EQ(seen_.back().name, "verifiers.own");
  EXPECT_EQ(seen_.back().software, "made 2") << "its version was not known at first";
}

TEST_F(WatchedVerifierTest, AChildThatWasStartedAgainIsHereWithItsLastWords) {
  Watch("");
  report_->Restart("ended by signal 9");
  scripted_->status = absl::UnavailableError("cannot be reached");
  EXPECT_FALSE(Verify(8).ok());
  EXPECT_EQ(seen_.back().state, "idle");
  EXPECT_EQ(seen_.back().restarts, 1);
  EXPECT_EQ(seen_.back().done, 0);
  EXPECT_EQ(seen_.back().last_words, "ended by signal 9");
}

TEST_F(WatchedVerifierTest, AChildThatWillNotComeBackIsLost) {
  Watch("");
  scripted_->status = absl::FailedPreconditionError("failed again after 10 restarts");
  EXPECT_FALSE(Verify(8).ok());
  EXPECT_EQ(seen_.back().state, "lost");
  EXPECT_THAT(seen_.back().last_words, HasSubstr("after 10 restarts"));
}

TEST_F(WatchedVerifierTest, ARemoteOneThatCannotBeReachedIsLostUntilItAnswers) {
  Watch("far:5001");
  EXPECT_EQ(seen_.back().address, "far:5001");
  scripted_->status = absl::UnavailableError("cannot be reached");
  EXPECT_FALSE(Verify(8).ok());
  EXPECT_EQ(seen_.back().state, "lost");
  EXPECT_EQ(seen_.back().last_words, "cannot be reached");
  EXPECT_FALSE(Verify(8).ok());
  EXPECT_EQ(scripted_->during.state, "lost") << "trying again is no news";
  scripted_->status = absl::OkStatus();
  ASSERT_TRUE(Verify(8).ok());
  EXPECT_EQ(seen_.back().state, "idle");
  EXPECT_EQ(seen_.back().done, 8);
  scripted_->status = absl::DeadlineExceededError("did not answer in time");
  EXPECT_FALSE(Verify(8).ok());
  EXPECT_EQ(seen_.back().state, "idle") << "it is slow, not gone";
  EXPECT_EQ(seen_.back().last_words, "did not answer in time");
}

}  // namespace
}  // namespace ponder
