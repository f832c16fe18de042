#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "observe/run_store.h"
#include "observe/sqlite.h"

namespace ponder {

// Longer than any context of today's models; a corrupt count asks for no more memory than this.
inline constexpr int64_t kMaxStoredTokens = int64_t{1} << 24;

// The word of a finish reason or a status, as the store has it.
template <typename Enum>
absl::StatusOr<Enum> ParseStoredEnum(std::string_view text, Enum last) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (ToString(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  }
  return DataLoss("unknown value \"{}\"", text.substr(0, 40));
}

// Reads whole completions: all columns, arrays and parts. Broken rows are DATA_LOSS naming the
// sample.
class CompletionRows {
 public:
  // `database` outlives it.
  static absl::StatusOr<CompletionRows> Create(SqliteDatabase& database);

  // kSelectCompletions with `where` behind it (WHERE, ORDER BY, LIMIT) and its arguments. One
  // consistent view.
  template <typename... Args>
  absl::StatusOr<std::vector<StoredCompletion>> Read(std::string_view where, const Args&... args) {
    PONDER_ASSIGN_OR_RETURN(SqliteTransaction view, SqliteTransaction::Begin(*database_, "BEGIN"));
    PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(where));
    statement.Bind(args...);
    return ReadAll(statement);
  }
  // NOT_FOUND where there is no such sample.
  absl::StatusOr<StoredCompletion> ReadOne(int64_t sample);

 private:
  CompletionRows(SqliteDatabase& database, SqliteStatement one, SqliteStatement parts)
      : database_(&database), select_one_(std::move(one)), select_parts_(std::move(parts)) {}
  absl::StatusOr<SqliteStatement> Prepare(std::string_view where);
  absl::StatusOr<std::vector<StoredCompletion>> ReadAll(SqliteStatement& statement);
  absl::StatusOr<StoredCompletion> ReadRow(const SqliteStatement& row);
  absl::Status ReadParts(StoredCompletion& stored);

  SqliteDatabase* database_;
  SqliteStatement select_one_;
  SqliteStatement select_parts_;
};

}  // namespace ponder
