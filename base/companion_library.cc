#include "base/companion_library.h"

#include <dlfcn.h>

#include <filesystem>

namespace ponder {

absl::StatusOr<std::string> FindCompanion(const CompanionLibrary& library) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return Internal("cannot tell where the program lies: {}", error.message());
  fs::path folder = program.parent_path();
  constexpr int kLevels = 3;
  for (int level = 0; level < kLevels; ++level, folder = folder.parent_path()) {
    const fs::path candidate = folder / library.file;
    if (fs::exists(candidate, error)) return candidate.string();
  }
  return NotFound("{} was expected beside {}; {}", library.file, program.string(), library.remedy);
}

absl::StatusOr<void*> LoadCompanionEntry(const CompanionLibrary& library) {
  PONDER_ASSIGN_OR_RETURN(const std::string path, FindCompanion(library));
  // Everything is resolved now rather than in the middle of a run; the symbols stay out of the
  // program's way.
  void* loaded = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) return FailedPrecondition("cannot load {}: {}", path, dlerror());
  void* entry = dlsym(loaded, library.entry.c_str());
  if (entry == nullptr)
    return FailedPrecondition("{} has no {}; it is of another build", path, library.entry);
  return entry;
}

}  // namespace ponder
