#include "learner/library.h"

#include <absl/synchronization/mutex.h>
#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "learner/library_entry.h"

namespace ponder {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<LearnerEntry> LoadEntry() {
  PONDER_ASSIGN_OR_RETURN(const std::string path, FindLearnerLibrary());
  // Everything is resolved now rather than in the middle of a run; the symbols stay out of the
  // program's way.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return FailedPrecondition("cannot load {}: {}", path, dlerror());
  void* entry = dlsym(library, kLearnerEntryName);
  if (entry == nullptr)
    return FailedPrecondition("{} has no {}; it is of another build", path, kLearnerEntryName);
  return reinterpret_cast<LearnerEntry>(entry);
}

}  // namespace

// Beside the program; a test's program lies in a folder of the build tree, so the folders above are
// looked at too.
absl::StatusOr<std::string> FindLearnerLibrary() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return Internal("cannot tell where the program lies: {}", error.message());
  fs::path folder = program.parent_path();
  constexpr int kLevels = 3;
  for (int level = 0; level < kLevels; ++level, folder = folder.parent_path()) {
    const fs::path candidate = folder / kLearnerFileName;
    if (fs::exists(candidate, error)) return candidate.string();
  }
  return NotFound("{} was expected beside {}; build the target ponder_learner", kLearnerFileName,
                  program.string());
}

absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainer(kernels::Backend& backend,
                                                       const TrainerOptions& options) {
  static absl::Mutex mutex(absl::kConstInit);
  static LearnerEntry loaded = nullptr;
  LearnerEntry entry = nullptr;
  {
    absl::MutexLock lock(&mutex);
    if (loaded == nullptr) {
      PONDER_ASSIGN_OR_RETURN(loaded, LoadEntry());
    }
    entry = loaded;
  }
  TrainerOr result = Internal("the learner library gave no answer");
  entry(kLearnerInterface, &backend, &options, &result);
  return result;
}

}  // namespace ponder
