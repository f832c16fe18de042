#include "model/activations.h"

#include <algorithm>

namespace ponder {
namespace {

using kernels::DType;
using kernels::PaddedInputs;

// Deals out 64-byte aligned arrays from one block, or only counts when there is no block.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}

  float* Floats(int64_t count) { return static_cast<float*>(Take(count * 4)); }
  void* Act(int64_t rows, int64_t width, DType dtype) {
    return Take(rows * PaddedInputs(width) * kernels::SizeOf(dtype));
  }

  int64_t Used() const { return used_; }
  void Rewind(int64_t used) { used_ = used; }

 private:
  void* Take(int64_t bytes) {
    void* memory = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + 63) / 64 * 64;
    return memory;
  }

  char* base_;
  int64_t used_ = 0;
};

// The arrays that all layers of a forward share.
void TakeShared(const ModelConfig& config, DType dtype, int64_t rows, Arena& arena,
                ForwardArrays* arrays) {
  arrays->normed = arena.Act(rows, config.width, dtype);
  arrays->swiglu = arena.Act(rows, config.ffn_width, dtype);
  arrays->hidden = arena.Act(rows, config.width, dtype);
}

int64_t LayOutTraining(const ModelConfig& config, DType dtype, int64_t rows, int64_t pages,
                       Keep keep, void* base, ForwardArrays* forward, BackwardArrays* backward) {
  Arena arena(base);
  const int64_t query_width = config.heads * config.head_width;

  TakeShared(config, dtype, rows, arena, forward);
  float* shared_qkv = config.qk_norm ? nullptr : arena.Floats(rows * config.QkvWidth());
  forward->final_input = arena.Floats(rows * config.width);
  forward->final_inverse_rms = arena.Floats(rows);
  // All but the input, which stands before the others.
  const auto take_layer = [&] {
    LayerArrays layer;
    layer.attention_inverse_rms = arena.Floats(rows);
    layer.qkv = config.qk_norm ? arena.Floats(rows * config.QkvWidth()) : shared_qkv;
    layer.q = arena.Floats(rows * query_width);
    layer.logsumexp = arena.Floats(rows * config.heads);
    layer.attention = arena.Act(rows, query_width, dtype);
    layer.middle = arena.Floats(rows * config.width);
    layer.ffn_inverse_rms = arena.Floats(rows);
    layer.gate_up = arena.Act(rows, 2 * config.ffn_width, dtype);
    return layer;
  };
  const LayerArrays shared = keep == Keep::kLayerInputs ? take_layer() : LayerArrays();
  forward->layers.clear();
  for (int64_t i = 0; i < config.layers; ++i) {
    float* input = arena.Floats(rows * config.width);
    forward->layers.push_back(keep == Keep::kLayerInputs ? shared : take_layer());
    forward->layers.back().input = input;
  }

  backward->d_residual = arena.Floats(rows * config.width);
  backward->d_normed = arena.Floats(rows * config.width);
  const int64_t slots = pages * kernels::kPageTokens;
  backward->d_keys = arena.Floats(slots * config.kv_heads * config.head_width);
  backward->d_values = arena.Floats(slots * config.kv_heads * config.head_width);

  const int64_t half_begin = arena.Used();
  backward->d_swiglu = arena.Floats(rows * config.ffn_width);
  backward->d_gate_up = arena.Floats(rows * 2 * config.ffn_width);
  const int64_t ffn_end = arena.Used();
  arena.Rewind(half_begin);
  backward->d_attention = arena.Floats(rows * query_width);
  backward->d_q = arena.Floats(rows * query_width);
  backward->d_qkv = arena.Floats(rows * config.QkvWidth());
  return std::max(ffn_end, arena.Used());
}

}  // namespace

int64_t LayOutForward(const ModelConfig& config, DType dtype, int64_t rows, void* base,
                      ForwardArrays* arrays) {
  Arena arena(base);
  ForwardArrays result;
  TakeShared(config, dtype, rows, arena, &result);
  const int64_t query_width = config.heads * config.head_width;
  LayerArrays layer;
  layer.input = arena.Floats(rows * config.width);
  layer.middle = layer.input;
  layer.qkv = arena.Floats(rows * config.QkvWidth());
  layer.q = arena.Floats(rows * query_width);
  layer.attention = arena.Act(rows, query_width, dtype);
  result.final_input = layer.input;
  result.layers.assign(config.layers, layer);
  if (base != nullptr) *arrays = std::move(result);
  return arena.Used();
}

absl::StatusOr<std::unique_ptr<Activations>> Activations::Create(kernels::Backend& backend,
                                                                 const ModelConfig& config,
                                                                 DType dtype, int64_t max_rows,
                                                                 int64_t max_pages, Keep keep,
                                                                 kernels::DeviceSpan place) {
  auto activations = std::unique_ptr<Activations>(new Activations());
  const int64_t bytes = ActivationBytes(config, dtype, max_rows, max_pages, keep);
  auto arena = kernels::DeviceBuffer::CreateIn(backend, bytes, place);
  if (!arena.ok()) {
    return Annotate(
        arena.status(),
        fmt::format("activations of {} packed tokens; fewer tokens a micro-batch need less",
                    max_rows));
  }
  activations->arena_ = std::move(arena).value();
  LayOutTraining(config, dtype, max_rows, max_pages, keep, activations->arena_.As<void>(),
                 &activations->forward_, &activations->backward_);
  activations->dtype_ = dtype;
  activations->keep_ = keep;
  activations->max_rows_ = max_rows;
  activations->max_pages_ = max_pages;
  return activations;
}

int64_t ActivationBytes(const ModelConfig& config, DType dtype, int64_t max_rows, int64_t max_pages,
                        Keep keep) {
  ForwardArrays forward;
  BackwardArrays backward;
  return LayOutTraining(config, dtype, max_rows, max_pages, keep, nullptr, &forward, &backward);
}

absl::StatusOr<std::unique_ptr<Activations>> CreateActivations(kernels::Backend& backend,
                                                               const ModelConfig& config,
                                                               DType dtype, int64_t max_rows,
                                                               int64_t max_pages, Keep keep,
                                                               kernels::DeviceSpan place) {
  return Activations::Create(backend, config, dtype, max_rows, max_pages, keep, place);
}

}  // namespace ponder
