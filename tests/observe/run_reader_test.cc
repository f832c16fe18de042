#include "observe/run_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "observe/sqlite.h"
#include "observe/vocabulary_blob.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RunReaderTest : public ::testing::Test {
 protected:
  RunReaderTest() : directory_(FreshDirectory()), path_(directory_ + "/run.db") {
    auto store = RunStore::Open(path_, RunStore::Mode::kCreate);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto reader = RunReader::Open(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
  }
  ~RunReaderTest() override { std::filesystem::remove_all(directory_); }

  std::vector<SampleSummary> Find(const SampleFilter& filter,
                                  SampleOrder order = SampleOrder::kStep) {
    auto list = reader_->FindSamples(filter, order, 0, 100, absl::InfiniteDuration());
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? std::move(list->samples) : std::vector<SampleSummary>();
  }

  const std::string directory_, path_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<RunReader> reader_;
};

// A step of one group whose samples are given as (reward, tokens, text).
struct Given {
  double reward;
  int64_t tokens;
  std::string text;
};
StepRecord StepOf(int64_t step, const std::vector<Given>& samples) {
  StepRecord record =
      MakeStep("train", step,
               {.groups = 1, .completions = static_cast<int64_t>(samples.size()), .tokens = 0});
  ScoredGroup& scored = record.groups[0];
  for (size_t i = 0; i < samples.size(); ++i) {
    Completion& completion = scored.group.completions[i];
    completion.text = samples[i].text;
    completion.token_ids.assign(static_cast<size_t>(samples[i].tokens), 1);
    scored.rewards[i].total = samples[i].reward;
    scored.verdicts[i].status =
        samples[i].reward > 0 ? VerdictStatus::kCorrect : VerdictStatus::kWrong;
  }
  return record;
}

std::vector<int64_t> Indices(const std::vector<SampleSummary>& samples) {
  std::vector<int64_t> indices;
  for (const SampleSummary& one : samples) indices.push_back(one.sample_index);
  return indices;
}

TEST_F(RunReaderTest, ShowsAStepsGroupsWithTheirSamples) {
  StepRecord record = MakeStep("train", 3, {.groups = 2, .completions = 3, .tokens = 5});
  record.clips = {{{0, 1, -1, 0, 1}, {}, {}}, {}};
  ASSERT_TRUE(store_->WriteStep(record).ok());
  ASSERT_TRUE(store_->WriteStep(MakeStep("train", 4)).ok());
  const auto groups = reader_->Groups("train", 3);
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_THAT(*groups, SizeIs(2));
  const GroupSummary& group = (*groups)[1];
  EXPECT_EQ(group.phase, "train");
  EXPECT_EQ(group.step, 3);
  EXPECT_EQ(group.position, 1);
  EXPECT_EQ(group.task.id, "task-3-1");
  EXPECT_EQ(group.task.question, "what is it?");
  EXPECT_EQ(group.prompt_tokens, 9);
  ASSERT_THAT(group.samples, SizeIs(3));
  const SampleSummary& sample = group.samples[2];
  const ScoredGroup& scored = record.groups[1];
  EXPECT_EQ(sample.sample_index, 2);
  EXPECT_EQ(sample.status, scored.verdicts[2].status);
  EXPECT_EQ(sample.reward, scored.rewards[2].total);
  EXPECT_EQ(sample.advantage, scored.advantages[2]);
  EXPECT_EQ(sample.tokens, 5);
  EXPECT_EQ(sample.finish, FinishReason::kStop);
  EXPECT_EQ(sample.excerpt, "answer 2 of 1 🙂");
  EXPECT_EQ((*groups)[0].samples[0].clipped_tokens, 3);
  EXPECT_EQ(sample.clipped_tokens, 0);
  EXPECT_EQ(reader_->GroupOf(sample.sample)->group, group.group);
  EXPECT_EQ(reader_->ReadCompletion(sample.sample)->completion, scored.group.completions[2]);
  EXPECT_EQ(reader_->GroupOf(12345).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*reader_->Groups("train", 9), IsEmpty());
}

TEST_F(RunReaderTest, FindsSamplesByEachFilterAlone) {
  ASSERT_TRUE(store_->WriteStep(StepOf(1, {{0, 10, "abc"}, {1, 20, "Def"}, {0.5, 30, "x"}})).ok());
  ASSERT_TRUE(store_->WriteStep(StepOf(2, {{0, 5, "so"}})).ok());
  EXPECT_THAT(Find({}), SizeIs(4));
  EXPECT_THAT(Find({.phase = "eval"}), IsEmpty());
  EXPECT_THAT(Find({.first_step = 2}), SizeIs(1));
  EXPECT_THAT(Indices(Find({.last_step = 1})), ElementsAre(0, 1, 2));
  EXPECT_THAT(Find({.task_id = "task-2-0"}), SizeIs(1));
  EXPECT_THAT(Find({.task_kind = "countdown"}), IsEmpty());
  EXPECT_THAT(Indices(Find({.status = VerdictStatus::kCorrect})), ElementsAre(1, 2));
  EXPECT_THAT(Indices(Find({.finish = FinishReason::kLength})), ElementsAre(1));
  EXPECT_THAT(Indices(Find({.reward_low = 0.5})), ElementsAre(1, 2));
  EXPECT_THAT(Indices(Find({.reward_low = 0.1, .reward_high = 0.5})), ElementsAre(2));
  EXPECT_THAT(Indices(Find({.tokens_low = 20, .tokens_high = 20})), ElementsAre(1));
  EXPECT_THAT(Indices(Find({.text = "dEF"})), ElementsAre(1));
  EXPECT_THAT(Find({.text = "what is"}), SizeIs(4));
  EXPECT_THAT(Find({.text = "%"}), IsEmpty());
  EXPECT_THAT(Find({.marked_part_prefix = "for", .marked_part_suffix = "mat"}), SizeIs(4));
  EXPECT_THAT(Find({.marked_part_prefix = "language"}), IsEmpty());
}

TEST_F(RunReaderTest, OrdersAndCutsLists) {
  ASSERT_TRUE(store_->WriteStep(StepOf(1, {{0.2, 10, ""}, {1, 5, ""}, {0.5, 30, ""}})).ok());
  EXPECT_THAT(Indices(Find({}, SampleOrder::kRewardUp)), ElementsAre(0, 2, 1));
  EXPECT_THAT(Indices(Find({}, SampleOrder::kRewardDown)), ElementsAre(1, 2, 0));
  EXPECT_THAT(Indices(Find({}, SampleOrder::kLengthUp)), ElementsAre(1, 0, 2));
  EXPECT_THAT(Indices(Find({}, SampleOrder::kLengthDown)), ElementsAre(2, 0, 1));
  const auto first = reader_->FindSamples({}, SampleOrder::kStep, 0, 2, absl::InfiniteDuration());
  EXPECT_THAT(Indices(first->samples), ElementsAre(0, 1));
  EXPECT_TRUE(first->more);
  const auto rest = reader_->FindSamples({}, SampleOrder::kStep, 2, 2, absl::InfiniteDuration());
  EXPECT_THAT(Indices(rest->samples), ElementsAre(2));
  EXPECT_FALSE(rest->more);
}

TEST_F(RunReaderTest, OrdersListsOfAStoreThatWasMadeWithoutTheIndices) {
  ASSERT_TRUE(store_->WriteStep(StepOf(1, {{0.2, 10, ""}, {1, 5, ""}})).ok());
  auto database = SqliteDatabase::Open(path_, SqliteDatabase::Access::kWrite);
  ASSERT_TRUE((*database)
                  ->Execute("DROP INDEX completions_by_reward; DROP INDEX completions_by_length; "
                            "ALTER TABLE workers DROP COLUMN software; "
                            "ALTER TABLE workers DROP COLUMN busy; "
                            "ALTER TABLE workers DROP COLUMN done; "
                            "ALTER TABLE workers DROP COLUMN restarts; "
                            "PRAGMA user_version = 2")
                  .ok());
  reader_ = *RunReader::Open(path_);
  EXPECT_THAT(Indices(Find({}, SampleOrder::kRewardDown)), ElementsAre(1, 0));
  EXPECT_THAT(Indices(Find({}, SampleOrder::kLengthDown)), ElementsAre(0, 1));
}

TEST_F(RunReaderTest, CutsASearchShortThatTakesTooLong) {
  ASSERT_TRUE(
      store_->WriteStep(MakeStep("train", 1, {.groups = 40, .completions = 40, .tokens = 0})).ok());
  const auto list =
      reader_->FindSamples({.text = "nowhere"}, SampleOrder::kStep, 0, 10, absl::ZeroDuration());
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_TRUE(list->cut_short);
  EXPECT_FALSE(
      reader_->FindSamples({.text = "nowhere"}, SampleOrder::kStep, 0, 10, absl::InfiniteDuration())
          ->cut_short);
}

TEST_F(RunReaderTest, FollowsATaskThroughTheSteps) {
  for (int64_t step = 1; step <= 4; ++step) {
    StepRecord record = MakeStep("train", step);
    record.groups[1].group.task.id = "again";
    ASSERT_TRUE(store_->WriteStep(record).ok());
  }
  const auto history = reader_->TaskHistory("again", 3);
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_THAT(*history, SizeIs(3));
  EXPECT_EQ(history->front().step, 2);
  EXPECT_EQ(history->back().step, 4);
  EXPECT_THAT(history->back().samples, SizeIs(3));
}

TEST_F(RunReaderTest, KeepsGroupsOfStepsWithOneNumberApart) {
  for (const char* phase : {"eval/untrained", "eval/train"}) {
    StepRecord record = MakeStep(phase, 0);
    record.groups[0].group.task.id = "held out";
    ASSERT_TRUE(store_->WriteStep(record).ok());
  }
  const auto history = reader_->TaskHistory("held out", 9);
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_THAT(*history, SizeIs(2));
  EXPECT_EQ(history->front().phase, "eval/untrained");
  EXPECT_THAT(history->front().samples, SizeIs(3));
  EXPECT_THAT(history->back().samples, SizeIs(3));
}

TEST_F(RunReaderTest, GivesMetricsAsColumnsWithHolesAsNaN) {
  ASSERT_TRUE(store_->WriteStep({.step = 1, .metrics = {{"a", 1}}}).ok());
  ASSERT_TRUE(store_->WriteStep({.step = 2}).ok());
  ASSERT_TRUE(store_->WriteStep({.step = 4, .metrics = {{"a", 4}, {"b", 5}}}).ok());
  const auto all = reader_->Metrics("train", 0, {});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(all->steps, ElementsAre(1, 2, 4));
  ASSERT_THAT(all->values, SizeIs(2));
  EXPECT_EQ(all->values.at("a")[0], 1);
  EXPECT_TRUE(std::isnan(all->values.at("a")[1]));
  EXPECT_EQ(all->values.at("a")[2], 4);
  EXPECT_TRUE(std::isnan(all->values.at("b")[0]));
  EXPECT_EQ(all->values.at("b")[2], 5);
  const auto some = reader_->Metrics("train", 1, {"b", "c"});
  EXPECT_THAT(some->steps, ElementsAre(2, 4));
  EXPECT_THAT(some->values, SizeIs(1));
}

TEST_F(RunReaderTest, SeesWhatTheWriterDoesWhileItIsOpen) {
  const int64_t before = *reader_->ChangeCount();
  EXPECT_EQ(reader_->State()->activity, "");
  ASSERT_TRUE(store_
                  ->WriteState({.activity = "generating",
                                .step = 4,
                                .steps = 9,
                                .done = 1,
                                .total = 2,
                                .workers = 3,
                                .left_s = NAN,
                                .detail = "why"})
                  .ok());
  EXPECT_GT(*reader_->ChangeCount(), before);
  const auto state = reader_->State();
  EXPECT_EQ(state->activity, "generating");
  EXPECT_EQ(state->step, 4);
  EXPECT_EQ(state->workers, 3);
  EXPECT_TRUE(std::isnan(state->left_s));
  EXPECT_FALSE(state->written_at.empty());

  ASSERT_TRUE(store_->WriteWorkers({{.name = "w", .role = "rollout", .state = "working"}}).ok());
  ASSERT_TRUE(store_
                  ->WriteWorkers({{.name = "w",
                                   .role = "rollout",
                                   .software = "s 1",
                                   .running = 5,
                                   .busy = 0.25,
                                   .done = 6,
                                   .restarts = 2,
                                   .state = "lost",
                                   .last_words = "why"},
                                  {.name = "a", .role = "learner", .state = "working"}})
                  .ok());
  auto workers = reader_->Workers();
  ASSERT_THAT(*workers, SizeIs(2));
  EXPECT_EQ((*workers)[0].name, "a") << "who is here comes first";
  EXPECT_TRUE(std::isnan((*workers)[0].busy));
  const WorkerRecord& lost = (*workers)[1];
  EXPECT_EQ(lost.state, "lost");
  EXPECT_EQ(lost.running, 5);
  EXPECT_EQ(lost.software, "s 1");
  EXPECT_EQ(lost.busy, 0.25);
  EXPECT_EQ(lost.done, 6);
  EXPECT_EQ(lost.restarts, 2);
  EXPECT_EQ(lost.last_words, "why");
  const std::string seen_at = (*workers)[0].seen_at;
  ASSERT_TRUE(store_->LoseWorkers("no goodbye").ok());
  workers = reader_->Workers();
  for (const WorkerRecord& worker : *workers) {
    EXPECT_FALSE(worker.IsHere());
    EXPECT_EQ(worker.last_words, worker.name == "a" ? "no goodbye" : "why");
    EXPECT_EQ(worker.name == "a" ? worker.seen_at : seen_at, seen_at);
  }
  std::vector<WorkerRecord> many(2 * RunReader::kMostWorkers);
  for (size_t i = 0; i < many.size(); ++i) many[i] = {.name = std::to_string(i), .state = "left"};
  ASSERT_TRUE(store_->WriteWorkers(many).ok());
  EXPECT_THAT(*reader_->Workers(), SizeIs(RunReader::kMostWorkers));

  ASSERT_TRUE(store_->WriteReadings({{"learner", "cpu/percent", 1}, {"learner", "b", 2}}).ok());
  ASSERT_TRUE(store_->WriteReadings({{"learner", "cpu/percent", 3}}).ok());
  const auto readings = reader_->Readings(0, 2);
  ASSERT_THAT(*readings, SizeIs(2));
  EXPECT_EQ((*readings)[0].value, 2);
  EXPECT_EQ((*readings)[1].value, 3);
  EXPECT_THAT(*reader_->Readings((*readings)[1].id, 2), IsEmpty());

  ASSERT_TRUE(store_->WriteEvent({2, "checkpoint", "m"}).ok());
  const auto events = reader_->Events(0);
  ASSERT_THAT(*events, SizeIs(1));
  EXPECT_EQ((*events)[0].event.kind, "checkpoint");
  EXPECT_THAT(*reader_->Events((*events)[0].id), IsEmpty());
  ASSERT_TRUE(store_->WriteStep(MakeStep("train", 1)).ok());
  EXPECT_EQ(reader_->Steps()->at(0).policy_version, 2);
}

TEST_F(RunReaderTest, GivesTheVocabularyBackAndRefusesABrokenOne) {
  EXPECT_THAT(*reader_->Vocabulary(), IsEmpty());
  const std::vector<std::string> pieces = {"a", "", std::string("\0\xff", 2), " the"};
  ASSERT_TRUE(store_->WriteVocabulary(pieces).ok());
  EXPECT_EQ(*reader_->Vocabulary(), pieces);
  auto database = SqliteDatabase::Open(path_, SqliteDatabase::Access::kWrite);
  ASSERT_TRUE((*database)->Execute("UPDATE blobs SET size = size + 1").ok());
  EXPECT_EQ(reader_->Vocabulary().status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE((*database)->Execute("UPDATE blobs SET size = 1 << 60").ok());
  EXPECT_EQ(reader_->Vocabulary().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(DecodeVocabulary(std::string_view("\x05\0\0\0abc", 7)).ok());
  EXPECT_FALSE(DecodeVocabulary(std::string_view("\x05\0", 2)).ok());
}

}  // namespace
}  // namespace ponder
