#include <cublasLt.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <vector>

#include "kernels/cuda/blas_functions.h"
#include "kernels/dtype.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t transposed_a = CUBLAS_OP_N, transposed_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const float* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_32F;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type = CUDA_R_32F;
  int64_t rows = 0, columns = 0, stride = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignments[4] = {256, 256, 256, 256};
};

namespace ponder::cuda_emulation {
namespace {

using kernels::BF16;

constexpr size_t kScratchBytes = 4096;  // of each algorithm
bool is_there = true;
std::atomic<int64_t> calls = 0;

// What an algorithm was chosen for; it serves nothing else.
struct Algorithm {
  int64_t m, n, k, layouts;
  uint32_t alignments[4];
  bool any_order;
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

int64_t Element(const cublasLtMatrixLayoutOpaque_t& of, int64_t row, int64_t column) {
  return column * of.stride + row;
}

// The sizes of D [m, n] = A B over k; false where the layouts do not fit each other.
bool FindSizes(const cublasLtMatmulDescOpaque_t& description, const cublasLtMatrixLayoutOpaque_t& a,
               const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& d,
               Algorithm& sizes) {
  const bool a_turned = description.transposed_a == CUBLAS_OP_T;
  const bool b_turned = description.transposed_b == CUBLAS_OP_T;
  sizes.m = a_turned ? a.columns : a.rows;
  sizes.k = a_turned ? a.rows : a.columns;
  sizes.n = b_turned ? b.rows : b.columns;
  sizes.layouts = a.stride * 31 * 31 + b.stride * 31 + d.stride +
                  (static_cast<int64_t>(a_turned) << 62 | static_cast<int64_t>(b_turned) << 61 |
                   static_cast<int64_t>(description.epilogue) << 56);
  for (const auto& layout : {a, b, d}) {
    if (layout.rows <= 0 || layout.columns <= 0 || layout.stride < layout.rows) return false;
  }
  return (b_turned ? b.columns : b.rows) == sizes.k && d.rows == sizes.m && d.columns == sizes.n;
}

template <typename Value>
cublasStatus_t Set(Value& value, const void* from, size_t bytes) {
  if (from == nullptr || bytes != sizeof(Value)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&value, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

bool IsAligned(const void* at, uint32_t bytes) {
  return reinterpret_cast<uintptr_t>(at) % bytes == 0;
}

struct Product {
  cublasLtMatmulDescOpaque_t description;
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout, d_layout;
  Algorithm sizes{};
  const BF16* a = nullptr;
  const BF16* b = nullptr;
  void* d = nullptr;
  float alpha = 1, beta = 0;
  int64_t first = 0;  // of the places along k

  void Run() const {
    // Lines along k.
    std::vector<float> lines_a(sizes.m * sizes.k), lines_b(sizes.n * sizes.k);
    for (int64_t k = 0; k < sizes.k; ++k) {
      const int64_t from = (sizes.k - 1 - k + first) % sizes.k;
      for (int64_t m = 0; m < sizes.m; ++m) {
        lines_a[m * sizes.k + k] =
            ToF32(a[description.transposed_a == CUBLAS_OP_T ? Element(a_layout, from, m)
                                                            : Element(a_layout, m, from)]);
      }
      for (int64_t n = 0; n < sizes.n; ++n) {
        lines_b[n * sizes.k + k] =
            ToF32(b[description.transposed_b == CUBLAS_OP_T ? Element(b_layout, n, from)
                                                            : Element(b_layout, from, n)]);
      }
    }
    for (int64_t n = 0; n < sizes.n; ++n) {
      for (int64_t m = 0; m < sizes.m; ++m) {
        float sum = 0;
        for (int64_t k = 0; k < sizes.k; ++k)
          sum += lines_a[m * sizes.k + k] * lines_b[n * sizes.k + k];
        Put(Element(d_layout, m, n), m, sum);
      }
    }
  }
  void Put(int64_t at, int64_t row, float sum) const {
    const bool is_narrow = d_layout.type == CUDA_R_16BF;
    float value = alpha * sum;
    if (beta != 0)
      value += beta * (is_narrow ? ToF32(static_cast<BF16*>(d)[at]) : static_cast<float*>(d)[at]);
    if (description.epilogue == CUBLASLT_EPILOGUE_BIAS) value += description.bias[row];
    if (is_narrow) {
      static_cast<BF16*>(d)[at] = kernels::ToBF16(value);
    } else {
      static_cast<float*>(d)[at] = value;
    }
  }
};

}  // namespace

void SetBlasIsThere(bool there) { is_there = there; }
int64_t BlasCallCount() { return calls; }

}  // namespace ponder::cuda_emulation

namespace emulation = ponder::cuda_emulation;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    default:
      return "the functionality requested is not supported";
  }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  *description = new cublasLtMatmulDescOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void* value, size_t bytes) {
  switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return emulation::Set(description->transposed_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return emulation::Set(description->transposed_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return emulation::Set(description->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return emulation::Set(description->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return emulation::Set(description->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t stride) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<int64_t>(rows),
                                             static_cast<int64_t>(columns), stride};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void* value, size_t bytes) {
  switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return emulation::Set(preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return emulation::Set(preference->reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return emulation::Set(
          preference->alignments[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = 0;
  emulation::Algorithm chosen{};
  if (handle == nullptr || most < 1 || !emulation::FindSizes(*description, *a, *b, *d, chosen)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  // Of the types' table: bf16 by bf16 into fp32 or bf16.
  if (a->type != CUDA_R_16BF || b->type != CUDA_R_16BF || c->type != d->type ||
      description->bias_type != CUDA_R_32F ||
      preference->workspace_bytes < emulation::kScratchBytes)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (description->epilogue == CUBLASLT_EPILOGUE_BIAS && description->bias == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;  // its alignment decides too
  std::copy_n(preference->alignments, 4, chosen.alignments);
  chosen.any_order = (preference->reductions & CUBLASLT_REDUCTION_SCHEME_INPLACE) != 0;
  *results = {};
  std::memcpy(&results->algo, &chosen, sizeof(chosen));
  results->workspaceSize = emulation::kScratchBytes;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  emulation::Algorithm sizes{}, chosen{};
  if (handle == nullptr || algorithm == nullptr || a == nullptr || b == nullptr || d == nullptr ||
      !emulation::FindSizes(*description, *a_layout, *b_layout, *d_layout, sizes)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&chosen, algorithm, sizeof(chosen));
  const void* const matrices[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (!emulation::IsAligned(matrices[i], chosen.alignments[i]))
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool has_bias = description->epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (sizes.m != chosen.m || sizes.n != chosen.n || sizes.k != chosen.k ||
      sizes.layouts != chosen.layouts || c != d || c_layout->stride != d_layout->stride ||
      workspace_bytes < emulation::kScratchBytes || !emulation::IsAligned(workspace, 256) ||
      (has_bias &&
       (description->bias == nullptr || !emulation::IsAligned(description->bias, 16)))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  ++emulation::calls;
  emulation::Product product{.description = *description,
                             .a_layout = *a_layout,
                             .b_layout = *b_layout,
                             .d_layout = *d_layout,
                             .sizes = chosen,
                             .a = static_cast<const ponder::kernels::BF16*>(a),
                             .b = static_cast<const ponder::kernels::BF16*>(b),
                             .d = d,
                             .alpha = *static_cast<const float*>(alpha),
                             .beta = *static_cast<const float*>(beta),
                             .first = chosen.any_order ? emulation::calls.load() : 0};
  const cudaError_t error = emulation::EnqueueWork(stream, [product, workspace] {
    std::memset(workspace, 0xff, emulation::kScratchBytes);
    product.Run();
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

namespace ponder::kernels::cuda {

absl::StatusOr<BlasFunctions> FindBlasFunctions() {
  if (!emulation::is_there) return NotFound("cuBLASLt was taken from the emulated device");
  return BlasFunctions{.create = cublasLtCreate,
                       .destroy = cublasLtDestroy,
                       .status_string = cublasLtGetStatusString,
                       .description_create = cublasLtMatmulDescCreate,
                       .description_destroy = cublasLtMatmulDescDestroy,
                       .description_set = cublasLtMatmulDescSetAttribute,
                       .layout_create = cublasLtMatrixLayoutCreate,
                       .layout_destroy = cublasLtMatrixLayoutDestroy,
                       .preference_create = cublasLtMatmulPreferenceCreate,
                       .preference_destroy = cublasLtMatmulPreferenceDestroy,
                       .preference_set = cublasLtMatmulPreferenceSetAttribute,
                       .find_algorithms = cublasLtMatmulAlgoGetHeuristic,
                       .matmul = cublasLtMatmul};
}

}  // namespace ponder::kernels::cuda
