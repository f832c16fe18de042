#include "observe/completion_rows.h"

#include <bit>
#include <utility>

#include "observe/blob_codec.h"
#include "observe/run_store_schema.h"

namespace ponder {
namespace {

absl::StatusOr<int64_t> TokenCount(int64_t count) {
  if (count < 0 || count > kMaxStoredTokens) {
    return DataLoss("expected a length from 0 to {} tokens, found {}", kMaxStoredTokens, count);
  }
  return count;
}

}  // namespace

absl::StatusOr<CompletionRows> CompletionRows::Create(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement one,
                          database.Prepare(fmt::format("{} WHERE c.id = ?", kSelectCompletions)));
  PONDER_ASSIGN_OR_RETURN(SqliteStatement parts, database.Prepare(kSelectParts));
  return CompletionRows(database, std::move(one), std::move(parts));
}

absl::StatusOr<SqliteStatement> CompletionRows::Prepare(std::string_view where) {
  return database_->Prepare(fmt::format("{} {}", kSelectCompletions, where));
}

absl::StatusOr<StoredCompletion> CompletionRows::ReadOne(int64_t sample) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction view, SqliteTransaction::Begin(*database_, "BEGIN"));
  select_one_.Bind(sample);
  auto read = ReadAll(select_one_);
  select_one_.Reset();
  PONDER_ASSIGN_OR_RETURN(std::vector<StoredCompletion> found, std::move(read));
  if (found.empty()) return NotFound("{} holds no sample {}", database_->Path(), sample);
  return std::move(found.front());
}

absl::StatusOr<std::vector<StoredCompletion>> CompletionRows::ReadAll(SqliteStatement& statement) {
  std::vector<StoredCompletion> completions;
  for (;;) {
    PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return completions;
    PONDER_ASSIGN_OR_RETURN(StoredCompletion stored, ReadRow(statement));
    completions.push_back(std::move(stored));
  }
}

absl::StatusOr<StoredCompletion> CompletionRows::ReadRow(const SqliteStatement& row) {
  StoredCompletion stored;
  int column = 0;
  stored.rowid = row.Integer(column++);
  stored.group = row.Integer(column++);
  const auto read = [&]() -> absl::Status {
    stored.phase = row.Text(column++);
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
                            ParseStoredEnum(row.Bytes(column++), FinishReason::kError));
    completion.text = row.Text(column++);
    PONDER_ASSIGN_OR_RETURN(const int64_t tokens, TokenCount(row.Integer(column++)));
    PONDER_ASSIGN_OR_RETURN(completion.token_ids, DecodeBlob<int32_t>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.sampled_mask,
                            DecodeBlob<uint8_t>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.logprobs, DecodeBlob<float>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(completion.entropies, DecodeBlob<float>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(stored.clips, DecodeBlob<int8_t>(row.Bytes(column++), tokens));
    PONDER_ASSIGN_OR_RETURN(const int64_t spans, TokenCount(row.Integer(column++)));
    PONDER_ASSIGN_OR_RETURN(completion.versions,
                            DecodeBlob<VersionSpan>(row.Bytes(column++), spans));

    Verdict& verdict = stored.verdict;
    PONDER_ASSIGN_OR_RETURN(verdict.status,
                            ParseStoredEnum(row.Bytes(column++), VerdictStatus::kInternal));
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

absl::Status CompletionRows::ReadParts(StoredCompletion& stored) {
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

}  // namespace ponder
