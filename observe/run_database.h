#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "observe/sqlite.h"

namespace ponder {

enum class RunDatabaseMode { kCreate, kAppend, kRead };

// Opens RUN/run.db with the schema of this program. kCreate: ALREADY_EXISTS where tables are there;
// else NOT_FOUND where there is no file, FAILED_PRECONDITION where it is not a run store or a newer
// one. A store of an older schema is brought up to date, in one transaction; for kRead the file is
// opened for writing until that is done.
absl::StatusOr<std::unique_ptr<SqliteDatabase>> OpenRunDatabase(const std::string& path,
                                                                RunDatabaseMode mode);

}  // namespace ponder
