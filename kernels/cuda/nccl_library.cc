#include "kernels/cuda/nccl_library.h"

#include <dlfcn.h>

namespace ponder::kernels::cuda {
namespace {

constexpr char kFile[] = "libnccl.so.2";

template <typename Function>
absl::Status Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function != nullptr) return absl::OkStatus();
  return FailedPrecondition("{} has no {}; install NCCL 2", kFile, name);
}

absl::StatusOr<const NcclLibrary*> Load() {
  void* const file = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) return NotFound("without NCCL: {}", dlerror());
  static NcclLibrary library;
  PONDER_RETURN_IF_ERROR(Find(file, "ncclGetVersion", library.get_version));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclGetErrorString", library.get_error_string));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclCommInitAll", library.comm_init_all));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclCommDestroy", library.comm_destroy));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclCommAbort", library.comm_abort));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclAllReduce", library.all_reduce));
  PONDER_RETURN_IF_ERROR(Find(file, "ncclBroadcast", library.broadcast));
  return &library;
}

}  // namespace

absl::StatusOr<const NcclLibrary*> LoadNccl() {
  static const absl::StatusOr<const NcclLibrary*> loaded = Load();
  return loaded;
}

}  // namespace ponder::kernels::cuda
