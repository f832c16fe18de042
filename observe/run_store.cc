#include "observe/run_store.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "observe/blob_codec.h"
#include "observe/completion_rows.h"
#include "observe/run_database.h"
#include "observe/run_store_schema.h"
#include "observe/sqlite.h"
#include "observe/vocabulary_blob.h"

namespace ponder {
namespace {

class SqliteRunStore : public RunStore {
 public:
  SqliteRunStore(std::unique_ptr<SqliteDatabase> database, Mode mode, CompletionRows rows)
      : database_(std::move(database)), mode_(mode), rows_(std::move(rows)) {}

  absl::Status Prepare();

  absl::Status SetInfo(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) override;
  absl::Status WriteStep(StepRecord record) override;
  absl::Status WriteEvent(const EventRecord& event) override;
  absl::Status WriteState(const RunState& state) override;
  absl::Status WriteWorkers(const std::vector<WorkerRecord>& workers) override;
  absl::Status LoseWorkers(const std::string& last_words) override {
    return WriteRow(kLoseWorkers, last_words);
  }
  absl::Status WriteReadings(const std::vector<Reading>& readings) override;
  absl::Status WriteVocabulary(const std::vector<std::string>& pieces) override;
  absl::Status TruncateAfter(const std::string& phase, int64_t step) override;
  absl::StatusOr<int64_t> LastStep(const std::string& phase) override;
  absl::StatusOr<std::vector<StoredMetric>> ReadMetrics(const std::string& phase) override;
  absl::StatusOr<std::vector<EventRecord>> ReadEvents() override;
  absl::StatusOr<std::vector<StoredCompletion>> ReadCompletions(const std::string& phase,
                                                                int64_t step) override;
  absl::StatusOr<StoredCompletion> ReadCompletion(int64_t rowid) override;
  absl::StatusOr<std::vector<StoredCompletion>> ReadMarked(const std::string& phase,
                                                           const std::string& prefix,
                                                           const std::string& suffix,
                                                           int64_t limit) override;

 private:
  absl::StatusOr<SqliteTransaction> BeginWrite();
  absl::Status Commit(SqliteTransaction& transaction);
  template <typename... Args>
  absl::Status WriteRow(std::string_view sql, const Args&... args);
  absl::Status WriteGroup(int64_t step_id, int64_t position, const ScoredGroup& scored,
                          const std::vector<std::vector<int8_t>>& clips);
  absl::Status WriteCompletion(int64_t group_id, const Completion& completion,
                               const Verdict& verdict, const Reward& reward, float advantage,
                               const std::vector<int8_t>& clips);
  absl::Status WriteParts(int64_t completion_id, std::string_view kind,
                          const std::map<std::string, double>& parts);

  // Declared first, so that the statements are finalised before it is closed.
  std::unique_ptr<SqliteDatabase> database_;
  const Mode mode_;
  SqliteStatement insert_step_, insert_metric_, insert_group_, insert_completion_, insert_tokens_,
      insert_part_, count_change_;
  CompletionRows rows_;
};

absl::Status SqliteRunStore::Prepare() {
  const auto prepare = [this](SqliteStatement& statement, std::string_view sql) -> absl::Status {
    PONDER_ASSIGN_OR_RETURN(statement, database_->Prepare(sql));
    return absl::OkStatus();
  };
  if (mode_ == Mode::kRead) return absl::OkStatus();
  PONDER_RETURN_IF_ERROR(prepare(insert_step_, kInsertStep));
  PONDER_RETURN_IF_ERROR(prepare(insert_metric_, kInsertMetric));
  PONDER_RETURN_IF_ERROR(prepare(insert_group_, kInsertGroup));
  PONDER_RETURN_IF_ERROR(prepare(insert_completion_, kInsertCompletion));
  PONDER_RETURN_IF_ERROR(prepare(insert_tokens_, kInsertTokens));
  PONDER_RETURN_IF_ERROR(prepare(count_change_, kCountChange));
  return prepare(insert_part_, kInsertPart);
}

absl::StatusOr<SqliteTransaction> SqliteRunStore::BeginWrite() {
  if (mode_ == Mode::kRead) {
    return FailedPrecondition("{} was opened for reading only", database_->Path());
  }
  return SqliteTransaction::Begin(*database_, "BEGIN IMMEDIATE");
}

// One statement in a transaction of its own.
template <typename... Args>
absl::Status SqliteRunStore::WriteRow(std::string_view sql, const Args&... args) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction, BeginWrite());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(sql));
  PONDER_RETURN_IF_ERROR(statement.Run(args...));
  return Commit(transaction);
}

absl::Status SqliteRunStore::SetInfo(const std::string& key, const std::string& value) {
  return WriteRow(kUpsertInfo, key, value);
}

absl::StatusOr<std::optional<std::string>> SqliteRunStore::GetInfo(const std::string& key) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement,
                          database_->Prepare("SELECT value FROM info WHERE key = ?"));
  statement.Bind(key);
  PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? std::optional<std::string>(statement.Text(0)) : std::nullopt;
}

absl::Status SqliteRunStore::WriteStep(StepRecord record) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction, BeginWrite());
  if (absl::Status status = insert_step_.Run(record.phase, record.step, record.policy_version);
      absl::IsAlreadyExists(status)) {
    return absl::AlreadyExistsError(fmt::format("{} already holds step {} of phase \"{}\"",
                                                database_->Path(), record.step, record.phase));
  } else if (!status.ok()) {
    return status;
  }
  const int64_t step_id = database_->LastRowId();
  for (const auto& [name, value] : record.metrics) {
    PONDER_RETURN_IF_ERROR(insert_metric_.Run(step_id, name, value));
  }
  for (size_t i = 0; i < record.groups.size(); ++i) {
    const absl::Status status =
        WriteGroup(step_id, static_cast<int64_t>(i), record.groups[i],
                   record.clips.empty() ? std::vector<std::vector<int8_t>>() : record.clips[i]);
    // Only the step itself may answer ALREADY_EXISTS: a caller takes that for "written before".
    if (absl::IsAlreadyExists(status)) {
      return InvalidArgument("group {} of step {} holds a sample index twice: {}", i, record.step,
                             status.message());
    }
    PONDER_RETURN_IF_ERROR(status);
  }
  return Commit(transaction);
}

// Readers see by the count that there is something new.
absl::Status SqliteRunStore::Commit(SqliteTransaction& transaction) {
  PONDER_RETURN_IF_ERROR(count_change_.Run());
  return transaction.Commit();
}

absl::Status SqliteRunStore::WriteGroup(int64_t step_id, int64_t position,
                                        const ScoredGroup& scored,
                                        const std::vector<std::vector<int8_t>>& clips) {
  const Group& group = scored.group;
  const Task& task = group.task;
  const size_t count = group.completions.size();
  // Evaluation has no advantages, supervised steps no verdicts: an empty list stands for defaults.
  const auto fits = [count](size_t size) { return size == count || size == 0; };
  PONDER_CHECK(fits(scored.verdicts.size()) && fits(scored.rewards.size()) &&
               fits(scored.advantages.size()) && fits(clips.size()));
  PONDER_RETURN_IF_ERROR(insert_group_.Run(
      step_id, position, task.id, task.kind, task.source, task.question, task.gold, task.data,
      task.solution, task.difficulty, group.prompt, static_cast<int64_t>(group.prompt_ids.size()),
      SqliteBlob{EncodeBlob<int32_t>(group.prompt_ids)}, std::bit_cast<int64_t>(group.seed),
      static_cast<double>(group.temperature)));
  const int64_t group_id = database_->LastRowId();
  for (size_t i = 0; i < count; ++i) {
    PONDER_RETURN_IF_ERROR(WriteCompletion(group_id, group.completions[i],
                                           scored.verdicts.empty() ? Verdict() : scored.verdicts[i],
                                           scored.rewards.empty() ? Reward() : scored.rewards[i],
                                           scored.advantages.empty() ? 0.0f : scored.advantages[i],
                                           clips.empty() ? std::vector<int8_t>() : clips[i]));
  }
  return absl::OkStatus();
}

absl::Status SqliteRunStore::WriteCompletion(int64_t group_id, const Completion& completion,
                                             const Verdict& verdict, const Reward& reward,
                                             float advantage, const std::vector<int8_t>& clips) {
  const size_t tokens = completion.token_ids.size();
  const auto fits = [tokens](size_t size) { return size == tokens || size == 0; };
  PONDER_CHECK(static_cast<int64_t>(tokens) <= kMaxStoredTokens);
  PONDER_CHECK(fits(completion.sampled_mask.size()) && fits(completion.logprobs.size()) &&
               fits(completion.entropies.size()) && fits(clips.size()));
  static_assert(sizeof(VersionSpan) == 2 * sizeof(int64_t));
  const int64_t clipped =
      std::count_if(clips.begin(), clips.end(), [](int8_t c) { return c != 0; });
  PONDER_RETURN_IF_ERROR(insert_completion_.Run(
      group_id, completion.sample_index, ToString(completion.finish), static_cast<int64_t>(tokens),
      clipped, static_cast<int64_t>(completion.versions.size()), ToString(verdict.status),
      verdict.score, verdict.elapsed_us, reward.total, static_cast<double>(advantage),
      verdict.extracted, verdict.reason, completion.text));
  const int64_t completion_id = database_->LastRowId();
  PONDER_RETURN_IF_ERROR(
      insert_tokens_.Run(completion_id, SqliteBlob{EncodeBlob<int32_t>(completion.token_ids)},
                         SqliteBlob{EncodeBlob<uint8_t>(completion.sampled_mask)},
                         SqliteBlob{EncodeBlob<float>(completion.logprobs)},
                         SqliteBlob{EncodeBlob<float>(completion.entropies)},
                         SqliteBlob{clipped == 0 ? "" : EncodeBlob<int8_t>(clips)},
                         SqliteBlob{EncodeBlob<VersionSpan>(completion.versions)}));
  PONDER_RETURN_IF_ERROR(WriteParts(completion_id, "verdict", verdict.parts));
  return WriteParts(completion_id, "reward", reward.parts);
}

absl::Status SqliteRunStore::WriteParts(int64_t completion_id, std::string_view kind,
                                        const std::map<std::string, double>& parts) {
  for (const auto& [name, value] : parts) {
    PONDER_RETURN_IF_ERROR(insert_part_.Run(completion_id, kind, name, value));
  }
  return absl::OkStatus();
}

absl::Status SqliteRunStore::WriteEvent(const EventRecord& event) {
  return WriteRow(kInsertEvent, event.step, event.kind, event.message);
}

absl::Status SqliteRunStore::WriteState(const RunState& state) {
  return WriteRow(kReplaceState, state.activity, state.step, state.steps, state.done, state.total,
                  state.workers, state.left_s, state.detail);
}

absl::Status SqliteRunStore::WriteWorkers(const std::vector<WorkerRecord>& workers) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction, BeginWrite());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(kUpsertWorker));
  for (const WorkerRecord& worker : workers) {
    PONDER_RETURN_IF_ERROR(statement.Run(worker.name, worker.role, worker.software, worker.address,
                                         worker.numerics, worker.policy_version, worker.running,
                                         worker.waiting, worker.busy, worker.done, worker.restarts,
                                         worker.state, worker.last_words));
  }
  return Commit(transaction);
}

absl::Status SqliteRunStore::WriteReadings(const std::vector<Reading>& readings) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction, BeginWrite());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(kInsertReading));
  for (const Reading& reading : readings) {
    PONDER_RETURN_IF_ERROR(statement.Run(reading.source, reading.name, reading.value));
  }
  return Commit(transaction);
}

absl::Status SqliteRunStore::WriteVocabulary(const std::vector<std::string>& pieces) {
  const std::string bytes = EncodeVocabulary(pieces);
  return WriteRow(kUpsertBlob, kVocabularyKey, static_cast<int64_t>(bytes.size()),
                  SqliteBlob{CompressBlob(bytes)});
}

absl::Status SqliteRunStore::TruncateAfter(const std::string& phase, int64_t step) {
  return WriteRow("DELETE FROM steps WHERE phase = ? AND step > ?", phase, step);
}

absl::StatusOr<int64_t> SqliteRunStore::LastStep(const std::string& phase) {
  PONDER_ASSIGN_OR_RETURN(
      SqliteStatement statement,
      database_->Prepare("SELECT coalesce(max(step), 0) FROM steps WHERE phase = ?"));
  statement.Bind(phase);
  PONDER_RETURN_IF_ERROR(statement.Step().status());
  return statement.Integer(0);
}

absl::StatusOr<std::vector<StoredMetric>> SqliteRunStore::ReadMetrics(const std::string& phase) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(kSelectMetrics));
  statement.Bind(phase);
  std::vector<StoredMetric> metrics;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return metrics;
    metrics.push_back({statement.Integer(0), statement.Text(1), statement.Number(2)});
  }
}

absl::StatusOr<std::vector<EventRecord>> SqliteRunStore::ReadEvents() {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement,
                          database_->Prepare("SELECT step, kind, message FROM events ORDER BY id"));
  std::vector<EventRecord> events;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return events;
    events.push_back({statement.Integer(0), statement.Text(1), statement.Text(2)});
  }
}

absl::StatusOr<std::vector<StoredCompletion>> SqliteRunStore::ReadCompletions(
    const std::string& phase, int64_t step) {
  return rows_.Read("WHERE s.phase = ? AND s.step = ? ORDER BY g.position, c.id", phase, step);
}

absl::StatusOr<StoredCompletion> SqliteRunStore::ReadCompletion(int64_t rowid) {
  return rows_.ReadOne(rowid);
}

absl::StatusOr<std::vector<StoredCompletion>> SqliteRunStore::ReadMarked(const std::string& phase,
                                                                         const std::string& prefix,
                                                                         const std::string& suffix,
                                                                         int64_t limit) {
  return rows_.Read(kWhereMarked, phase, prefix, suffix, limit);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunStore>> RunStore::Open(const std::string& path, Mode mode) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                          OpenRunDatabase(path, mode == Mode::kCreate   ? RunDatabaseMode::kCreate
                                                : mode == Mode::kAppend ? RunDatabaseMode::kAppend
                                                                        : RunDatabaseMode::kRead));
  PONDER_ASSIGN_OR_RETURN(CompletionRows rows, CompletionRows::Create(*database));
  auto store = std::make_unique<SqliteRunStore>(std::move(database), mode, std::move(rows));
  PONDER_RETURN_IF_ERROR(store->Prepare());
  return store;
}

}  // namespace ponder
