#include "observe/dashboard/change_cache.h"

#include <sys/stat.h>

#include "base/status.h"
#include "observe/run_lock.h"

namespace ponder {

std::string ChangeMark(const ServedRun& run) {
  std::string mark = RunLock::IsHeld(run.path) ? "held" : "free";
  for (const std::string& path :
       {run.StorePath(), run.StorePath() + "-wal", run.path + "/config.toml"}) {
    struct stat file = {};
    if (stat(path.c_str(), &file) != 0) file = {};
    mark += fmt::format(" {}/{}/{}/{}.{}", file.st_dev, file.st_ino, file.st_size,
                        file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
  }
  return mark;
}

}  // namespace ponder
