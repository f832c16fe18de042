#include "observe/run_database.h"

#include <filesystem>

#include "observe/run_store_schema.h"

namespace ponder {
namespace {

// Version 2: arrays of tokens lie apart from what lists read; workers, readings and vocabulary.
constexpr char kFromVersion1[] = R"sql(
DROP VIEW samples;
CREATE TABLE completions_1 AS SELECT * FROM completions;
CREATE TABLE parts_1 AS SELECT * FROM parts;
CREATE TABLE groups_1 AS SELECT * FROM groups;
CREATE TABLE metrics_1 AS SELECT * FROM metrics;
CREATE TABLE steps_1 AS SELECT * FROM steps;
CREATE TABLE events_1 AS SELECT * FROM events;
CREATE TABLE info_1 AS SELECT * FROM info;
DROP TABLE parts;
DROP TABLE completions;
DROP TABLE groups;
DROP TABLE metrics;
DROP TABLE steps;
DROP TABLE events;
DROP TABLE info;
)sql";
constexpr char kIntoSchema[] = R"sql(
INSERT INTO info SELECT * FROM info_1;
INSERT INTO events SELECT * FROM events_1;
INSERT INTO steps SELECT * FROM steps_1;
INSERT INTO metrics SELECT * FROM metrics_1;
INSERT INTO groups SELECT * FROM groups_1;
INSERT INTO completions
  SELECT id, group_id, sample_index, finish, token_count, 0, version_count, status, score,
         elapsed_us, reward, advantage, extracted, reason, text FROM completions_1;
INSERT INTO tokens
  SELECT id, token_ids, sampled_mask, logprobs, entropies, x'', versions FROM completions_1;
INSERT INTO parts SELECT * FROM parts_1;
DROP TABLE completions_1;
DROP TABLE parts_1;
DROP TABLE groups_1;
DROP TABLE metrics_1;
DROP TABLE steps_1;
DROP TABLE events_1;
DROP TABLE info_1;
)sql";

// Version 3: the best and the longest samples are read off an index, which stores of version 2 have
// or have not.
constexpr char kFromVersion2[] = R"sql(
CREATE INDEX IF NOT EXISTS completions_by_reward ON completions (reward);
CREATE INDEX IF NOT EXISTS completions_by_length ON completions (token_count);
)sql";

// Version 4: what a worker runs, how busy it is and what it has done.
constexpr char kFromVersion3[] = R"sql(
ALTER TABLE workers ADD COLUMN software TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN busy REAL;
ALTER TABLE workers ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
)sql";

// A store whose maker died before the commit has no tables yet and may be made again.
absl::Status CheckIsNew(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(const int64_t tables,
                          database.QueryInteger("SELECT count(*) FROM sqlite_master"));
  if (tables == 0) return absl::OkStatus();
  return absl::AlreadyExistsError(
      fmt::format("{} already exists; resume that run or choose another folder", database.Path()));
}

absl::Status SetVersion(SqliteDatabase& database) {
  return database.Execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                      kRunStoreApplicationId, kRunStoreVersion)
                              .c_str());
}

absl::Status CreateSchema(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction,
                          SqliteTransaction::Begin(database, "BEGIN IMMEDIATE"));
  PONDER_RETURN_IF_ERROR(CheckIsNew(database));
  PONDER_RETURN_IF_ERROR(database.Execute(kRunStoreSchema));
  PONDER_RETURN_IF_ERROR(SetVersion(database));
  return transaction.Commit();
}

absl::StatusOr<int64_t> SchemaVersion(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(const int64_t application,
                          database.QueryInteger("PRAGMA application_id"));
  if (application != kRunStoreApplicationId) {
    return FailedPrecondition("{} is an SQLite file, but not a run store", database.Path());
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t version, database.QueryInteger("PRAGMA user_version"));
  if (version < 1 || version > kRunStoreVersion) {
    return FailedPrecondition(
        "{} has a schema of version {}, this program reads versions 1 to {}; use the program that "
        "wrote it",
        database.Path(), version, kRunStoreVersion);
  }
  return version;
}

absl::Status Migrate(SqliteDatabase& database) {
  PONDER_ASSIGN_OR_RETURN(SqliteTransaction transaction,
                          SqliteTransaction::Begin(database, "BEGIN IMMEDIATE"));
  // Another process may have done it by now.
  PONDER_ASSIGN_OR_RETURN(const int64_t version, SchemaVersion(database));
  if (version == kRunStoreVersion) return absl::OkStatus();
  if (version == 1) {
    PONDER_RETURN_IF_ERROR(database.Execute(kFromVersion1));
    PONDER_RETURN_IF_ERROR(database.Execute(kRunStoreSchema));
    PONDER_RETURN_IF_ERROR(database.Execute(kIntoSchema));
  } else {
    if (version == 2) PONDER_RETURN_IF_ERROR(database.Execute(kFromVersion2));
    PONDER_RETURN_IF_ERROR(database.Execute(kFromVersion3));
  }
  PONDER_RETURN_IF_ERROR(SetVersion(database));
  return transaction.Commit();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteDatabase>> OpenRunDatabase(const std::string& path,
                                                                RunDatabaseMode mode) {
  using Mode = RunDatabaseMode;
  using Access = SqliteDatabase::Access;
  std::error_code error;
  if (mode != Mode::kCreate && !std::filesystem::exists(path, error)) {
    return NotFound("there is no run store at {}", path);
  }
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                          SqliteDatabase::Open(path, mode == Mode::kCreate   ? Access::kCreate
                                                     : mode == Mode::kAppend ? Access::kWrite
                                                                             : Access::kRead));
  // Before anything is changed in a file that may be another's.
  int64_t version = kRunStoreVersion;
  if (mode == Mode::kCreate) {
    PONDER_RETURN_IF_ERROR(CheckIsNew(*database));
  } else {
    PONDER_ASSIGN_OR_RETURN(version, SchemaVersion(*database));
  }
  if (version < kRunStoreVersion) {
    database.reset();
    PONDER_ASSIGN_OR_RETURN(database, SqliteDatabase::Open(path, Access::kWrite));
    PONDER_RETURN_IF_ERROR(Annotate(
        Migrate(*database), fmt::format("bringing the store of an older program up to date")));
    if (mode == Mode::kRead) {
      database.reset();
      PONDER_ASSIGN_OR_RETURN(database, SqliteDatabase::Open(path, Access::kRead));
    }
  }
  // synchronous = FULL: a step that was reported as written survives a power cut.
  if (mode != Mode::kRead) {
    PONDER_RETURN_IF_ERROR(database->Execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  }
  if (mode == Mode::kCreate) PONDER_RETURN_IF_ERROR(CreateSchema(*database));
  return database;
}

}  // namespace ponder
