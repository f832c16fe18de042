#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "model/gguf_convert.h"

namespace ponder {
namespace {

using Json = nlohmann::ordered_json;

// The double that a person would have written for this float: 1e-5, not 9.999999747378752e-06.
double ShortestDecimal(float value) {
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

// llama.cpp's converter replaces Llama 3's scaling by one divisor a frequency. They are recognised
// by computing them again with the settings that every Llama 3.1 to 3.3 model has; the factor is
// the last divisor.
absl::StatusOr<Json> Llama3Scaling(const GgufFile& file, const GgufTensor& tensor, float theta,
                                   int64_t head_width) {
  constexpr double kLow = 1, kHigh = 4, kOriginal = 8192;
  if (tensor.Count() != head_width / 2) {
    return InvalidArgument("{}: tensor {}: expected {} values, found {}", file.Path(), tensor.name,
                           head_width / 2, tensor.Count());
  }
  std::vector<float> divisors(static_cast<size_t>(tensor.Count()));
  Dequantise(*tensor.type, tensor.data, divisors.data());
  const double factor = divisors.back();
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double frequency =
        std::pow(static_cast<double>(theta),
                 -2.0 * static_cast<double>(i) / static_cast<double>(head_width));
    const double wavelength = 2 * std::numbers::pi / frequency;
    double expected = 1;
    if (wavelength > kOriginal / kLow) {
      expected = factor;
    } else if (wavelength >= kOriginal / kHigh) {
      const double smooth = (kOriginal / wavelength - kLow) / (kHigh - kLow);
      expected = 1 / ((1 - smooth) / factor + smooth);
    }
    // fp32 on the other side, over a few operations.
    if (!(std::abs(divisors[i] - expected) <= 1e-4 * expected)) {
      return InvalidArgument(
          "{}: tensor {}: expected the divisors of Llama 3's RoPE scaling, found {} at {} instead "
          "of {}; convert from the original checkpoint",
          file.Path(), tensor.name, divisors[i], i, expected);
    }
  }
  return Json{{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", kLow},
              {"high_freq_factor", kHigh},
              {"original_max_position_embeddings", static_cast<int64_t>(kOriginal)}};
}

// rope_scaling, or null.
absl::StatusOr<Json> RopeScaling(const GgufFile& file, const std::string& architecture, float theta,
                                 int64_t head_width) {
  if (const GgufTensor* factors = file.FindTensor("rope_freqs.weight"); factors != nullptr) {
    return Llama3Scaling(file, *factors, theta, head_width);
  }
  const std::string prefix = architecture + ".rope.scaling.";
  const std::set<std::string> known = {prefix + "type", prefix + "factor",
                                       prefix + "original_context_length", prefix + "finetuned"};
  for (const auto& [key, value] : file.Metadata()) {
    if (key.starts_with(prefix) && !known.contains(key)) {
      return InvalidArgument(
          "{}: {} has no counterpart in config.json; convert from the original checkpoint",
          file.Path(), key);
    }
  }
  PONDER_ASSIGN_OR_RETURN(const float old_factor,
                          file.Number(architecture + ".rope.scale_linear", 1.0f));
  PONDER_ASSIGN_OR_RETURN(const std::string type,
                          file.String(prefix + "type", old_factor == 1 ? "none" : "linear"));
  if (type == "none") return Json(nullptr);
  if (type != "linear" && type != "yarn") {
    return InvalidArgument("{}: {}type: expected none, linear or yarn, found \"{}\"", file.Path(),
                           prefix, type);
  }
  PONDER_ASSIGN_OR_RETURN(const float factor, file.Number(prefix + "factor", old_factor));
  Json scaling = {{"rope_type", type}, {"factor", ShortestDecimal(factor)}};
  if (type == "yarn") {
    PONDER_ASSIGN_OR_RETURN(const int64_t original,
                            file.Integer(prefix + "original_context_length"));
    scaling["original_max_position_embeddings"] = original;
  }
  return scaling;
}

// Llama and Qwen3 in Hugging Face's form have a bias on all four attention matrices or on none.
absl::StatusOr<bool> AttentionBias(const GgufFile& file) {
  const bool qkv = file.FindTensor("blk.0.attn_q.bias") != nullptr;
  const bool output = file.FindTensor("blk.0.attn_output.bias") != nullptr;
  if (qkv == output) return qkv;
  return InvalidArgument(
      "{}: expected attention biases on all projections or on none, found {} only", file.Path(),
      qkv ? "blk.0.attn_q.bias" : "blk.0.attn_output.bias");
}

}  // namespace

absl::StatusOr<std::string> GgufModelConfig(const GgufFile& file) {
  PONDER_ASSIGN_OR_RETURN(const std::string architecture, file.String("general.architecture"));
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", architecture, name); };
  PONDER_ASSIGN_OR_RETURN(const int64_t width, file.Integer(key("embedding_length")));
  PONDER_ASSIGN_OR_RETURN(const int64_t layers, file.Integer(key("block_count")));
  PONDER_ASSIGN_OR_RETURN(const int64_t heads, file.Integer(key("attention.head_count")));
  PONDER_ASSIGN_OR_RETURN(const int64_t kv_heads,
                          file.Integer(key("attention.head_count_kv"), heads));
  PONDER_ASSIGN_OR_RETURN(const int64_t ffn_width, file.Integer(key("feed_forward_length")));
  PONDER_ASSIGN_OR_RETURN(const int64_t positions, file.Integer(key("context_length")));
  PONDER_ASSIGN_OR_RETURN(const float epsilon,
                          file.Number(key("attention.layer_norm_rms_epsilon")));
  PONDER_ASSIGN_OR_RETURN(const float theta, file.Number(key("rope.freq_base"), 10000.0f));
  PONDER_ASSIGN_OR_RETURN(const int64_t experts, file.Integer(key("expert_count"), 0));
  PONDER_ASSIGN_OR_RETURN(const int64_t window, file.Integer(key("attention.sliding_window"), 0));
  if (experts != 0 || window != 0) {
    return InvalidArgument("{}: {} = {} would change the arithmetic and is not supported",
                           file.Path(),
                           key(experts != 0 ? "expert_count" : "attention.sliding_window"),
                           experts != 0 ? experts : window);
  }
  if (heads < 1 || width < 1) {
    return InvalidArgument("{}: expected at least one head and a width, found {} and {}",
                           file.Path(), heads, width);
  }
  PONDER_ASSIGN_OR_RETURN(const int64_t head_width,
                          file.Integer(key("attention.key_length"), width / heads));
  PONDER_ASSIGN_OR_RETURN(const int64_t value_width,
                          file.Integer(key("attention.value_length"), head_width));
  PONDER_ASSIGN_OR_RETURN(const int64_t rotary,
                          file.Integer(key("rope.dimension_count"), head_width));
  if (rotary != head_width || value_width != head_width) {
    return InvalidArgument(
        "{}: expected rope.dimension_count and attention.value_length to be the head width {}, "
        "found {} and {}",
        file.Path(), head_width, rotary, value_width);
  }
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return InvalidArgument("{}: expected a matrix token_embd.weight, found none", file.Path());
  }
  PONDER_ASSIGN_OR_RETURN(const Json scaling, RopeScaling(file, architecture, theta, head_width));

  const std::string family = architecture == "llama"   ? "Llama"
                             : architecture == "qwen2" ? "Qwen2"
                                                       : "Qwen3";
  Json json;
  json["architectures"] = {family + "ForCausalLM"};
  json["model_type"] = architecture;
  json["hidden_act"] = "silu";
  json["hidden_size"] = width;
  json["intermediate_size"] = ffn_width;
  json["num_hidden_layers"] = layers;
  json["num_attention_heads"] = heads;
  json["num_key_value_heads"] = kv_heads;
  json["head_dim"] = head_width;
  json["vocab_size"] = embedding->shape.front();
  json["max_position_embeddings"] = positions;
  json["rms_norm_eps"] = ShortestDecimal(epsilon);
  json["rope_theta"] = ShortestDecimal(theta);
  json["rope_scaling"] = scaling;
  json["tie_word_embeddings"] = file.FindTensor("output.weight") == nullptr;
  if (architecture != "qwen2") {
    PONDER_ASSIGN_OR_RETURN(const bool bias, AttentionBias(file));
    json["attention_bias"] = bias;
  }
  if (architecture == "llama") json["mlp_bias"] = false;
  for (const auto& [name, gguf_key] :
       {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
        std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"},
        std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (!file.Has(gguf_key)) continue;
    PONDER_ASSIGN_OR_RETURN(const int64_t id, file.Integer(gguf_key));
    json[name] = id;
  }
  json["torch_dtype"] = "bfloat16";
  return json.dump(2) + "\n";
}

absl::StatusOr<std::string> GgufGenerationConfig(const GgufFile& file) {
  Json json;
  for (const auto& [name, gguf_key] :
       {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
        std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (!file.Has(gguf_key)) continue;
    PONDER_ASSIGN_OR_RETURN(const int64_t id, file.Integer(gguf_key));
    json[name] = id;
  }
  std::set<int64_t> ends;
  for (const char* gguf_key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (!file.Has(gguf_key)) continue;
    PONDER_ASSIGN_OR_RETURN(const int64_t id, file.Integer(gguf_key));
    ends.insert(id);
  }
  if (ends.size() == 1) json["eos_token_id"] = *ends.begin();
  if (ends.size() > 1) json["eos_token_id"] = ends;
  return json.empty() ? "{}\n" : json.dump(2) + "\n";
}

}  // namespace ponder
