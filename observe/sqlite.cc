#include "observe/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace ponder {
namespace {

absl::Status MakeStatus(sqlite3* database, int code, const std::string& path) {
  // SQLite does not note the error of a failed commit; it is still in errno, which callers cleared.
  const int left_over = errno;
  const int noted = database == nullptr ? 0 : sqlite3_system_errno(database);
  const int system_error = noted != 0 ? noted : left_over;
  const char* const said = database == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database);
  const bool no_space = system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
  switch (code & 0xff) {
    case SQLITE_FULL:
      return ResourceExhausted("cannot write {}: {}; free some space and try again", path, said);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable("{} is locked by another process: {}", path, said);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss("{} is not a whole SQLite file: {}", path, said);
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return absl::AlreadyExistsError(fmt::format("{}: {}", path, said));
      }
      return FailedPrecondition("{}: {}", path, said);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(fmt::format("cannot write {}: {}", path, said));
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError(fmt::format("{}: the query took too long", path));
    case SQLITE_NOMEM:
      return ResourceExhausted("out of memory while using {}", path);
    case SQLITE_TOOBIG:
      return InvalidArgument("{}: a text or blob is too long for SQLite: {}", path, said);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
      const char* const reason =
          system_error == 0 ? "no reason given" : std::strerror(system_error);
      if (no_space) {
        return ResourceExhausted("cannot write {}: {} ({}); free some space and try again", path,
                                 said, reason);
      }
      if (system_error == EACCES || system_error == EPERM || system_error == EROFS) {
        return absl::PermissionDeniedError(
            fmt::format("cannot use {}: {} ({})", path, said, reason));
      }
      return Internal("cannot use {}: {} ({})", path, said, reason);
    }
    default:
      return Internal("{}: {} (SQLite code {})", path, said, code);
  }
}

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqliteStatement::Note(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

void SqliteStatement::BindOne(int index, int64_t value) {
  Note(sqlite3_bind_int64(statement_.get(), index, value));
}

void SqliteStatement::BindOne(int index, double value) {
  Note(sqlite3_bind_double(statement_.get(), index, value));
}

// A null pointer would bind NULL in place of an empty value.
void SqliteStatement::BindOne(int index, std::string_view text) {
  Note(sqlite3_bind_text64(statement_.get(), index, text.data() == nullptr ? "" : text.data(),
                           text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void SqliteStatement::BindOne(int index, SqliteBlob blob) {
  Note(sqlite3_bind_blob64(statement_.get(), index,
                           blob.bytes.data() == nullptr ? "" : blob.bytes.data(), blob.bytes.size(),
                           SQLITE_TRANSIENT));
}

void SqliteStatement::BindAll(std::span<const SqliteValue> values) {
  Reset();
  int index = 0;
  for (const SqliteValue& value : values) {
    ++index;
    std::visit([&](const auto& one) { BindOne(index, one); }, value);
  }
}

absl::StatusOr<bool> SqliteStatement::Step() {
  PONDER_CHECK(statement_ != nullptr);
  errno = 0;
  const int code = bind_error_ != SQLITE_OK ? bind_error_ : sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return MakeStatus(database_, code, *path_);
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bind_error_ = SQLITE_OK;
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double SqliteStatement::Number(int column) const {
  if (IsNull(column)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view SqliteStatement::Bytes(int column) const {
  // The pointer first: asking for it may convert the value and with it the number of bytes.
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr) return "";
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path,
                                                                     Access access,
                                                                     absl::Duration busy_timeout) {
  const int flags = access == Access::kRead    ? SQLITE_OPEN_READONLY
                    : access == Access::kWrite ? SQLITE_OPEN_READWRITE
                                               : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* handle = nullptr;
  errno = 0;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, /*zVfs=*/nullptr);
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(handle, path));
  if (code != SQLITE_OK) return MakeStatus(handle, code, path);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, static_cast<int>(absl::ToInt64Milliseconds(busy_timeout)));
  // A store may come from elsewhere: its schema gets no say in what runs here.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return database;
}

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(database_); }

absl::Status SqliteDatabase::Execute(const char* sql) {
  errno = 0;
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : MakeStatus(database_, code, path_);
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* handle = nullptr;
  errno = 0;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) return MakeStatus(database_, code, path_);
  SqliteStatement statement;
  statement.statement_.reset(handle);
  statement.database_ = database_;
  statement.path_ = &path_;
  return statement;
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInteger(std::string_view sql) {
  PONDER_ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  PONDER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return Internal("{}: no row for {}", path_, sql);
  return statement.Integer(0);
}

void SqliteDatabase::SetTimeLimit(absl::Duration limit) {
  if (limit == absl::InfiniteDuration()) {
    sqlite3_progress_handler(database_, 0, nullptr, nullptr);
    return;
  }
  constexpr int kInstructions = 1000;  // of SQLite's machine between two looks: microseconds
  deadline_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
  sqlite3_progress_handler(
      database_, kInstructions,
      [](void* self) {
        const auto* database = static_cast<SqliteDatabase*>(self);
        return std::chrono::steady_clock::now() >= database->deadline_ ? 1 : 0;
      },
      this);
}

int64_t SqliteDatabase::LastRowId() const { return sqlite3_last_insert_rowid(database_); }

absl::StatusOr<SqliteTransaction> SqliteTransaction::Begin(SqliteDatabase& database,
                                                           const char* begin) {
  PONDER_RETURN_IF_ERROR(database.Execute(begin));
  return SqliteTransaction(database);
}

absl::Status SqliteTransaction::Commit() {
  PONDER_CHECK(database_ != nullptr);
  PONDER_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

SqliteTransaction::~SqliteTransaction() {
  // After some errors SQLite has rolled back by itself.
  if (database_ != nullptr && sqlite3_get_autocommit(database_->database_) == 0) {
    sqlite3_exec(database_->database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

}  // namespace ponder
