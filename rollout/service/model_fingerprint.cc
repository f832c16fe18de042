#include "rollout/service/model_fingerprint.h"

#include <fmt/format.h>

#include "base/random.h"

namespace ponder {

std::string ModelFingerprint(const Weights& weights) {
  const ModelConfig& c = weights.Config();
  const RopeConfig& r = c.rope;
  std::string text = fmt::format(
      "positions {} epsilon {} theta {} scaling {} {} {} {} {} {} {} {} tied {} biases {} {} "
      "qk_norm {}",
      c.max_positions, c.norm_epsilon, r.theta, static_cast<int>(r.scaling), r.factor,
      r.low_frequency_factor, r.high_frequency_factor, r.original_max_positions, r.beta_fast,
      r.beta_slow, r.attention_factor, c.tied_embeddings, c.qkv_bias, c.output_bias, c.qk_norm);
  for (const Parameter& parameter : weights.Layout().parameters) {
    text += fmt::format("; {} {} x {}", parameter.name, parameter.rows, parameter.columns);
  }
  text += fmt::format("; {} bytes", weights.ArenaBytes());
  // Weights travel as they lie in memory.
  if (weights.Order() != kernels::MatrixOrder::kPanels) text += "; row by row";
  return fmt::format("{}, {} layers of width {}, {} tokens of {}, {} ({:016x})", ToString(c.family),
                     c.layers, c.width, weights.DrawableTokens(), c.vocabulary,
                     ToString(weights.Dtype()), StableHash(text));
}

}  // namespace ponder
