#include "tests/reference/torch_decoder.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "base/check.h"

namespace ponder::reference {
namespace {

using torch::Tensor;

// Hugging Face keeps the inverse frequencies in float32.
Tensor InverseFrequencies(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const int64_t width = config.head_width;
  const Tensor exponents = torch::arange(0, width, 2, torch::kInt64).to(torch::kFloat32) / width;
  const Tensor plain = 1.0 / torch::pow(rope.theta, exponents);
  switch (rope.scaling) {
    case RopeScaling::kNone:
      return plain;
    case RopeScaling::kLinear:
      return plain / rope.factor;
    case RopeScaling::kLlama3: {
      const double length = static_cast<double>(rope.original_max_positions);
      const Tensor waves = 2 * std::numbers::pi / plain;
      const double low = length / rope.low_frequency_factor;
      const double high = length / rope.high_frequency_factor;
      const Tensor smooth = (length / waves - rope.low_frequency_factor) /
                            (rope.high_frequency_factor - rope.low_frequency_factor);
      const Tensor blended = (1 - smooth) * plain / rope.factor + smooth * plain;
      return torch::where(waves > low, plain / rope.factor,
                          torch::where(waves < high, plain, blended));
    }
    case RopeScaling::kYarn: {
      const auto correction = [&](double turns) {
        return static_cast<double>(width) *
               std::log(static_cast<double>(rope.original_max_positions) /
                        (turns * 2 * std::numbers::pi)) /
               (2 * std::log(rope.theta));
      };
      double low = correction(rope.beta_fast);
      double high = correction(rope.beta_slow);
      if (rope.round_ramp) {
        low = std::floor(low);
        high = std::ceil(high);
      }
      low = std::max(low, 0.0);
      high = std::min(high, static_cast<double>(width - 1));
      if (low == high) high += 0.001;
      const Tensor ramp =
          torch::clamp((torch::arange(width / 2, torch::kFloat32) - low) / (high - low), 0, 1);
      return plain / rope.factor * ramp + plain * (1 - ramp);
    }
  }
  ThrowCheckFailure("rope.scaling is known", __FILE__, __LINE__, "");
}

double RopeAmplitude(const RopeConfig& rope) {
  if (rope.scaling != RopeScaling::kYarn) return 1;
  if (rope.attention_factor != 0) return rope.attention_factor;
  return rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
}

class Twin {
 public:
  Twin(const ModelConfig& config, const NamedTensors& tensors, const TorchOptions& options)
      : config_(config),
        options_(options),
        type_(options.precision == Precision::kF64 ? torch::kFloat64 : torch::kFloat32) {
    for (const auto& [name, tensor] : tensors) {
      Tensor leaf = torch::tensor(tensor.values, torch::kFloat32).reshape(tensor.shape).to(type_);
      leaf.set_requires_grad(options.gradients);
      parameters_.emplace(name, leaf);
    }
  }

  // [T, V] log-probs of the next token.
  Tensor LogProbs(const std::vector<int32_t>& ids) const {
    const Tensor index = torch::tensor(ids, torch::kInt32).to(torch::kInt64);
    const Tensor embedding = Parameter("model.embed_tokens.weight");
    Tensor x = embedding.index_select(0, index);
    const Tensor angles =
        torch::outer(torch::arange(index.size(0), torch::kFloat32), InverseFrequencies(config_));
    const Tensor both = torch::cat({angles, angles}, -1);
    const Tensor cos = (both.cos() * RopeAmplitude(config_.rope)).to(type_);
    const Tensor sin = (both.sin() * RopeAmplitude(config_.rope)).to(type_);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      x = x +
          Attention(prefix + "self_attn.", Norm(x, prefix + "input_layernorm.weight"), cos, sin);
      const Tensor normed = Norm(x, prefix + "post_attention_layernorm.weight");
      const Tensor gate = Linear(normed, prefix + "mlp.gate_proj");
      x = x + Linear(torch::silu(gate) * Linear(normed, prefix + "mlp.up_proj"),
                     prefix + "mlp.down_proj");
    }
    x = Norm(x, "model.norm.weight");
    const Tensor head = config_.tied_embeddings ? embedding : Parameter("lm_head.weight");
    Tensor logits = torch::matmul(x, head.t()) * options_.inverse_temperature;
    if (options_.drawable_tokens >= 0) logits = logits.narrow(1, 0, options_.drawable_tokens);
    return torch::log_softmax(logits, -1);
  }

  const std::map<std::string, Tensor>& Parameters() const { return parameters_; }

 private:
  const Tensor& Parameter(const std::string& name) const {
    const auto found = parameters_.find(name);
    PONDER_CHECK(found != parameters_.end(), name);
    return found->second;
  }

  Tensor Norm(const Tensor& x, const std::string& name) const {
    return x * torch::rsqrt(x.pow(2).mean(-1, true) + static_cast<double>(config_.norm_epsilon)) *
           Parameter(name);
  }

  Tensor Linear(const Tensor& x, const std::string& name) const {
    const Tensor y = torch::matmul(x, Parameter(name + ".weight").t());
    return parameters_.count(name + ".bias") != 0 ? y + Parameter(name + ".bias") : y;
  }

  // [T, heads E] to [heads, T, E].
  Tensor Heads(const Tensor& x) const {
    return x.reshape({x.size(0), -1, config_.head_width}).transpose(0, 1);
  }

  Tensor Attention(const std::string& prefix, const Tensor& x, const Tensor& cos,
                   const Tensor& sin) const {
    const int64_t tokens = x.size(0);
    Tensor q = Heads(Linear(x, prefix + "q_proj"));
    Tensor k = Heads(Linear(x, prefix + "k_proj"));
    Tensor v = Heads(Linear(x, prefix + "v_proj"));
    if (config_.qk_norm) {
      q = Norm(q, prefix + "q_norm.weight");
      k = Norm(k, prefix + "k_norm.weight");
    }
    const auto rotate = [&](const Tensor& y) {
      const auto halves = y.chunk(2, -1);
      return y * cos + torch::cat({-halves[1], halves[0]}, -1) * sin;
    };
    const int64_t group = config_.heads / config_.kv_heads;
    q = rotate(q);
    k = rotate(k).repeat_interleave(group, 0);
    v = v.repeat_interleave(group, 0);
    const Tensor future = torch::ones({tokens, tokens}, torch::kBool).triu(1);
    const Tensor scores =
        (torch::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(config_.head_width)))
            .masked_fill(future, -std::numeric_limits<double>::infinity());
    const Tensor mixed = torch::matmul(torch::softmax(scores, -1), v);
    return Linear(mixed.transpose(0, 1).reshape({tokens, -1}), prefix + "o_proj");
  }

  const ModelConfig& config_;
  const TorchOptions& options_;
  torch::ScalarType type_;
  std::map<std::string, Tensor> parameters_;
};

std::vector<double> ToVector(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kFloat64).contiguous().reshape({-1});
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace

TorchResult RunTorchDecoder(const ModelConfig& config, const NamedTensors& tensors,
                            const std::vector<TorchSequence>& sequences,
                            const TorchOptions& options) {
  torch::set_num_threads(1);  // the work is tiny: waking threads would take longer than all of it
  const torch::AutoGradMode grad_mode(options.gradients);
  const Twin twin(config, tensors, options);
  TorchResult result;
  Tensor loss = torch::zeros({}, torch::kFloat64);
  for (const TorchSequence& sequence : sequences) {
    const int64_t targets = static_cast<int64_t>(sequence.ids.size()) - 1;
    const Tensor all = twin.LogProbs(sequence.ids).narrow(0, 0, targets);
    const Tensor next =
        torch::tensor(sequence.ids, torch::kInt32).to(torch::kInt64).narrow(0, 1, targets);
    const Tensor chosen = all.gather(1, next.unsqueeze(1)).squeeze(1);
    result.logprobs.push_back(ToVector(chosen));
    result.entropies.push_back(ToVector(-(all.exp() * all).sum(-1)));
    if (!sequence.d_logprobs.empty()) {
      loss =
          loss +
          (chosen.to(torch::kFloat64) * torch::tensor(sequence.d_logprobs, torch::kFloat64)).sum();
    }
  }
  if (!options.gradients) return result;
  loss.backward();
  for (const auto& [name, parameter] : twin.Parameters()) {
    result.gradients[name] =
        ToVector(parameter.grad().defined() ? parameter.grad() : torch::zeros_like(parameter));
  }
  return result;
}

}  // namespace ponder::reference
