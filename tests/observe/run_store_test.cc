#include "observe/run_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
#include "observe/blob_codec.h"
#include "observe/run_reader.h"
#include "observe/sqlite.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using Mode = RunStore::Mode;

// The tables of the first schema.
constexpr char kSchemaVersion1[] = R"sql(
CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE steps (
  id INTEGER PRIMARY KEY,
  phase TEXT NOT NULL,
  step INTEGER NOT NULL,
  policy_version INTEGER NOT NULL,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (phase, step)
);

CREATE TABLE metrics (
  step_id INTEGER NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (step_id, name)
) WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  step INTEGER NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  step_id INTEGER NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  task_kind TEXT NOT NULL,
  task_source TEXT NOT NULL,
  question TEXT NOT NULL,
  gold TEXT NOT NULL,
  data TEXT NOT NULL,
  solution TEXT NOT NULL,
  difficulty REAL,
  prompt TEXT NOT NULL,
  prompt_count INTEGER NOT NULL,
  prompt_ids BLOB NOT NULL,
  seed INTEGER NOT NULL,
  temperature REAL,
  UNIQUE (step_id, position)
);
CREATE INDEX groups_by_task ON groups (task_id);

CREATE TABLE completions (
  id INTEGER PRIMARY KEY,
  group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
  sample_index INTEGER NOT NULL,
  finish TEXT NOT NULL,
  text TEXT NOT NULL,
  token_count INTEGER NOT NULL,
  token_ids BLOB NOT NULL,
  sampled_mask BLOB NOT NULL,
  logprobs BLOB NOT NULL,
  entropies BLOB NOT NULL,
  version_count INTEGER NOT NULL,
  versions BLOB NOT NULL,
  status TEXT NOT NULL,
  score REAL,
  extracted TEXT NOT NULL,
  reason TEXT NOT NULL,
  elapsed_us INTEGER NOT NULL,
  reward REAL,
  advantage REAL,
  UNIQUE (group_id, sample_index)
);
CREATE INDEX completions_by_status ON completions (status);

CREATE TABLE parts (
  completion_id INTEGER NOT NULL REFERENCES completions (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('verdict', 'reward')),
  name TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (completion_id, kind, name)
) WITHOUT ROWID;

CREATE VIEW samples AS
SELECT c.id AS sample, s.phase, s.step, g.task_id, c.sample_index, c.status, c.reward, c.advantage,
       c.token_count, c.finish, g.gold, c.extracted, g.question, c.text
FROM completions c JOIN groups g ON g.id = c.group_id JOIN steps s ON s.id = g.step_id;
)sql";

class RunStoreTest : public ::testing::Test {
 protected:
  RunStoreTest() : directory_(FreshDirectory()), path_(directory_ + "/run.db") {}
  ~RunStoreTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<RunStore> Open(Mode mode) {
    absl::StatusOr<std::unique_ptr<RunStore>> store = RunStore::Open(path_, mode);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Another hand in the file.
  void Sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(database);
  }

  const std::string directory_, path_;
};

TEST_F(RunStoreTest, GivesBackEveryFieldOfEveryCompletion) {
  const StepRecord record = MakeStep("train", 1, {.groups = 3, .completions = 4, .tokens = 50});
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  for (const Mode mode : {Mode::kAppend, Mode::kRead}) {
    store.reset();
    store = Open(mode);
    const auto completions = store->ReadCompletions("train", 1);
    ASSERT_TRUE(completions.ok()) << completions.status();
    ExpectHolds(*completions, record);
    const auto one = store->ReadCompletion((*completions)[5].rowid);
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_EQ(one->completion, (*completions)[5].completion);
    EXPECT_EQ(one->reward, (*completions)[5].reward);
    EXPECT_EQ(one->verdict, (*completions)[5].verdict);
    EXPECT_EQ(one->step, 1);
  }
  EXPECT_EQ(store->ReadCompletion(1000).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->ReadCompletions("train", 2)->empty());
  EXPECT_TRUE(store->ReadCompletions("eval", 1)->empty());
}

TEST_F(RunStoreTest, KeepsTextOfAnyBytes) {
  StepRecord record = MakeStep("train", 1, {.groups = 1, .completions = 1, .tokens = 3});
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  Task& task = record.groups[0].group.task;
  task.id = task.question = task.data = every;
  task.gold = std::string("\0", 1);
  record.groups[0].group.prompt = "\xf0\x28\x8c\x28";
  record.groups[0].group.completions[0].text = every + every;
  record.groups[0].verdicts[0].extracted = "\xff\xfe";
  record.groups[0].verdicts[0].reason = "";
  record.groups[0].verdicts[0].parts = {{std::string("a\0b", 3), 1.0}, {"\xff", 2.0}, {"", 3.0}};
  record.metrics[every] = 4;
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  ASSERT_TRUE(store->WriteEvent({1, every, every}).ok());
  ASSERT_TRUE(store->SetInfo(every, every).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), record);
  EXPECT_EQ(store->ReadEvents()->at(0).message, every);
  EXPECT_EQ(store->GetInfo(every)->value(), every);
  const auto metrics = store->ReadMetrics("train");
  EXPECT_TRUE(std::any_of(metrics->begin(), metrics->end(),
                          [&](const StoredMetric& m) { return m.name == every && m.value == 4; }));
}

TEST_F(RunStoreTest, KeepsNumbersThatAreNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  StepRecord record = MakeStep("train", 1, {.groups = 1, .completions = 1, .tokens = 2});
  record.metrics = {{"a", NAN}, {"b", kInfinity}, {"c", -kInfinity}, {"d", -0.0}, {"e", 5e-324}};
  record.groups[0].group.completions[0].logprobs = {-std::numeric_limits<float>::infinity(), NAN};
  record.groups[0].rewards[0].total = NAN;
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  const auto metrics = store->ReadMetrics("train");
  ASSERT_EQ(metrics->size(), 5u);
  EXPECT_TRUE(std::isnan((*metrics)[0].value));
  EXPECT_EQ((*metrics)[1].value, kInfinity);
  EXPECT_EQ((*metrics)[2].value, -kInfinity);
  EXPECT_EQ((*metrics)[4].value, 5e-324);
  const auto completions = store->ReadCompletions("train", 1);
  ASSERT_TRUE(completions.ok()) << completions.status();
  EXPECT_TRUE(std::isinf((*completions)[0].completion.logprobs[0]));
  EXPECT_TRUE(std::isnan((*completions)[0].completion.logprobs[1]));
  EXPECT_TRUE(std::isnan((*completions)[0].reward.total));
}

TEST_F(RunStoreTest, TakesStepsWithoutVerdictsAndCompletionsWithoutTokens) {
  StepRecord record = MakeStep("sft", 1, {.groups = 1, .completions = 2, .tokens = 0});
  record.groups[0].verdicts.clear();
  record.groups[0].rewards.clear();
  record.groups[0].advantages.clear();
  record.groups[0].group.prompt_ids.clear();
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  ASSERT_TRUE(store->WriteStep({.step = 2, .phase = "sft"}).ok());
  const auto completions = store->ReadCompletions("sft", 1);
  ASSERT_TRUE(completions.ok()) << completions.status();
  ASSERT_EQ(completions->size(), 2u);
  EXPECT_EQ((*completions)[1].verdict, Verdict());
  EXPECT_EQ((*completions)[1].reward, Reward());
  EXPECT_TRUE((*completions)[1].completion.token_ids.empty());
  EXPECT_EQ(*store->LastStep("sft"), 2);
}

TEST_F(RunStoreTest, KeepsWhatTheClipDidToEachToken) {
  StepRecord record = MakeStep("train", 1, {.groups = 2, .completions = 2, .tokens = 3});
  record.clips = {{{}, {0, -1, 1}}, {}};
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(record).ok());
  const auto completions = store->ReadCompletions("train", 1);
  ASSERT_TRUE(completions.ok()) << completions.status();
  EXPECT_TRUE((*completions)[0].clips.empty());
  EXPECT_EQ((*completions)[1].clips, (std::vector<int8_t>{0, -1, 1}));
  EXPECT_TRUE((*completions)[2].clips.empty());
}

// A store of schema 1 with what `record` holds, as that program wrote it.
void WriteVersion1(const std::string& path, const StepRecord& record) {
  auto database = SqliteDatabase::Open(path, SqliteDatabase::Access::kCreate);
  ASSERT_TRUE(database.ok());
  ASSERT_TRUE((*database)->Execute(kSchemaVersion1).ok());
  const auto run = [&](const char* sql, const auto&... values) {
    auto statement = (*database)->Prepare(sql);
    ASSERT_TRUE(statement.ok()) << statement.status();
    const absl::Status status = statement->Run(values...);
    ASSERT_TRUE(status.ok()) << status;
  };
  const auto plain = [](const auto& values) {
    return CompressBlob(
        {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0])});
  };
  run("INSERT INTO info VALUES ('model', 'a')");
  run("INSERT INTO events (step, kind, message) VALUES (1, 'resumed', 'again')");
  run("INSERT INTO steps (id, phase, step, policy_version) VALUES (7, ?, ?, 2)", record.phase,
      record.step);
  run("INSERT INTO metrics VALUES (7, 'reward/mean', 0.5)");
  int64_t id = 20;
  for (size_t g = 0; g < record.groups.size(); ++g) {
    const ScoredGroup& scored = record.groups[g];
    const Group& group = scored.group;
    const Task& task = group.task;
    const auto group_id = static_cast<int64_t>(30 + g);
    run("INSERT INTO groups VALUES (?, 7, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", group_id,
        static_cast<int64_t>(g), task.id, task.kind, task.source, task.question, task.gold,
        task.data, task.solution, task.difficulty, group.prompt,
        static_cast<int64_t>(group.prompt_ids.size()), SqliteBlob{plain(group.prompt_ids)},
        static_cast<int64_t>(group.seed), static_cast<double>(group.temperature));
    for (size_t c = 0; c < group.completions.size(); ++c, ++id) {
      const Completion& one = group.completions[c];
      const Verdict& verdict = scored.verdicts[c];
      run("INSERT INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
          "?)",
          id, group_id, one.sample_index, ToString(one.finish), one.text,
          static_cast<int64_t>(one.token_ids.size()), SqliteBlob{plain(one.token_ids)},
          SqliteBlob{plain(one.sampled_mask)}, SqliteBlob{plain(one.logprobs)},
          SqliteBlob{plain(one.entropies)}, static_cast<int64_t>(one.versions.size()),
          SqliteBlob{plain(one.versions)}, ToString(verdict.status), verdict.score,
          verdict.extracted, verdict.reason, verdict.elapsed_us, scored.rewards[c].total,
          static_cast<double>(scored.advantages[c]));
      for (const auto& [name, value] : verdict.parts) {
        run("INSERT INTO parts VALUES (?, 'verdict', ?, ?)", id, name, value);
      }
      for (const auto& [name, value] : scored.rewards[c].parts) {
        run("INSERT INTO parts VALUES (?, 'reward', ?, ?)", id, name, value);
      }
    }
  }
  ASSERT_TRUE(
      (*database)->Execute("PRAGMA application_id = 0x506f6e64; PRAGMA user_version = 1").ok());
}

TEST_F(RunStoreTest, BringsAStoreOfTheFirstSchemaUpToDate) {
  const StepRecord record = MakeStep("train", 1, {.groups = 2, .completions = 3, .tokens = 20});
  for (const Mode mode : {Mode::kRead, Mode::kAppend}) {
    std::filesystem::remove(path_);
    WriteVersion1(path_, record);
    auto store = Open(mode);
    ASSERT_NE(store, nullptr);
    ExpectHolds(*store->ReadCompletions("train", 1), record);
    EXPECT_EQ(store->ReadCompletions("train", 1)->front().rowid, 20);
    EXPECT_EQ(store->GetInfo("model")->value(), "a");
    EXPECT_EQ(store->ReadEvents()->at(0).kind, "resumed");
    EXPECT_EQ(store->ReadMetrics("train")->at(0).value, 0.5);
    EXPECT_EQ(store->WriteEvent({2, "resumed", ""}).ok(), mode == Mode::kAppend);
    store.reset();
    store = Open(Mode::kAppend);
    EXPECT_TRUE(store->WriteStep(MakeStep("train", 2)).ok());
    ExpectHolds(*store->ReadCompletions("train", 2), MakeStep("train", 2));
    EXPECT_TRUE(store->TruncateAfter("train", 0).ok());
    EXPECT_TRUE(store->ReadCompletions("train", 1)->empty());
  }
}

TEST_F(RunStoreTest, BringsAStoreWithoutTheLoadOfWorkersUpToDate) {
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  ASSERT_TRUE(store->WriteWorkers({{.name = "w", .role = "rollout", .state = "working"}}).ok());
  store.reset();
  for (const char* column : {"software", "busy", "done", "restarts"}) {
    Sql(fmt::format("ALTER TABLE workers DROP COLUMN {}", column));
  }
  Sql("PRAGMA user_version = 3");
  auto reader = RunReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const std::vector<WorkerRecord> workers = *(*reader)->Workers();
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(workers[0].state, "working");
  EXPECT_EQ(workers[0].done, 0);
  EXPECT_TRUE(std::isnan(workers[0].busy));
  store = Open(Mode::kAppend);
  EXPECT_TRUE(store->WriteWorkers({{.name = "w", .done = 5, .state = "left"}}).ok());
  EXPECT_EQ((*reader)->Workers()->at(0).done, 5);
  ExpectHolds(*store->ReadCompletions("train", 1), MakeStep("train", 1));
}

TEST_F(RunStoreTest, WritesAStepOfAPhaseOnce) {
  auto store = Open(Mode::kCreate);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  const absl::Status again = store->WriteStep(MakeStep("train", 1));
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.message()), HasSubstr("step 1 of phase \"train\""));
  EXPECT_TRUE(store->WriteStep(MakeStep("eval", 1)).ok());
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 2)).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), MakeStep("train", 1));
}

TEST_F(RunStoreTest, LeavesNothingOfAStepThatIsRefused) {
  auto store = Open(Mode::kCreate);
  StepRecord record = MakeStep("train", 1);
  record.groups.back().group.completions.back().sample_index = 0;
  const absl::Status status = store->WriteStep(record);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*store->LastStep("train"), 0);
  EXPECT_TRUE(store->ReadMetrics("train")->empty());
  EXPECT_TRUE(store->ReadCompletions("train", 1)->empty());
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
  ExpectHolds(*store->ReadCompletions("train", 1), MakeStep("train", 1));
}

TEST_F(RunStoreTest, ForgetsTheStepsOfAPhaseBehindAPointAndWritesThemAgainUnderTheSameNumbers) {
  auto store = Open(Mode::kCreate);
  for (int64_t step = 1; step <= 4; ++step) {
    ASSERT_TRUE(store->WriteStep(MakeStep("train", step)).ok());
  }
  const int64_t sample = store->ReadCompletions("train", 3)->front().rowid;
  ASSERT_TRUE(store->TruncateAfter("train", 2).ok());
  EXPECT_EQ(*store->LastStep("train"), 2);
  EXPECT_TRUE(store->ReadCompletions("train", 3)->empty());
  EXPECT_EQ(store->ReadCompletion(sample).status().code(), absl::StatusCode::kNotFound);
  const auto metrics = store->ReadMetrics("train");
  EXPECT_EQ(metrics->size(), 4u);
  EXPECT_EQ(metrics->back().step, 2);
  ASSERT_TRUE(store->WriteStep(MakeStep("train", 3)).ok());
  EXPECT_EQ(store->ReadCompletions("train", 3)->front().rowid, sample);
  ExpectHolds(*store->ReadCompletions("train", 3), MakeStep("train", 3));
}

TEST_F(RunStoreTest, KeepsMetricsEventsAndInfoInOrder) {
  auto store = Open(Mode::kCreate);
  EXPECT_EQ(*store->LastStep("train"), 0);
  ASSERT_TRUE(store->WriteStep({.step = 2, .metrics = {{"b", 4}, {"a", 3}}}).ok());
  ASSERT_TRUE(store->WriteStep({.step = 1, .metrics = {{"a", 0.1}}}).ok());
  const auto metrics = store->ReadMetrics("train");
  ASSERT_EQ(metrics->size(), 3u);
  EXPECT_EQ((*metrics)[0].step, 1);
  EXPECT_EQ((*metrics)[0].value, 0.1);
  EXPECT_EQ((*metrics)[1].name, "a");
  EXPECT_EQ((*metrics)[2].name, "b");

  ASSERT_TRUE(store->WriteEvent({5, "checkpoint", "first"}).ok());
  ASSERT_TRUE(store->WriteEvent({3, "resumed", "second"}).ok());
  const auto events = store->ReadEvents();
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].step, 5);
  EXPECT_EQ((*events)[1].kind, "resumed");

  EXPECT_EQ(*store->GetInfo("model"), std::nullopt);
  ASSERT_TRUE(store->SetInfo("model", "a").ok());
  ASSERT_TRUE(store->SetInfo("model", "b").ok());
  EXPECT_EQ(store->GetInfo("model")->value(), "b");
}

TEST_F(RunStoreTest, OpensWhatTheModeSaysOnly) {
  EXPECT_EQ(RunStore::Open(path_, Mode::kAppend).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunStore::Open(path_, Mode::kRead).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
  Open(Mode::kCreate);
  EXPECT_EQ(RunStore::Open(path_, Mode::kCreate).status().code(), absl::StatusCode::kAlreadyExists);
  auto reader = Open(Mode::kRead);
  for (const absl::Status& status :
       {reader->WriteStep(MakeStep("train", 1)), reader->WriteEvent({}), reader->SetInfo("a", "b"),
        reader->TruncateAfter("train", 0)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  }
  EXPECT_FALSE(RunStore::Open(directory_ + "/missing/run.db", Mode::kCreate).ok());
}

TEST_F(RunStoreTest, MakesAStoreWhereItsMakerDiedBeforeTheFirstCommit) {
  Sql("PRAGMA journal_mode = WAL");  // a header without tables
  ASSERT_TRUE(std::filesystem::exists(path_));
  auto store = Open(Mode::kCreate);
  EXPECT_TRUE(store->WriteStep(MakeStep("train", 1)).ok());
}

TEST_F(RunStoreTest, RefusesOtherSchemasAndOtherFiles) {
  Open(Mode::kCreate);
  Sql("PRAGMA user_version = 99");
  for (const Mode mode : {Mode::kAppend, Mode::kRead}) {
    const absl::Status status = RunStore::Open(path_, mode).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("version 99, this program reads version"));
  }
  Sql("PRAGMA application_id = 7");
  EXPECT_THAT(std::string(RunStore::Open(path_, Mode::kRead).status().message()),
              HasSubstr("not a run store"));
  std::filesystem::remove(path_);
  ASSERT_TRUE(WriteFileAtomically(path_, std::string(8192, 'x')).ok());
  EXPECT_EQ(RunStore::Open(path_, Mode::kAppend).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(RunStore::Open(path_, Mode::kCreate).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RunStoreTest, CallsBrokenRowsDataLoss) {
  Open(Mode::kCreate)->WriteStep(MakeStep("train", 1)).IgnoreError();
  for (const char* damage : {
           "UPDATE tokens SET token_ids = x'00112233'",
           "UPDATE tokens SET token_ids = substr(token_ids, 1, length(token_ids) - 1)",
           "UPDATE tokens SET logprobs = sampled_mask",
           "UPDATE completions SET token_count = token_count + 1",
           "UPDATE completions SET token_count = -1",
           "UPDATE completions SET token_count = 9223372036854775807",
           "UPDATE tokens SET versions = token_ids",
           "UPDATE tokens SET clips = token_ids",
           "UPDATE tokens SET logprobs = x'51' || substr(logprobs, 2)",
           "UPDATE tokens SET entropies = 'text'",
           "UPDATE completions SET status = 'PERHAPS'",
           "UPDATE completions SET finish = ''",
           "UPDATE groups SET prompt_ids = x'28b52ffd'",
           "UPDATE groups SET prompt_count = 1000000000000",
       }) {
    std::filesystem::copy_file(path_, path_ + ".whole",
                               std::filesystem::copy_options::overwrite_existing);
    Sql(damage);
    auto store = Open(Mode::kRead);
    const absl::Status status = store->ReadCompletions("train", 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << damage << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("run.db: sample 1: ")) << damage;
    EXPECT_EQ(store->ReadCompletion(1).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(store->ReadMetrics("train").ok());  // the rest stays readable
    store.reset();
    std::filesystem::rename(path_ + ".whole", path_);
  }
}

TEST_F(RunStoreTest, NeverCrashesOnADamagedFile) {
  Open(Mode::kCreate)->WriteStep(MakeStep("train", 1)).IgnoreError();
  const std::string whole = *ReadFile(path_);
  ASSERT_GT(whole.size(), 20000u);
  int broken = 0;
  for (size_t i = 0; i < 60; ++i) {
    std::string damaged = whole;
    if (i < 20) damaged.resize(whole.size() * i / 20);
    for (size_t at = 100 + i * 37; i >= 20 && at < damaged.size(); at += 4001) damaged[at] ^= 0x5a;
    ASSERT_TRUE(WriteFileAtomically(path_, damaged).ok());
    const auto store = RunStore::Open(path_, Mode::kRead);
    if (!store.ok()) {
      ++broken;
      continue;
    }
    const auto completions = (*store)->ReadCompletions("train", 1);
    broken += !completions.ok() || !(*store)->ReadMetrics("train").ok();
  }
  EXPECT_GT(broken, 20);
}

TEST_F(RunStoreTest, LetsReadersSeeWholeStepsWhileItWrites) {
  auto writer = Open(Mode::kCreate);
  ASSERT_TRUE(writer->WriteStep(MakeStep("train", 1)).ok());
  auto reader = Open(Mode::kRead);
  for (int64_t step = 2; step <= 5; ++step) {
    EXPECT_EQ(*reader->LastStep("train"), step - 1);
    ASSERT_TRUE(writer->WriteStep(MakeStep("train", step)).ok());
    ExpectHolds(*reader->ReadCompletions("train", step), MakeStep("train", step));
  }
}

}  // namespace
}  // namespace ponder
