#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace ponder {

enum class ModelFamily { kLlama, kQwen2, kQwen3 };
std::string_view ToString(ModelFamily family);

enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;                   // linear, llama3, yarn
  double low_frequency_factor = 1;     // llama3
  double high_frequency_factor = 4;    // llama3
  int64_t original_max_positions = 0;  // llama3, yarn
  double beta_fast = 32;               // yarn
  double beta_slow = 1;                // yarn
  bool round_ramp = true;              // yarn; "truncate": the ramp's ends are whole numbers
  double attention_factor = 0;         // yarn; 0 = 0.1 ln(factor) + 1
};

// What a config.json says of a decoder of the Llama kind.
struct ModelConfig {
  ModelFamily family = ModelFamily::kLlama;
  int64_t width = 0;       // D
  int64_t layers = 0;      // L
  int64_t heads = 0;       // H
  int64_t kv_heads = 0;    // K
  int64_t head_width = 0;  // E
  int64_t ffn_width = 0;   // F
  int64_t vocabulary = 0;  // V, rows of the embedding
  int64_t max_positions = 0;
  float norm_epsilon = 1e-5f;
  RopeConfig rope;
  bool tied_embeddings = false;
  bool qkv_bias = false;  // Qwen2; Llama with attention_bias also has one on the output projection
  bool output_bias = false;
  bool qk_norm = false;          // Qwen3
  int32_t bos_id = -1;           // -1: none
  std::vector<int32_t> eos_ids;  // of generation_config.json where it is there, else of config.json
  std::string json;              // the config.json it was read from, kept for saving
  std::string generation_json;   // likewise the generation_config.json, or empty

  int64_t QkvWidth() const { return (heads + 2 * kv_heads) * head_width; }
};

// Reads and checks DIR/config.json and, where present, DIR/generation_config.json. Sizes out of
// range, unknown families and settings that would change the arithmetic (sliding windows, other
// activations) are errors that name the key.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory);

// The same from JSON texts; `generation_json` may be empty.
absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& config_json,
                                             const std::string& generation_json);

// cos and sin of every position: [positions, E], E/2 cosines, then E/2 sines, as
// kernels::QkvRopeArgs wants; scaling applied as in Hugging Face's rope utilities (yarn's attention
// factor multiplies both).
std::vector<float> RopeTable(const ModelConfig& config, int64_t positions);

}  // namespace ponder
