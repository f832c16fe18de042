#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "model/activations.h"
#include "model/decoder.h"

namespace ponder {

// A batch on the device.
struct DeviceBatch {
  const int32_t* ids = nullptr;                           // [N]
  const int32_t* positions = nullptr;                     // [N]
  const int32_t* slots = nullptr;                         // [N]
  const kernels::AttentionSequence* sequences = nullptr;  // [B], their pages on the device too
  int64_t rows = 0;
  int64_t sequence_count = 0;
  int64_t max_queries = 0;  // no sequence has more
  // For a GPU's attention (kernels::AttentionArgs).
  const kernels::AttentionRun* runs = nullptr;
  const kernels::AttentionSegment* segments = nullptr;
  int64_t segment_count = 0;
  int64_t max_keys = 0;
};

// One pass over one batch: the arithmetic of the decoder, forward and backward, with everything it
// reads at hand.
class DecoderPass {
 public:
  DecoderPass(kernels::Backend& backend, const Weights& weights, const KvCache& cache,
              const float* rope_table, const DeviceBatch& batch, const ForwardArrays& arrays)
      : backend_(backend),
        weights_(weights),
        config_(weights.Config()),
        layout_(weights.Layout()),
        cache_(cache),
        rope_table_(rope_table),
        batch_(batch),
        arrays_(arrays) {}

  void Forward();
  // Adds to `gradients`, flat in layout order. With Keep::kLayerInputs each layer's arrays are made
  // again first.
  void Backward(const BackwardArrays& work, const float* d_hidden, int64_t pages, Keep keep,
                float* gradients);

 private:
  void AttentionForward(int64_t layer);
  // Norm, gate, up and SwiGLU; FeedForward goes on to the next layer's input.
  void FeedForwardGate(int64_t layer);
  void FeedForward(int64_t layer);
  void AttentionBackward(int64_t layer, const BackwardArrays& work, int64_t pages,
                         float* gradients);
  void FeedForwardBackward(int64_t layer, const BackwardArrays& work, float* gradients);

  void Norm(const float* x, int64_t parameter, void* y, float* inverse_rms);
  void NormBackward(const float* x, int64_t parameter, const float* inverse_rms,
                    const BackwardArrays& work, const float* d_y, float* gradients);
  void Linear(const void* x, int64_t matrix, int64_t bias, float* y, kernels::Store store);
  void LinearBackward(const void* x, const float* d_y, int64_t matrix, int64_t bias, float* d_x,
                      float* gradients);

  // The residual stream moves on from one array to the next where each is kept.
  void CarryResidual(const float* from, float* to) {
    if (from != to) backend_.Copy(to, from, batch_.rows * config_.width * 4);
  }
  float* Gradient(float* gradients, int64_t parameter) const {
    return parameter < 0 ? nullptr : gradients + layout_.parameters[parameter].offset;
  }
  float AttentionScale() const;

  kernels::Backend& backend_;
  const Weights& weights_;
  const ModelConfig& config_;
  const ParameterLayout& layout_;
  const KvCache& cache_;
  const float* rope_table_;
  const DeviceBatch& batch_;
  const ForwardArrays& arrays_;
};

}  // namespace ponder
