#pragma once

#include <absl/time/time.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ponder {

// A thin owner of SQLite's handles: return codes become statuses that name the file. Full disk (or
// a file at its limit): RESOURCE_EXHAUSTED; locked by another process: UNAVAILABLE; broken or
// foreign content: DATA_LOSS; a broken UNIQUE rule: ALREADY_EXISTS. Not thread-safe.

using SqliteValue = std::variant<int64_t, double, std::string>;

struct SqliteBlob {
  std::string_view bytes;
};

class SqliteStatement {
 public:
  SqliteStatement() = default;

  // Binds the arguments in order (integers, doubles, texts of any bytes, blobs; all copied) and
  // runs a statement without rows.
  template <typename... Args>
  absl::Status Run(const Args&... args) {
    Bind(args...);
    const absl::StatusOr<bool> row = Step();
    Reset();
    return row.status();
  }

  // Binds likewise; rows come by Step.
  template <typename... Args>
  void Bind(const Args&... args) {
    Reset();
    int index = 0;
    (BindOne(++index, args), ...);
  }
  void BindAll(std::span<const SqliteValue> values);
  absl::StatusOr<bool> Step();  // false: no more rows
  void Reset();

  // Columns of the current row, from 0. Views are valid until the next Step or Reset.
  bool IsNull(int column) const;
  int64_t Integer(int column) const;
  double Number(int column) const;           // NULL, which is how SQLite stores it, reads as NaN
  std::string_view Bytes(int column) const;  // of a text or a blob
  std::string Text(int column) const { return std::string(Bytes(column)); }

 private:
  friend class SqliteDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  void BindOne(int index, int64_t value);
  void BindOne(int index, double value);
  void BindOne(int index, std::string_view text);
  void BindOne(int index, SqliteBlob blob);
  void Note(int code);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  sqlite3* database_ = nullptr;
  const std::string* path_ = nullptr;
  int bind_error_ = 0;
};

class SqliteDatabase {
 public:
  enum class Access { kRead, kWrite, kCreate };  // kCreate: opens or creates

  // A lock of another process is waited for until `busy_timeout`: a reader may hold the file for a
  // moment while the log is folded back into it, longer than the default is a fault.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(
      const std::string& path, Access access, absl::Duration busy_timeout = absl::Seconds(10));
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  absl::Status Execute(const char* sql);  // any number of statements, their rows dropped
  // The database outlives the statement.
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);
  absl::StatusOr<int64_t> QueryInteger(std::string_view sql);
  // Statements that run for longer end with DEADLINE_EXCEEDED, counted from now; infinite: no
  // limit.
  void SetTimeLimit(absl::Duration limit);
  int64_t LastRowId() const;
  const std::string& Path() const { return path_; }

 private:
  friend class SqliteTransaction;
  SqliteDatabase(sqlite3* database, std::string path)
      : database_(database), path_(std::move(path)) {}

  sqlite3* database_;
  const std::string path_;
  std::chrono::steady_clock::time_point deadline_;
};

// Rolls back in the destructor what was not committed.
class SqliteTransaction {
 public:
  // "BEGIN IMMEDIATE" takes the write lock at once, "BEGIN" gives a reader one consistent view.
  static absl::StatusOr<SqliteTransaction> Begin(SqliteDatabase& database, const char* begin);
  SqliteTransaction(SqliteTransaction&& other) noexcept
      : database_(std::exchange(other.database_, nullptr)) {}
  ~SqliteTransaction();

  absl::Status Commit();

 private:
  explicit SqliteTransaction(SqliteDatabase& database) : database_(&database) {}
  SqliteDatabase* database_;
};

}  // namespace ponder
