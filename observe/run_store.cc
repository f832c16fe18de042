#include "observe/run_store.h"

#include <bit>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "observe/blob_codec.h"
#include "observe/run_store_schema.h"
#include "observe/sqlite.h"

namespace ponder {
namespace {

// Longer than any context of today's models; a corrupt count asks for no more memory than this.
constexpr int64_t kMaxTokens = int64_t{1} << 24;

template <typename Enum>
absl::StatusOr<Enum> ParseEnum(std::string_view text, Enum last) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (ToString(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  }
  return DataLoss("unknown value \"{}\"", text.substr(0, 40));
}

absl::StatusOr<int64_t> TokenCount(int64_t count) {
  if (count < 0 || count > kMaxTokens) {
    return DataLoss("expected a length from 0 to {} tokens, found {}", kMaxTokens, count);
  }
  return count;
}

class SqliteRunStore : public RunStore {
 public:
  SqliteRunStore(std::unique_ptr<SqliteDatabase> database, Mode mode)
      : database_(std::move(database)), mode_(mode) {}

  absl::Status Prepare();

  absl::Status SetInfo(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) override;
  absl::Status WriteStep(const StepRecord& record) override;
  absl::Status WriteEvent(const EventRecord& event) override;
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
  absl::Status CheckWritable() const;
  absl::Status WriteGroup(int64_t step_id, int64_t position, const ScoredGroup& scored);
  absl::Status WriteCompletion(int64_t group_id, const Completion& completion,
                               const Verdict& verdict, const Reward& reward, float advantage);
  absl::Status WriteParts(int64_t completion_id, std::string_view kind,
                          const std::map<std::string, double>& parts);
  absl::Status ReadParts(StoredCompletion& stored);
  absl::StatusOr<std::vector<StoredCompletion>> ReadRows(SqliteStatement& statement);
  absl::StatusOr<StoredCompletion> ReadRow(const SqliteStatement& row);

  // Declared first, so that the statements are finalised before it is closed.
  std::unique_ptr<SqliteDatabase> database_;
  const Mode mode_;
  SqliteStatement insert_step_, insert_metric_, insert_group_, insert_completion_, insert_part_;
  SqliteStatement select_parts_;
};

absl::Status SqliteRunStore::Prepare() {
  const auto prepare = [this](SqliteStatement& statement, std::string_view sql) -> absl::Status {
    PONDER_ASSIGN_OR_RETURN(statement, database_->Prepare(sql));
    return absl::OkStatus();
  };
  PONDER_RETURN_IF_ERROR(prepare(select_parts_, kSelectParts));
  if (mode_ == Mode::kRead) return absl::OkStatus();
  PONDER_RETURN_IF_ERROR(prepare(insert_step_, kInsertStep));
  PONDER_RETURN_IF_ERROR(prepare(insert_metric_, kInsertMetric));
  PONDER_RETURN_IF_ERROR(prepare(insert_group_, kInsertGroup));
  PONDER_RETURN_IF_ERROR(prepare(insert_completion_, kInsertCompletion));
  return prepare(insert_part_, kInsertPart);
}

absl::Status SqliteRunStore::CheckWritable() const {
  if (mode_ != Mode::kRead) return absl::OkStatus();
  return FailedPrecondition("{} was opened for reading only", database_->Path());
}

absl::Status SqliteRunStore::SetInfo(const std::string& key, const std::string& value) {
  PONDER_RETURN_IF_ERROR(CheckWritable());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(kUpsertInfo));
  return statement.Run(key, value);
}

absl::StatusOr<std::optional<std::string>> SqliteRunStore::GetInfo(const std::string& key) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement,
                          database_->Prepare("SELECT value FROM info WHERE key = ?"));
  statement.Bind(key);
  PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? std::optional<std::string>(statement.Text(0)) : std::nullopt;
}

absl::Status SqliteRunStore::WriteStep(const StepRecord& record) {
  PONDER_RETURN_IF_ERROR(CheckWritable());
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction,
                          SqliteTransaction::Begin(*database_, "BEGIN IMMEDIATE"));
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
    const absl::Status status = WriteGroup(step_id, static_cast<int64_t>(i), record.groups[i]);
    // Only the step itself may answer ALREADY_EXISTS: a caller takes that for "written before".
    if (absl::IsAlreadyExists(status)) {
      return InvalidArgument("group {} of step {} holds a sample index twice: {}", i, record.step,
                             status.message());
    }
    PONDER_RETURN_IF_ERROR(status);
  }
  return transaction.Commit();
}

absl::Status SqliteRunStore::WriteGroup(int64_t step_id, int64_t position,
                                        const ScoredGroup& scored) {
  const Group& group = scored.group;
  const Task& task = group.task;
  const size_t count = group.completions.size();
  // Evaluation has no advantages, supervised steps no verdicts: an empty list stands for defaults.
  const auto fits = [count](size_t size) { return size == count || size == 0; };
  PONDER_CHECK(fits(scored.verdicts.size()) && fits(scored.rewards.size()) &&
               fits(scored.advantages.size()));
  PONDER_RETURN_IF_ERROR(insert_group_.Run(
      step_id, position, task.id, task.kind, task.source, task.question, task.gold, task.data,
      task.solution, task.difficulty, group.prompt, static_cast<int64_t>(group.prompt_ids.size()),
      SqliteBlob{EncodeBlob<int32_t>(group.prompt_ids)}, std::bit_cast<int64_t>(group.seed),
      static_cast<double>(group.temperature)));
  const int64_t group_id = database_->LastRowId();
  for (size_t i = 0; i < count; ++i) {
    PONDER_RETURN_IF_ERROR(WriteCompletion(
        group_id, group.completions[i], scored.verdicts.empty() ? Verdict() : scored.verdicts[i],
        scored.rewards.empty() ? Reward() : scored.rewards[i],
        scored.advantages.empty() ? 0.0f : scored.advantages[i]));
  }
  return absl::OkStatus();
}

absl::Status SqliteRunStore::WriteCompletion(int64_t group_id, const Completion& completion,
                                             const Verdict& verdict, const Reward& reward,
                                             float advantage) {
  const size_t tokens = completion.token_ids.size();
  const auto fits = [tokens](size_t size) { return size == tokens || size == 0; };
  PONDER_CHECK(static_cast<int64_t>(tokens) <= kMaxTokens);
  PONDER_CHECK(fits(completion.sampled_mask.size()) && fits(completion.logprobs.size()) &&
               fits(completion.entropies.size()));
  static_assert(sizeof(VersionSpan) == 2 * sizeof(int64_t));
  PONDER_RETURN_IF_ERROR(insert_completion_.Run(
      group_id, completion.sample_index, ToString(completion.finish), completion.text,
      static_cast<int64_t>(tokens), SqliteBlob{EncodeBlob<int32_t>(completion.token_ids)},
      SqliteBlob{EncodeBlob<uint8_t>(completion.sampled_mask)},
      SqliteBlob{EncodeBlob<float>(completion.logprobs)},
      SqliteBlob{EncodeBlob<float>(completion.entropies)},
      static_cast<int64_t>(completion.versions.size()),
      SqliteBlob{EncodeBlob<VersionSpan>(completion.versions)}, ToString(verdict.status),
      verdict.score, verdict.extracted, verdict.reason, verdict.elapsed_us, reward.total,
      static_cast<double>(advantage)));
  const int64_t completion_id = database_->LastRowId();
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
  PONDER_RETURN_IF_ERROR(CheckWritable());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(kInsertEvent));
  return statement.Run(event.step, event.kind, event.message);
}

absl::Status SqliteRunStore::TruncateAfter(const std::string& phase, int64_t step) {
  PONDER_RETURN_IF_ERROR(CheckWritable());
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement,
                          database_->Prepare("DELETE FROM steps WHERE phase = ? AND step > ?"));
  return statement.Run(phase, step);
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
  // One transaction: the parts come by queries of their own.
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction view, SqliteTransaction::Begin(*database_, "BEGIN"));
  PONDER_ASSIGN_OR_RETURN(
      SqliteStatement statement,
      database_->Prepare(fmt::format(
          "{} WHERE s.phase = ? AND s.step = ? ORDER BY g.position, c.id", kSelectCompletions)));
  statement.Bind(phase, step);
  return ReadRows(statement);
}

absl::StatusOr<StoredCompletion> SqliteRunStore::ReadCompletion(int64_t rowid) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction view, SqliteTransaction::Begin(*database_, "BEGIN"));
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement,
                          database_->Prepare(fmt::format("{} WHERE c.id = ?", kSelectCompletions)));
  statement.Bind(rowid);
  PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return NotFound("{} holds no sample {}", database_->Path(), rowid);
  return ReadRow(statement);
}

absl::StatusOr<std::vector<StoredCompletion>> SqliteRunStore::ReadMarked(const std::string& phase,
                                                                         const std::string& prefix,
                                                                         const std::string& suffix,
                                                                         int64_t limit) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction view, SqliteTransaction::Begin(*database_, "BEGIN"));
  PONDER_ASSIGN_OR_RETURN(
      SqliteStatement statement,
      database_->Prepare(fmt::format("{} {}", kSelectCompletions, kWhereMarked)));
  statement.Bind(phase, prefix, suffix, limit);
  return ReadRows(statement);
}

absl::StatusOr<std::vector<StoredCompletion>> SqliteRunStore::ReadRows(SqliteStatement& statement) {
  std::vector<StoredCompletion> completions;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return completions;
    PONDER_ASSIGN_OR_RETURN(StoredCompletion stored, ReadRow(statement));
    completions.push_back(std::move(stored));
  }
}

absl::StatusOr<StoredCompletion> SqliteRunStore::ReadRow(const SqliteStatement& row) {
  StoredCompletion stored;
  int column = 0;
  stored.rowid = row.Integer(column++);
  const auto read = [&]() -> absl::Status {
    stored.step = row.Integer(column++);
    for (std::string* text :
         {&stored.task.id, &stored.task.kind, &stored.task.source, &stored.task.question,
          &stored.task.gold, &stored.task.data, &stored.task.solution}) {
      *text = row.Text(column++);
    }
    stored.task.difficulty = row.Number(column++);
    stored.prompt = row.Text(column++);
    PONDER_ASSIGN_OR_RETURN(const int64_t prompt_tokens, TokenCount(row.Integer(column++)));
    PONDER_ASSIGN_OR_RETURN(stored.prompt_ids,
                            DecodeBlob<int32_t>(row.Bytes(column++), prompt_tokens));
    stored.seed = std::bit_cast<uint64_t>(row.Integer(column++));
    stored.temperature = static_cast<float>(row.Number(column++));

    Completion& completion = stored.completion;
    completion.sample_index = row.Integer(column++);
    PONDER_ASSIGN_OR_RETURN(completion.finish,
                            ParseEnum(row.Bytes(column++), FinishReason::kError));
    completion.text = row.Text(column++);
    PONDER_ASSIGN_OR_RETURN(const int64_t tokens, TokenCount(row.Integer(column++)));
    PONDER_ASSIGN_OR_RETURN(completion.token_ids, DecodeBlob<int32_t>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.sampled_mask,
                            DecodeBlob<uint8_t>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.logprobs, DecodeBlob<float>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.entropies, DecodeBlob<float>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(const int64_t spans, TokenCount(row.Integer(column++)));
    PONDER_ASSIGN_OR_RETURN(completion.versions,
                            DecodeBlob<VersionSpan>(row.Bytes(column++), spans));

    Verdict& verdict = stored.verdict;
    PONDER_ASSIGN_OR_RETURN(verdict.status,
                            ParseEnum(row.Bytes(column++), VerdictStatus::kInternal));
    verdict.score = row.Number(column++);
    verdict.extracted = row.Text(column++);
    verdict.reason = row.Text(column++);
    verdict.elapsed_us = row.Integer(column++);
    stored.reward.total = row.Number(column++);
    stored.advantage = static_cast<float>(row.Number(column++));
    return ReadParts(stored);
  };
  if (absl::Status status = read(); !status.ok()) {
    return Annotate(status, fmt::format("{}: sample {}", database_->Path(), stored.rowid));
  }
  return stored;
}

absl::Status SqliteRunStore::ReadParts(StoredCompletion& stored) {
  select_parts_.Bind(stored.rowid);
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, select_parts_.Step());
    if (!row) break;
    auto& parts = select_parts_.Bytes(0) == "verdict" ? stored.verdict.parts : stored.reward.parts;
    parts[select_parts_.Text(1)] = select_parts_.Number(2);
  }
  select_parts_.Reset();
  return absl::OkStatus();
}

// A store whose maker died before the commit has no tables yet and may be made again.
absl::Status CheckIsNew(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(const int64_t tables,
                          database.QueryInteger("SELECT count(*) FROM sqlite_master"));
  if (tables == 0) return absl::OkStatus();
  return absl::AlreadyExistsError(
      fmt::format("{} already exists; resume that run or choose another folder", database.Path()));
}

absl::Status CreateSchema(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction,
                          SqliteTransaction::Begin(database, "BEGIN IMMEDIATE"));
  PONDER_RETURN_IF_ERROR(CheckIsNew(database));
  PONDER_RETURN_IF_ERROR(database.Execute(kRunStoreSchema));
  PONDER_RETURN_IF_ERROR(
      database.Execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                   kRunStoreApplicationId, kRunStoreVersion)
                           .c_str()));
  return transaction.Commit();
}

absl::Status CheckSchema(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(const int64_t application,
                          database.QueryInteger("PRAGMA application_id"));
  if (application != kRunStoreApplicationId) {
    return FailedPrecondition("{} is an SQLite file, but not a run store", database.Path());
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t version, database.QueryInteger("PRAGMA user_version"));
  if (version != kRunStoreVersion) {
    return FailedPrecondition(
        "{} has a schema of version {}, this program reads version {}; use the program that wrote "
        "it",
        database.Path(), version, kRunStoreVersion);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunStore>> RunStore::Open(const std::string& path, Mode mode) {
  std::error_code error;
  if (mode != Mode::kCreate && !std::filesystem::exists(path, error)) {
    return NotFound("there is no run store at {}", path);
  }
  using Access = SqliteDatabase::Access;
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                          SqliteDatabase::Open(path, mode == Mode::kCreate   ? Access::kCreate
                                                     : mode == Mode::kAppend ? Access::kWrite
                                                                             : Access::kRead));
  // Before anything is changed in a file that may be another's.
  PONDER_RETURN_IF_ERROR(mode == Mode::kCreate ? CheckIsNew(*database) : CheckSchema(*database));
  // synchronous = FULL: a step that was reported as written survives a power cut.
  if (mode != Mode::kRead) {
    PONDER_RETURN_IF_ERROR(database->Execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  }
  if (mode == Mode::kCreate) PONDER_RETURN_IF_ERROR(CreateSchema(*database));
  auto store = std::make_unique<SqliteRunStore>(std::move(database), mode);
  PONDER_RETURN_IF_ERROR(store->Prepare());
  return store;
}

}  // namespace ponder
