#include "kernels/collective.h"

#include <algorithm>

#include "kernels/cuda_library.h"

namespace ponder::kernels {

absl::StatusOr<std::vector<std::unique_ptr<Collective>>> CreateCollectives(
    std::span<Backend* const> backends) {
  const bool are_gpus = std::ranges::all_of(
      backends, [](const Backend* backend) { return backend->Info().name == "cuda"; });
  if (!are_gpus) return CreateHostCollectives(backends);
  absl::StatusOr<std::vector<std::unique_ptr<Collective>>> joined = CreateCudaCollectives(backends);
  if (!absl::IsNotFound(joined.status())) return joined;
  return CreateHostCollectives(backends, std::string(joined.status().message()));
}

}  // namespace ponder::kernels
