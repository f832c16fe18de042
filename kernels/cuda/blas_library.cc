#include <fmt/format.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/blas_functions.h"
#include "kernels/cuda/launch.h"
#include "kernels/gpu_workspace.h"

namespace ponder::kernels::cuda {
namespace {

// Of every array (kernels/operations.h). The library takes for granted 256 where it is not told.
constexpr uint32_t kAlignment = 64;
// Each number of rows has its own. A micro-batch has six products, so that this is hundreds of
// batches; what was forgotten is found again, the same.
constexpr size_t kMostPlans = 4096;

template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

struct Plan {
  Owned<cublasLtMatmulDesc_t> description;
  Owned<cublasLtMatrixLayout_t> a, b, c;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: the library has none
};

class LoadedBlasLibrary final : public BlasLibrary {
 public:
  LoadedBlasLibrary(const BlasFunctions& functions, cublasLtHandle_t handle, void* scratch)
      : functions_(functions), handle_(handle), scratch_(scratch) {}
  ~LoadedBlasLibrary() override {
    plans_.clear();
    functions_.destroy(handle_);
    cudaFree(scratch_);
  }

  bool MatMul(cudaStream_t stream, const BlasProduct& product) override {
    const Plan& plan = PlanFor(product);
    if (!plan.algorithm.has_value()) return false;
    if (product.bias != nullptr) {
      SetDescription(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
    }
    const float alpha = 1, beta = product.store == Store::kAdd ? 1 : 0;
    // The library counts in columns, for which a row-major matrix is its transpose:
    // C^T = B^T A^T.
    Check(functions_.matmul(handle_, plan.description.get(), &alpha, product.b.data, plan.a.get(),
                            product.a.data, plan.b.get(), &beta, product.c, plan.c.get(), product.c,
                            plan.c.get(), &*plan.algorithm, scratch_, kBlasScratchBytes, stream),
          "cublasLtMatmul");
    return true;
  }

 private:
  // Everything that the choice of an algorithm depends on.
  using Key = std::array<int64_t, 7>;

  const Plan& PlanFor(const BlasProduct& p) {
    const int64_t kinds = (p.a_major == Major::kK ? 1 : 0) | (p.b_major == Major::kK ? 2 : 0) |
                          (p.bias != nullptr ? 4 : 0) | (p.c_type == DType::kF32 ? 8 : 0);
    const Key key = {p.m, p.n, p.k, p.a.width, p.b.width, p.c_width, kinds};
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    if (plans_.size() >= kMostPlans) plans_.clear();
    return plans_.emplace(key, MakePlan(p)).first->second;
  }

  Plan MakePlan(const BlasProduct& p) {
    const auto transposed = [](bool is) { return is ? CUBLAS_OP_T : CUBLAS_OP_N; };
    const bool a_along_k = p.a_major == Major::kK, b_along_k = p.b_major == Major::kK;
    Plan plan{
        .description = MakeDescription(),
        .a = MakeLayout(CUDA_R_16BF, b_along_k ? p.k : p.n, b_along_k ? p.n : p.k, p.b.width),
        .b = MakeLayout(CUDA_R_16BF, a_along_k ? p.k : p.m, a_along_k ? p.m : p.k, p.a.width),
        .c = MakeLayout(p.c_type == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF, p.n, p.m, p.c_width)};
    SetDescription(plan, CUBLASLT_MATMUL_DESC_TRANSA, transposed(b_along_k));
    SetDescription(plan, CUBLASLT_MATMUL_DESC_TRANSB, transposed(!a_along_k));
    if (p.bias != nullptr) {
      SetDescription(plan, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      SetDescription(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
      // Only its alignment is looked at when an algorithm is chosen.
      SetDescription(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                     reinterpret_cast<const float*>(uintptr_t{kAlignment}));
    }
    cublasLtMatmulPreference_t made = nullptr;
    Check(functions_.preference_create(&made), "cublasLtMatmulPreferenceCreate");
    const Owned<cublasLtMatmulPreference_t> preference(made, functions_.preference_destroy);
    SetPreference(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kBlasScratchBytes});
    // Parts of a sum that are merged in order, from memory of their own; not whichever comes first.
    SetPreference(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                  uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    for (const auto which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      SetPreference(made, which, kAlignment);
    }
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        functions_.find_algorithms(handle_, plan.description.get(), plan.a.get(), plan.b.get(),
                                   plan.c.get(), plan.c.get(), preference.get(), 1, &found, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return plan;
    Check(status, "cublasLtMatmulAlgoGetHeuristic");
    if (count > 0 && found.state == CUBLAS_STATUS_SUCCESS) plan.algorithm = found.algo;
    return plan;
  }

  Owned<cublasLtMatmulDesc_t> MakeDescription() {
    cublasLtMatmulDesc_t made = nullptr;
    Check(functions_.description_create(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    return {made, functions_.description_destroy};
  }
  // Of columns that lie `stride` elements apart.
  Owned<cublasLtMatrixLayout_t> MakeLayout(cudaDataType_t type, int64_t rows, int64_t columns,
                                           int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    Check(functions_.layout_create(&made, type, static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(columns), stride),
          "cublasLtMatrixLayoutCreate");
    return {made, functions_.layout_destroy};
  }
  template <typename Value>
  void SetDescription(const Plan& plan, cublasLtMatmulDescAttributes_t which, Value value) {
    Check(functions_.description_set(plan.description.get(), which, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }
  template <typename Value>
  void SetPreference(cublasLtMatmulPreference_t preference,
                     cublasLtMatmulPreferenceAttributes_t which, Value value) {
    Check(functions_.preference_set(preference, which, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  }
  void Check(cublasStatus_t status, const char* what) {
    PONDER_CHECK(status == CUBLAS_STATUS_SUCCESS,
                 fmt::format("{}: {}", what, functions_.status_string(status)));
  }

  const BlasFunctions functions_;
  const cublasLtHandle_t handle_;
  void* const scratch_;  // one for all products: the stream keeps their order
  std::map<Key, Plan> plans_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlasLibrary>> CreateBlasLibrary(const BlasFunctions& functions) {
  void* scratch = nullptr;
  if (cudaMalloc(&scratch, kBlasScratchBytes) != cudaSuccess) {
    cudaGetLastError();  // it is answered for here
    return ResourceExhausted("expected {} MiB of the GPU's memory for cuBLASLt, found less",
                             kBlasScratchBytes >> 20);
  }
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = functions.create(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    cudaFree(scratch);
    return FailedPrecondition("cuBLASLt cannot use the GPU: {}", functions.status_string(status));
  }
  return std::make_unique<LoadedBlasLibrary>(functions, handle, scratch);
}

}  // namespace ponder::kernels::cuda
