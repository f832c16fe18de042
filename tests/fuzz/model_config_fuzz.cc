// Any two texts are a model configuration with sizes that can be, or an error that names the file.
// A zero byte parts them.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/config.h"
#include "model/weights.h"
#include "tests/fuzz/fuzz_seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string config_json(input.substr(0, zero));
  const std::string generation_json(zero == std::string_view::npos ? "" : input.substr(zero + 1));
  const absl::StatusOr<ModelConfig> config = ParseModelConfig(config_json, generation_json);
  if (!config.ok()) {
    const std::string message(config.status().message());
    PONDER_CHECK(
        message.starts_with("config.json:") || message.starts_with("generation_config.json:"),
        message);
    return 0;
  }
  PONDER_CHECK(config->heads % config->kv_heads == 0 && config->head_width % 2 == 0);
  const ParameterLayout layout = MakeParameterLayout(*config);
  PONDER_CHECK(layout.ParameterCount() > 0 && layout.count >= layout.ParameterCount());
  PONDER_CHECK(RopeTable(*config, 3).size() == 3 * static_cast<size_t>(config->head_width));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  const std::string llama =
      R"({"model_type":"llama","hidden_size":64,"intermediate_size":160,"num_hidden_layers":3,)"
      R"("num_attention_heads":4,"num_key_value_heads":2,"vocab_size":320,"eos_token_id":[2,3],)"
      R"("rope_parameters":{"rope_type":"llama3","rope_theta":1e4,"factor":8,"low_freq_factor":1,)"
      R"("high_freq_factor":4,"original_max_position_embeddings":64}})";
  const std::string qwen =
      R"({"model_type":"qwen3","architectures":["Qwen3ForCausalLM"],"hidden_size":64,)"
      R"("intermediate_size":160,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":320,)"
      R"("num_key_value_heads":null,"head_dim":32,"use_sliding_window":false,"rope_scaling":)"
      R"({"type":"yarn","factor":4.0,"beta_fast":32}})";
  return {llama, qwen + std::string(1, '\0') + R"({"eos_token_id":7})"};
}
