#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/blas_library.h"
#include "kernels/cuda/create_backend.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {

inline constexpr int64_t kManyRows = cuda::kBlasRows, kOutputs = 36, kInputs = 48;

// Operands of a product, and what the operations make of them.
class Operands {
 public:
  Operands(Backend& backend, int64_t rows, DType dtype = DType::kBF16)
      : rows(rows),
        x_values(Rounded(Normals(rows * kInputs, 1), dtype)),
        w_values(Rounded(Normals(kOutputs * kInputs, 2), dtype)),
        x(backend, x_values, rows, kInputs, dtype),
        w(backend, w_values, kOutputs, kInputs, dtype),
        backend_(backend) {}

  const int64_t rows;
  const std::vector<float> x_values, w_values;
  const ActBuffer x;
  const Weights w;

  std::vector<float> Linear(const Buffer* bias = nullptr, Store store = Store::kOverwrite) {
    const Buffer y(backend_, rows * kOutputs, 0.5f);
    backend_.Linear({.x = x.Data(),
                     .w = w.Matrix(),
                     .bias = bias == nullptr ? nullptr : bias->F(),
                     .y = y.F(),
                     .store = store,
                     .rows = rows});
    return y.Values();
  }
  // Gate and up are half of the outputs each.
  ActBuffer GateUp(const ActBuffer* kept = nullptr) {
    ActBuffer y(backend_, rows, kOutputs / 2, DType::kBF16);
    y.Spoil(backend_);
    backend_.GateUp({.x = x.Data(),
                     .w = w.Matrix(),
                     .y = y.Data(),
                     .kept = kept == nullptr ? nullptr : kept->Data(),
                     .rows = rows});
    backend_.Synchronize();
    return y;
  }
  void LogProb() {
    const Buffer targets = Buffer::Ints(backend_, std::vector<int32_t>(rows));
    const Buffer ones(backend_, rows, 1.0f);
    const Buffer logprobs(backend_, rows);
    backend_.LogProb({.hidden = x.Data(),
                      .w = w.Matrix(),
                      .targets = targets.I(),
                      .inverse_temperatures = ones.F(),
                      .logprobs = logprobs.F(),
                      .rows = rows});
    backend_.Synchronize();
  }
  // d_x, then d_w.
  std::vector<float> LinearBackward() {
    const Buffer d_y(backend_, Normals(rows * kOutputs, 3));
    const Buffer d_x(backend_, rows * kInputs, 7);
    const Buffer d_w(backend_, kOutputs * kInputs, 0.5f);
    backend_.LinearBackward({.x = x.Data(),
                             .d_y = d_y.F(),
                             .w = w.Matrix(),
                             .d_x = d_x.F(),
                             .d_w = d_w.F(),
                             .rows = rows});
    std::vector<float> both = d_x.Values();
    const std::vector<float> second = d_w.Values();
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }
  void LogProbBackward() {
    const Buffer targets = Buffer::Ints(backend_, std::vector<int32_t>(rows));
    const Buffer ones(backend_, rows, 1.0f);
    const Buffer logsumexps(backend_, rows, 20.0f);
    const Buffer d_hidden(backend_, rows * kInputs);
    const Buffer d_w(backend_, kOutputs * kInputs);
    backend_.LogProbBackward({.hidden = x.Data(),
                              .w = w.Matrix(),
                              .targets = targets.I(),
                              .inverse_temperatures = ones.F(),
                              .logsumexps = logsumexps.F(),
                              .d_logprobs = ones.F(),
                              .d_hidden = d_hidden.F(),
                              .d_w = d_w.F(),
                              .rows = rows});
    backend_.Synchronize();
  }

 private:
  Backend& backend_;
};

}  // namespace ponder::kernels
