#include "observe/run_reader.h"

#include <limits>
#include <utility>

#include "observe/blob_codec.h"
#include "observe/completion_rows.h"
#include "observe/run_database.h"
#include "observe/run_store_schema.h"
#include "observe/sqlite.h"
#include "observe/vocabulary_blob.h"

namespace ponder {
namespace {

constexpr char kSummaryColumns[] =
    "c.id, c.group_id, s.phase, s.step, g.task_id, c.sample_index, c.status, c.score, c.reward, "
    "c.advantage, c.token_count, c.finish, c.clipped_count, c.extracted, c.reason, "
    "substr(c.text, -240)";
static_assert(RunReader::kExcerptCharacters == 240);
constexpr int kGroupColumn = 16;  // the first behind them
constexpr char kGroupColumns[] =
    "g.id, s.phase, s.step, g.position, g.task_id, g.task_kind, g.task_source, g.question, g.gold, "
    "g.difficulty, g.prompt_count, g.temperature";
constexpr char kSamplesOfGroups[] =
    "FROM steps s JOIN groups g ON g.step_id = s.id LEFT JOIN completions c ON c.group_id = g.id";
// Steps of two phases may have one number. The indices give rows in this order without a sort.
constexpr char kInOrder[] = "ORDER BY s.step, s.id, g.position, c.sample_index";

absl::StatusOr<SampleSummary> ReadSummary(const SqliteStatement& row) {
  SampleSummary summary{.sample = row.Integer(0),
                        .group = row.Integer(1),
                        .phase = row.Text(2),
                        .step = row.Integer(3),
                        .task_id = row.Text(4),
                        .sample_index = row.Integer(5),
                        .score = row.Number(7),
                        .reward = row.Number(8),
                        .advantage = row.Number(9),
                        .tokens = row.Integer(10),
                        .clipped_tokens = row.Integer(12),
                        .extracted = row.Text(13),
                        .reason = row.Text(14),
                        .excerpt = row.Text(15)};
  PONDER_ASSIGN_OR_RETURN(summary.status, ParseStoredEnum(row.Bytes(6), VerdictStatus::kInternal));
  PONDER_ASSIGN_OR_RETURN(summary.finish, ParseStoredEnum(row.Bytes(11), FinishReason::kError));
  return summary;
}

GroupSummary ReadGroup(const SqliteStatement& row) {
  constexpr int k = kGroupColumn;
  return {.group = row.Integer(k),
          .phase = row.Text(k + 1),
          .step = row.Integer(k + 2),
          .position = row.Integer(k + 3),
          .task = {.id = row.Text(k + 4),
                   .kind = row.Text(k + 5),
                   .source = row.Text(k + 6),
                   .question = row.Text(k + 7),
                   .gold = row.Text(k + 8),
                   .difficulty = row.Number(k + 9)},
          .prompt_tokens = row.Integer(k + 10),
          .temperature = row.Number(k + 11)};
}

// The conditions of a filter with their arguments.
struct Conditions {
  std::string sql;
  std::vector<SqliteValue> values;

  void Add(std::string_view condition, std::vector<SqliteValue> arguments) {
    sql += fmt::format("{}{}", sql.empty() ? "WHERE " : " AND ", condition);
    for (SqliteValue& value : arguments) values.push_back(std::move(value));
  }
};

Conditions ToConditions(const SampleFilter& filter) {
  Conditions all;
  all.Add("s.phase = ?", {filter.phase});
  if (filter.first_step) all.Add("s.step >= ?", {*filter.first_step});
  if (filter.last_step) all.Add("s.step <= ?", {*filter.last_step});
  if (!filter.task_id.empty()) all.Add("g.task_id = ?", {filter.task_id});
  if (!filter.task_kind.empty()) all.Add("g.task_kind = ?", {filter.task_kind});
  if (filter.status) all.Add("c.status = ?", {std::string(ToString(*filter.status))});
  if (filter.finish) all.Add("c.finish = ?", {std::string(ToString(*filter.finish))});
  if (filter.reward_low) all.Add("c.reward >= ?", {*filter.reward_low});
  if (filter.reward_high) all.Add("c.reward <= ?", {*filter.reward_high});
  if (filter.tokens_low) all.Add("c.token_count >= ?", {*filter.tokens_low});
  if (filter.tokens_high) all.Add("c.token_count <= ?", {*filter.tokens_high});
  if (!filter.marked_part_prefix.empty() || !filter.marked_part_suffix.empty()) {
    all.Add(
        "EXISTS (SELECT 1 FROM parts p WHERE p.completion_id = c.id AND p.kind = 'verdict' AND "
        "p.value = 1 AND p.name GLOB ? || '*' || ?)",
        {filter.marked_part_prefix, filter.marked_part_suffix});
  }
  if (!filter.text.empty()) {
    all.Add("(instr(lower(c.text), lower(?)) > 0 OR instr(lower(g.question), lower(?)) > 0)",
            {filter.text, filter.text});
  }
  return all;
}

std::string_view ToSql(SampleOrder order) {
  switch (order) {
    case SampleOrder::kStep:
      return kInOrder;
    case SampleOrder::kRewardUp:
      return "ORDER BY c.reward, c.id";
    case SampleOrder::kRewardDown:
      return "ORDER BY c.reward DESC, c.id DESC";
    case SampleOrder::kLengthUp:
      return "ORDER BY c.token_count, c.id";
    case SampleOrder::kLengthDown:
      return "ORDER BY c.token_count DESC, c.id DESC";
  }
  return kInOrder;
}

// The tables in the order they are looked at; CROSS JOIN keeps it. Left to itself SQLite takes the
// index of statuses, which in a long run names most of the completions.
std::string From(const SampleFilter& filter, SampleOrder order) {
  const bool within_steps = filter.first_step && filter.last_step;
  if (within_steps || order == SampleOrder::kStep || !filter.task_id.empty()) {
    return fmt::format(
        "FROM steps s {0} groups g ON g.step_id = s.id {0} completions c ON c.group_id = g.id",
        within_steps ? "CROSS JOIN" : "JOIN");
  }
  // Over a whole run the first ones are read off an index instead of sorting all.
  const bool by_reward = order == SampleOrder::kRewardUp || order == SampleOrder::kRewardDown;
  return fmt::format(
      "FROM completions c INDEXED BY {} CROSS JOIN groups g ON g.id = c.group_id CROSS JOIN steps "
      "s "
      "ON s.id = g.step_id",
      by_reward ? "completions_by_reward" : "completions_by_length");
}

class SqliteRunReader : public RunReader {
 public:
  SqliteRunReader(std::unique_ptr<SqliteDatabase> database, CompletionRows rows)
      : database_(std::move(database)), rows_(std::move(rows)) {}

  absl::StatusOr<int64_t> ChangeCount() override {
    return database_->QueryInteger("SELECT count FROM changes");
  }
  absl::StatusOr<std::optional<std::string>> GetInfo(const std::string& key) override;
  absl::StatusOr<RunState> State() override;
  absl::StatusOr<std::vector<StepInfo>> Steps() override;
  absl::StatusOr<MetricTable> Metrics(const std::string& phase, int64_t after,
                                      const std::vector<std::string>& names) override;
  absl::StatusOr<std::vector<TimedEvent>> Events(int64_t after_id) override;
  absl::StatusOr<std::vector<WorkerRecord>> Workers() override;
  absl::StatusOr<std::vector<TimedReading>> Readings(int64_t after_id, int64_t limit) override;
  absl::StatusOr<std::vector<GroupSummary>> Groups(const std::string& phase,
                                                   int64_t step) override {
    return ReadGroups("WHERE s.phase = ? AND s.step = ?", {phase, step});
  }
  absl::StatusOr<GroupSummary> GroupOf(int64_t sample) override;
  absl::StatusOr<std::vector<GroupSummary>> TaskHistory(const std::string& task_id,
                                                        int64_t limit) override {
    return ReadGroups(
        "WHERE g.id IN (SELECT id FROM groups WHERE task_id = ? ORDER BY id DESC LIMIT ?)",
        {task_id, limit});
  }
  absl::StatusOr<SampleList> FindSamples(const SampleFilter& filter, SampleOrder order,
                                         int64_t offset, int64_t limit,
                                         absl::Duration time_limit) override;
  absl::StatusOr<StoredCompletion> ReadCompletion(int64_t sample) override {
    return rows_.ReadOne(sample);
  }
  absl::StatusOr<std::vector<std::string>> Vocabulary() override;

 private:
  absl::StatusOr<std::vector<GroupSummary>> ReadGroups(std::string_view where,
                                                       const std::vector<SqliteValue>& values);
  // Calls `read` for each row.
  template <typename Read>
  absl::Status ForEach(std::string_view sql, const std::vector<SqliteValue>& values, Read read);

  // Declared first, so that the statements are finalised before it is closed.
  std::unique_ptr<SqliteDatabase> database_;
  CompletionRows rows_;
};

template <typename Read>
absl::Status SqliteRunReader::ForEach(std::string_view sql, const std::vector<SqliteValue>& values,
                                      Read read) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, database_->Prepare(sql));
  statement.BindAll(values);
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return absl::OkStatus();
    PONDER_RETURN_IF_ERROR(read(statement));
  }
}

absl::StatusOr<std::optional<std::string>> SqliteRunReader::GetInfo(const std::string& key) {
  std::optional<std::string> value;
  PONDER_RETURN_IF_ERROR(
      ForEach("SELECT value FROM info WHERE key = ?", {key}, [&](const SqliteStatement& row) {
        value = row.Text(0);
        return absl::OkStatus();
      }));
  return value;
}

absl::StatusOr<RunState> SqliteRunReader::State() {
  RunState state;
  PONDER_RETURN_IF_ERROR(
      ForEach("SELECT activity, step, steps, done, total, workers, left_s, detail, written_at "
              "FROM state",
              {}, [&](const SqliteStatement& row) {
                state = {.activity = row.Text(0),
                         .step = row.Integer(1),
                         .steps = row.Integer(2),
                         .done = row.Integer(3),
                         .total = row.Integer(4),
                         .workers = row.Integer(5),
                         .left_s = row.Number(6),
                         .detail = row.Text(7),
                         .written_at = row.Text(8)};
                return absl::OkStatus();
              }));
  return state;
}

absl::StatusOr<std::vector<StepInfo>> SqliteRunReader::Steps() {
  std::vector<StepInfo> steps;
  PONDER_RETURN_IF_ERROR(
      ForEach("SELECT phase, step, policy_version, written_at FROM steps ORDER BY id", {},
              [&](const SqliteStatement& row) {
                steps.push_back({row.Text(0), row.Integer(1), row.Integer(2), row.Text(3)});
                return absl::OkStatus();
              }));
  return steps;
}

absl::StatusOr<MetricTable> SqliteRunReader::Metrics(const std::string& phase, int64_t after,
                                                     const std::vector<std::string>& names) {
  std::vector<SqliteValue> values = {phase, after};
  std::string sql =
      "SELECT s.step, m.name, m.value FROM steps s LEFT JOIN metrics m ON m.step_id = s.id";
  for (size_t i = 0; i < names.size(); ++i) {
    sql += i == 0 ? " AND m.name IN (?" : ", ?";
    values.insert(values.begin() + static_cast<std::ptrdiff_t>(i), names[i]);
  }
  sql += names.empty() ? "" : ")";
  sql += " WHERE s.phase = ? AND s.step > ? ORDER BY s.step";
  MetricTable table;
  PONDER_RETURN_IF_ERROR(ForEach(sql, values, [&](const SqliteStatement& row) {
    const int64_t step = row.Integer(0);
    if (table.steps.empty() || table.steps.back() != step) table.steps.push_back(step);
    if (row.IsNull(1)) return absl::OkStatus();  // a step without metrics
    std::vector<double>& column = table.values[row.Text(1)];
    column.resize(table.steps.size(), std::numeric_limits<double>::quiet_NaN());
    column.back() = row.Number(2);
    return absl::OkStatus();
  }));
  for (auto& [name, column] : table.values) {
    column.resize(table.steps.size(), std::numeric_limits<double>::quiet_NaN());
  }
  return table;
}

absl::StatusOr<std::vector<TimedEvent>> SqliteRunReader::Events(int64_t after_id) {
  std::vector<TimedEvent> events;
  PONDER_RETURN_IF_ERROR(
      ForEach("SELECT id, step, kind, message, written_at FROM events WHERE id > ? ORDER BY id",
              {after_id}, [&](const SqliteStatement& row) {
                events.push_back({.id = row.Integer(0),
                                  .event = {row.Integer(1), row.Text(2), row.Text(3)},
                                  .written_at = row.Text(4)});
                return absl::OkStatus();
              }));
  return events;
}

absl::StatusOr<std::vector<WorkerRecord>> SqliteRunReader::Workers() {
  std::vector<WorkerRecord> workers;
  PONDER_RETURN_IF_ERROR(ForEach(kSelectWorkers, {kMostWorkers}, [&](const SqliteStatement& row) {
    workers.push_back({.name = row.Text(0),
                       .role = row.Text(1),
                       .software = row.Text(2),
                       .address = row.Text(3),
                       .numerics = row.Text(4),
                       .policy_version = row.Integer(5),
                       .running = row.Integer(6),
                       .waiting = row.Integer(7),
                       .busy = row.Number(8),
                       .done = row.Integer(9),
                       .restarts = row.Integer(10),
                       .state = row.Text(11),
                       .last_words = row.Text(12),
                       .joined_at = row.Text(13),
                       .seen_at = row.Text(14)});
    return absl::OkStatus();
  }));
  return workers;
}

absl::StatusOr<std::vector<TimedReading>> SqliteRunReader::Readings(int64_t after_id,
                                                                    int64_t limit) {
  std::vector<TimedReading> readings;
  PONDER_RETURN_IF_ERROR(ForEach(
      "SELECT * FROM (SELECT id, written_at, source, name, value FROM readings WHERE id > ? "
      "ORDER BY id DESC LIMIT ?) ORDER BY id",
      {after_id, limit}, [&](const SqliteStatement& row) {
        readings.push_back({row.Integer(0), row.Text(1), row.Text(2), row.Text(3), row.Number(4)});
        return absl::OkStatus();
      }));
  return readings;
}

absl::StatusOr<std::vector<GroupSummary>> SqliteRunReader::ReadGroups(
    std::string_view where, const std::vector<SqliteValue>& values) {
  std::vector<GroupSummary> groups;
  const std::string sql = fmt::format("SELECT {}, {} {} {} {}", kSummaryColumns, kGroupColumns,
                                      kSamplesOfGroups, where, kInOrder);
  PONDER_RETURN_IF_ERROR(ForEach(sql, values, [&](const SqliteStatement& row) -> absl::Status {
    if (groups.empty() || groups.back().group != row.Integer(kGroupColumn)) {
      groups.push_back(ReadGroup(row));
    }
    if (row.IsNull(0)) return absl::OkStatus();  // a group without completions
    PONDER_ASSIGN_OR_RETURN(SampleSummary summary, ReadSummary(row));
    groups.back().samples.push_back(std::move(summary));
    return absl::OkStatus();
  }));
  return groups;
}

absl::StatusOr<GroupSummary> SqliteRunReader::GroupOf(int64_t sample) {
  PONDER_ASSIGN_OR_RETURN(
      std::vector<GroupSummary> groups,
      ReadGroups("WHERE g.id = (SELECT group_id FROM completions WHERE id = ?)", {sample}));
  if (groups.empty()) return NotFound("{} holds no sample {}", database_->Path(), sample);
  return std::move(groups.front());
}

absl::StatusOr<SampleList> SqliteRunReader::FindSamples(const SampleFilter& filter,
                                                        SampleOrder order, int64_t offset,
                                                        int64_t limit, absl::Duration time_limit) {
  Conditions conditions = ToConditions(filter);
  const std::string sql = fmt::format("SELECT {} {} {} {} LIMIT ? OFFSET ?", kSummaryColumns,
                                      From(filter, order), conditions.sql, ToSql(order));
  conditions.values.emplace_back(limit + 1);  // one more tells whether there are more
  conditions.values.emplace_back(offset);
  SampleList list;
  database_->SetTimeLimit(time_limit);
  const absl::Status status =
      ForEach(sql, conditions.values, [&](const SqliteStatement& row) -> absl::Status {
        PONDER_ASSIGN_OR_RETURN(SampleSummary summary, ReadSummary(row));
        list.samples.push_back(std::move(summary));
        return absl::OkStatus();
      });
  database_->SetTimeLimit(absl::InfiniteDuration());
  list.cut_short = absl::IsDeadlineExceeded(status);
  if (!status.ok() && !list.cut_short) return status;
  if (static_cast<int64_t>(list.samples.size()) > limit) {
    list.samples.pop_back();
    list.more = true;
  }
  return list;
}

absl::StatusOr<std::vector<std::string>> SqliteRunReader::Vocabulary() {
  std::vector<std::string> pieces;
  PONDER_RETURN_IF_ERROR(
      ForEach("SELECT size, value FROM blobs WHERE key = ?", {std::string(kVocabularyKey)},
              [&](const SqliteStatement& row) -> absl::Status {
                const int64_t size = row.Integer(0);
                if (size < 0 || size > kMaxVocabularyBytes) {
                  return DataLoss("{}: a vocabulary of {} bytes", database_->Path(), size);
                }
                PONDER_ASSIGN_OR_RETURN(const std::string bytes,
                                        DecompressBlob(row.Bytes(1), static_cast<uint64_t>(size)));
                PONDER_ASSIGN_OR_RETURN(pieces, DecodeVocabulary(bytes));
                return absl::OkStatus();
              }));
  return pieces;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunReader>> RunReader::Open(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                          OpenRunDatabase(path, RunDatabaseMode::kRead));
  PONDER_ASSIGN_OR_RETURN(CompletionRows rows, CompletionRows::Create(*database));
  return std::make_unique<SqliteRunReader>(std::move(database), std::move(rows));
}

}  // namespace ponder
