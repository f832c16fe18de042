#include "tests/app/tiny_model_directory.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "model/config.h"
#include "model/weights.h"

namespace ponder {
namespace {

using nlohmann::json;

std::string Utf8(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

// The printable characters that stand for the 256 bytes (GPT-2's byte alphabet), in its order:
// bytes that print stand for themselves, the others for 256, 257, ...
std::vector<std::string> ByteAlphabet() {
  std::vector<std::string> alphabet(256);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet[byte] = Utf8(prints ? byte : next++);
  }
  return alphabet;
}

json TokenizerJson() {
  json vocabulary = json::object();
  const std::vector<std::string> alphabet = ByteAlphabet();
  for (int byte = 0; byte < 256; ++byte) vocabulary[alphabet[byte]] = byte;
  json added = json::array();
  int id = 256;
  for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", token},
                     {"special", true},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"single_word", false},
                     {"normalized", false}});
  }
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", true}}},
          {"post_processor", nullptr},
          {"decoder",
           {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}};
}

json ConfigJson() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"vocab_size", 260},
          {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", true},
          {"bos_token_id", 256},
          {"eos_token_id", 258}};
}

constexpr char kRun[] = R"(
[run]
steps = {}
checkpoint_every = 2
keep_checkpoints = 10
[model]
directory = "{}/model"
dtype = "f32"
[chat]
template = "chatml"
[tasks]
kind = "file"
[tasks.file]
path = "{}/tasks.jsonl"
[prompt]
template = "plain"
[rollout]
prompts_per_step = 6
completions_per_prompt = 8
max_new_tokens = 12
max_sequences = 48
cache_tokens = 4096
[verifier]
extraction = "anywhere"
[learner]
micro_batch_tokens = 256
[optimizer]
learning_rate = 1e-3
[sft]
path = "{}/sft.jsonl"
batch = 2
epochs = 2
[eval]
tasks = 3
[machine]
threads = 1
)";

}  // namespace

absl::Status WriteTinyModelDirectory(const std::string& directory) {
  PONDER_RETURN_IF_ERROR(MakeDirectories(directory));
  PONDER_ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(ConfigJson().dump(), ""));
  const ParameterLayout layout = MakeParameterLayout(config);
  std::vector<float> flat(layout.count);
  for (const Parameter& parameter : layout.parameters) {
    const RandomKey key = MakeRandomKey(1, parameter.name);
    const bool vector = parameter.role == Parameter::Role::kVector;
    const float scale = 1.7f / std::sqrt(static_cast<float>(parameter.columns));
    for (int64_t i = 0; i < parameter.Count(); ++i) {
      const auto u = static_cast<float>(RandomUniform(key, i));
      flat[parameter.offset + i] = vector ? 1.0f : scale * (2 * u - 1);
    }
  }
  PONDER_RETURN_IF_ERROR(WriteModel(directory, config, layout, flat.data(), kernels::DType::kF32));
  PONDER_RETURN_IF_ERROR(
      WriteFileAtomically(directory + "/tokenizer.json", TokenizerJson().dump()));
  return WriteFileAtomically(directory + "/tokenizer_config.json",
                             json({{"eos_token", "<|im_end|>"}}).dump());
}

absl::Status WriteTinyRun(const std::string& folder, int64_t steps) {
  PONDER_RETURN_IF_ERROR(WriteTinyModelDirectory(folder + "/model"));
  // Right answers must come up by chance: the last number anywhere in a random text, against
  // one-digit golds.
  std::string tasks;
  for (int i = 0; i < 40; ++i)
    tasks += fmt::format("{{\"question\":\"say {}\",\"answer\":\"{}\"}}\n", i, i % 3 + 1);
  PONDER_RETURN_IF_ERROR(WriteFileAtomically(folder + "/tasks.jsonl", tasks));
  PONDER_RETURN_IF_ERROR(
      WriteFileAtomically(folder + "/sft.jsonl",
                          "{\"prompt\":\"say 1\",\"completion\":\"1 1 2\"}\n"
                          "{\"prompt\":\"say 2\",\"completion\":\"2 3 1\"}\n"
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"say 3\"},"
                          "{\"role\":\"assistant\",\"content\":\"3 2 1\"}]}\n"));
  return WriteFileAtomically(folder + "/run.toml",
                             fmt::format(kRun, steps, folder, folder, folder));
}

}  // namespace ponder
