#include "app/bench_limits.h"

#include "kernels/dtype.h"

namespace ponder {

ModelWork ModelWork::Of(const Weights& weights) {
  const ModelConfig& config = weights.Config();
  const ParameterLayout& layout = weights.Layout();
  ModelWork work;
  for (const Parameter& parameter : layout.parameters) {
    if (parameter.role == Parameter::Role::kMatrix) {
      work.layer_parameters += static_cast<double>(parameter.Count());
    }
  }
  work.head_parameters = static_cast<double>(weights.DrawableTokens() * config.width);
  work.element_bytes = static_cast<double>(kernels::SizeOf(weights.Dtype()));
  work.key_value_bytes =
      static_cast<double>(2 * config.layers * config.kv_heads * config.head_width) *
      work.element_bytes;
  work.attention_operations =
      static_cast<double>(4 * config.layers * config.heads * config.head_width);
  work.parameters = static_cast<double>(layout.ParameterCount());
  return work;
}

Work ModelWork::Decode(double sequences, double context) const {
  return {.bytes = (layer_parameters + head_parameters) * element_bytes +
                   sequences * context * key_value_bytes,
          .operations = sequences * (2 * (layer_parameters + head_parameters) +
                                     context * attention_operations)};
}

Work ModelWork::Prefill(double prompts, double tokens, double forwards) const {
  const double pairs = tokens * (tokens + 1) / 2;
  return {.bytes = forwards * (layer_parameters + head_parameters) * element_bytes,
          .operations = prompts * (2 * tokens * layer_parameters + 2 * head_parameters +
                                   pairs * attention_operations)};
}

Work ModelWork::Train(double rows, double targets, double query_keys) const {
  return {.operations = 6 * rows * layer_parameters + 6 * targets * head_parameters +
                        3 * query_keys * attention_operations};
}

Work ModelWork::Update() const {
  constexpr double kRead = 16, kWritten = 12;  // fp32: master, moments, gradient; all but the last
  return {.bytes = parameters * (kRead + kWritten + element_bytes)};
}

}  // namespace ponder
