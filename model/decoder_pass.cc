#include "model/decoder_pass.h"

#include <cmath>

namespace ponder {

using kernels::Store;

float DecoderPass::AttentionScale() const {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(config_.head_width)));
}

void DecoderPass::Norm(const float* x, int64_t parameter, void* y, float* inverse_rms) {
  backend_.RmsNorm({.x = x,
                    .weight = weights_.Vector(parameter),
                    .y = y,
                    .inverse_rms = inverse_rms,
                    .act = weights_.Dtype(),
                    .epsilon = config_.norm_epsilon,
                    .rows = batch_.rows,
                    .width = config_.width});
}

void DecoderPass::NormBackward(const float* x, int64_t parameter, const float* inverse_rms,
                               const BackwardArrays& work, const float* d_y, float* gradients) {
  backend_.RmsNormBackward({.x = x,
                            .weight = weights_.Vector(parameter),
                            .inverse_rms = inverse_rms,
                            .d_y = d_y,
                            .d_x = work.d_residual,
                            .d_weight = Gradient(gradients, parameter),
                            .rows = batch_.rows,
                            .width = config_.width});
}

void DecoderPass::Linear(const void* x, int64_t matrix, int64_t bias, float* y, Store store) {
  backend_.Linear({.x = x,
                   .w = weights_.Matrix(matrix),
                   .bias = weights_.Vector(bias),
                   .y = y,
                   .store = store,
                   .rows = batch_.rows});
}

void DecoderPass::LinearBackward(const void* x, const float* d_y, int64_t matrix, int64_t bias,
                                 float* d_x, float* gradients) {
  backend_.LinearBackward({.x = x,
                           .d_y = d_y,
                           .w = weights_.Matrix(matrix),
                           .d_x = d_x,
                           .d_w = Gradient(gradients, matrix),
                           .d_bias = Gradient(gradients, bias),
                           .rows = batch_.rows});
}

void DecoderPass::Forward() {
  backend_.Embed({.ids = batch_.ids,
                  .table = weights_.Matrix(layout_.embedding),
                  .out = arrays_.layers.front().input,
                  .rows = batch_.rows});
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    AttentionForward(layer);
    FeedForward(layer);
  }
  Norm(arrays_.final_input, layout_.final_norm, arrays_.hidden, arrays_.final_inverse_rms);
}

void DecoderPass::AttentionForward(int64_t index) {
  const LayerArrays& layer = arrays_.layers[index];
  const LayerParameters& parameters = layout_.layers[index];
  Norm(layer.input, parameters.attention_norm, arrays_.normed, layer.attention_inverse_rms);
  Linear(arrays_.normed, parameters.qkv, parameters.qkv_bias, layer.qkv, Store::kOverwrite);
  // All rows write their keys before any row reads: sequences of one batch may share pages.
  backend_.QkvRope({.qkv = layer.qkv,
                    .q_norm = weights_.Vector(parameters.q_norm),
                    .k_norm = weights_.Vector(parameters.k_norm),
                    .norm_epsilon = config_.norm_epsilon,
                    .cos_sin = rope_table_,
                    .positions = batch_.positions,
                    .slots = batch_.slots,
                    .q = layer.q,
                    .cache = cache_.Layer(index),
                    .shape = cache_.Shape(),
                    .rows = batch_.rows,
                    .heads = config_.heads});
  backend_.Attention({.q = layer.q,
                      .cache = cache_.Layer(index),
                      .shape = cache_.Shape(),
                      .sequences = batch_.sequences,
                      .sequence_count = batch_.sequence_count,
                      .max_queries = batch_.max_queries,
                      .runs = batch_.runs,
                      .segments = batch_.segments,
                      .segment_count = batch_.segment_count,
                      .max_keys = batch_.max_keys,
                      .out = layer.attention,
                      .out_act = weights_.Dtype(),
                      .logsumexp = layer.logsumexp,
                      .scale = AttentionScale(),
                      .rows = batch_.rows,
                      .heads = config_.heads});
  CarryResidual(layer.input, layer.middle);
  Linear(layer.attention, parameters.output, parameters.output_bias, layer.middle, Store::kAdd);
}

void DecoderPass::FeedForwardGate(int64_t index) {
  const LayerArrays& layer = arrays_.layers[index];
  const LayerParameters& parameters = layout_.layers[index];
  Norm(layer.middle, parameters.ffn_norm, arrays_.normed, layer.ffn_inverse_rms);
  backend_.GateUp({.x = arrays_.normed,
                   .w = weights_.Matrix(parameters.gate_up),
                   .y = arrays_.swiglu,
                   .kept = layer.gate_up,
                   .rows = batch_.rows});
}

void DecoderPass::FeedForward(int64_t index) {
  const LayerArrays& layer = arrays_.layers[index];
  FeedForwardGate(index);
  float* const next =
      index + 1 < config_.layers ? arrays_.layers[index + 1].input : arrays_.final_input;
  CarryResidual(layer.middle, next);
  Linear(arrays_.swiglu, layout_.layers[index].down, -1, next, Store::kAdd);
}

void DecoderPass::Backward(const BackwardArrays& work, const float* d_hidden, int64_t pages,
                           Keep keep, float* gradients) {
  backend_.Zero(work.d_residual, batch_.rows * config_.width * 4);
  NormBackward(arrays_.final_input, layout_.final_norm, arrays_.final_inverse_rms, work, d_hidden,
               gradients);
  for (int64_t layer = config_.layers - 1; layer >= 0; --layer) {
    // The last layer's arrays are those that the forward left.
    if (keep == Keep::kLayerInputs && layer + 1 < config_.layers) {
      AttentionForward(layer);
      FeedForwardGate(layer);
    }
    FeedForwardBackward(layer, work, gradients);
    AttentionBackward(layer, work, pages, gradients);
  }
  backend_.EmbedBackward({.ids = batch_.ids,
                          .d_out = work.d_residual,
                          .d_table = Gradient(gradients, layout_.embedding),
                          .rows = batch_.rows,
                          .width = config_.width,
                          .vocabulary = config_.vocabulary});
}

void DecoderPass::FeedForwardBackward(int64_t index, const BackwardArrays& work, float* gradients) {
  const LayerArrays& layer = arrays_.layers[index];
  const LayerParameters& parameters = layout_.layers[index];
  backend_.SwiGlu({.gate_up = layer.gate_up,
                   .y = arrays_.swiglu,
                   .act = weights_.Dtype(),
                   .rows = batch_.rows,
                   .width = config_.ffn_width});
  LinearBackward(arrays_.swiglu, work.d_residual, parameters.down, -1, work.d_swiglu, gradients);
  backend_.SwiGluBackward({.gate_up = layer.gate_up,
                           .d_y = work.d_swiglu,
                           .d_gate_up = work.d_gate_up,
                           .act = weights_.Dtype(),
                           .rows = batch_.rows,
                           .width = config_.ffn_width});
  Norm(layer.middle, parameters.ffn_norm, arrays_.normed, nullptr);
  LinearBackward(arrays_.normed, work.d_gate_up, parameters.gate_up, -1, work.d_normed, gradients);
  NormBackward(layer.middle, parameters.ffn_norm, layer.ffn_inverse_rms, work, work.d_normed,
               gradients);
}

void DecoderPass::AttentionBackward(int64_t index, const BackwardArrays& work, int64_t pages,
                                    float* gradients) {
  const LayerArrays& layer = arrays_.layers[index];
  const LayerParameters& parameters = layout_.layers[index];
  LinearBackward(layer.attention, work.d_residual, parameters.output, parameters.output_bias,
                 work.d_attention, gradients);
  // By slot, so that a row of a shared prefix gathers from every sequence that sees it.
  const int64_t key_bytes =
      pages * kernels::kPageTokens * config_.kv_heads * config_.head_width * 4;
  backend_.Zero(work.d_keys, key_bytes);
  backend_.Zero(work.d_values, key_bytes);
  backend_.AttentionBackward({.q = layer.q,
                              .cache = cache_.Layer(index),
                              .shape = cache_.Shape(),
                              .sequences = batch_.sequences,
                              .sequence_count = batch_.sequence_count,
                              .out = layer.attention,
                              .out_act = weights_.Dtype(),
                              .logsumexp = layer.logsumexp,
                              .d_out = work.d_attention,
                              .d_q = work.d_q,
                              .d_keys = work.d_keys,
                              .d_values = work.d_values,
                              .scale = AttentionScale(),
                              .rows = batch_.rows,
                              .heads = config_.heads});
  backend_.QkvRopeBackward({.qkv = config_.qk_norm ? layer.qkv : nullptr,
                            .q_norm = weights_.Vector(parameters.q_norm),
                            .k_norm = weights_.Vector(parameters.k_norm),
                            .norm_epsilon = config_.norm_epsilon,
                            .cos_sin = rope_table_,
                            .positions = batch_.positions,
                            .slots = batch_.slots,
                            .d_q = work.d_q,
                            .d_keys = work.d_keys,
                            .d_values = work.d_values,
                            .d_qkv = work.d_qkv,
                            .d_q_norm = Gradient(gradients, parameters.q_norm),
                            .d_k_norm = Gradient(gradients, parameters.k_norm),
                            .shape = cache_.Shape(),
                            .rows = batch_.rows,
                            .heads = config_.heads});
  Norm(layer.input, parameters.attention_norm, arrays_.normed, nullptr);
  LinearBackward(arrays_.normed, work.d_qkv, parameters.qkv, parameters.qkv_bias, work.d_normed,
                 gradients);
  NormBackward(layer.input, parameters.attention_norm, layer.attention_inverse_rms, work,
               work.d_normed, gradients);
}

}  // namespace ponder
