#include "observe/background_store.h"

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;

// Writes down what is asked of it, in order; steps wait until `open` where it is set, and fail
// where `error` is.
class ScriptedStore : public RunStore {
 public:
  explicit ScriptedStore(std::vector<std::string>& calls) : calls_(calls) {}

  absl::Status WriteStep(StepRecord record) override {
    if (open != nullptr) open->WaitForNotification();
    calls_.push_back(fmt::format("step {}", record.step));
    return error;
  }
  absl::Status SetInfo(const std::string& key, const std::string&) override { return Note(key); }
  absl::Status WriteEvent(const EventRecord& event) override { return Note(event.kind); }
  absl::Status WriteState(const RunState& state) override { return Note(state.activity); }
  absl::Status WriteWorkers(const std::vector<WorkerRecord>& workers) override {
    return Note(workers.at(0).name);
  }
  absl::Status LoseWorkers(const std::string& last_words) override { return Note(last_words); }
  absl::Status WriteReadings(const std::vector<Reading>&) override { return Note("readings"); }
  absl::Status WriteVocabulary(const std::vector<std::string>&) override { return Note("words"); }
  absl::Status TruncateAfter(const std::string& phase, int64_t) override { return Note(phase); }
  absl::StatusOr<std::optional<std::string>> GetInfo(const std::string&) override {
    calls_.push_back("read");
    return std::nullopt;
  }
  absl::StatusOr<int64_t> LastStep(const std::string&) override { return 7; }
  absl::StatusOr<std::vector<StoredMetric>> ReadMetrics(const std::string&) override {
    return std::vector<StoredMetric>();
  }
  absl::StatusOr<std::vector<EventRecord>> ReadEvents() override {
    return std::vector<EventRecord>();
  }
  absl::StatusOr<std::vector<StoredCompletion>> ReadCompletions(const std::string&,
                                                                int64_t) override {
    return std::vector<StoredCompletion>();
  }
  absl::StatusOr<StoredCompletion> ReadCompletion(int64_t) override { return StoredCompletion(); }
  absl::StatusOr<std::vector<StoredCompletion>> ReadMarked(const std::string&, const std::string&,
                                                           const std::string&, int64_t) override {
    return std::vector<StoredCompletion>();
  }

  absl::Notification* open = nullptr;
  absl::Status error;

 private:
  absl::Status Note(const std::string& call) {
    calls_.push_back(call);
    return absl::OkStatus();
  }
  std::vector<std::string>& calls_;
};

TEST(BackgroundStoreTest, WritesInOrderAndReadsBehindWhatWasWritten) {
  std::vector<std::string> calls;
  auto store = CreateBackgroundStore(std::make_unique<ScriptedStore>(calls));
  EXPECT_TRUE(store->SetInfo("info", "").ok());
  EXPECT_TRUE(store->WriteStep({.step = 1}).ok());
  EXPECT_TRUE(store->WriteEvent({1, "event", ""}).ok());
  EXPECT_TRUE(store->TruncateAfter("phase", 1).ok());
  EXPECT_TRUE(store->WriteState({.activity = "state"}).ok());
  EXPECT_TRUE(store->WriteWorkers({{.name = "worker"}}).ok());
  EXPECT_TRUE(store->WriteReadings({}).ok());
  EXPECT_TRUE(store->WriteVocabulary({}).ok());
  EXPECT_TRUE(store->GetInfo("").ok());
  EXPECT_THAT(calls, ElementsAre("info", "step 1", "event", "phase", "state", "worker", "readings",
                                 "words", "read"));
}

TEST(BackgroundStoreTest, DoesNotWaitForAStepUnlessManyWait) {
  std::vector<std::string> calls;
  absl::Notification open;
  auto scripted = std::make_unique<ScriptedStore>(calls);
  scripted->open = &open;
  auto store = CreateBackgroundStore(std::move(scripted), /*max_queued_steps=*/2);
  // These return although nothing can be written yet; the third would wait.
  EXPECT_TRUE(store->WriteStep({.step = 1}).ok());
  EXPECT_TRUE(store->WriteStep({.step = 2}).ok());
  std::thread third([&] { EXPECT_TRUE(store->WriteStep({.step = 3}).ok()); });
  open.Notify();
  third.join();
  EXPECT_TRUE(store->Flush().ok());
  EXPECT_THAT(calls, ElementsAre("step 1", "step 2", "step 3"));
}

TEST(BackgroundStoreTest, ReturnsTheFirstErrorFromThenOnAndWritesNothingBehindIt) {
  std::vector<std::string> calls;
  absl::Notification open;
  auto scripted = std::make_unique<ScriptedStore>(calls);
  scripted->open = &open;
  scripted->error = ResourceExhausted("full");
  auto store = CreateBackgroundStore(std::move(scripted));
  EXPECT_TRUE(store->WriteStep({.step = 1}).ok());
  EXPECT_TRUE(store->WriteEvent({1, "event", ""}).ok());
  open.Notify();
  EXPECT_TRUE(absl::IsResourceExhausted(store->Flush()));
  EXPECT_TRUE(absl::IsResourceExhausted(store->WriteStep({.step = 2})));
  EXPECT_TRUE(absl::IsResourceExhausted(store->WriteEvent({1, "event", ""})));
  EXPECT_TRUE(absl::IsResourceExhausted(store->LastStep("train").status()));
  EXPECT_THAT(calls, ElementsAre("step 1"));
}

TEST(BackgroundStoreTest, TheDestructorWritesWhatWaits) {
  const std::string directory = FreshDirectory();
  const std::string path = directory + "/run.db";
  {
    auto store = CreateBackgroundStore(*RunStore::Open(path, RunStore::Mode::kCreate));
    for (int64_t step = 1; step <= 5; ++step) {
      ASSERT_TRUE(store->WriteStep(MakeStep("train", step)).ok());
    }
  }
  auto store = RunStore::Open(path, RunStore::Mode::kRead);
  EXPECT_EQ(*(*store)->LastStep("train"), 5);
  ExpectHolds(*(*store)->ReadCompletions("train", 5), MakeStep("train", 5));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ponder
