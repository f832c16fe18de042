// Any bytes are a GGUF file or an error; what parses is read and converted as far as it goes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/config.h"
#include "model/gguf.h"
#include "model/gguf_convert.h"
#include "model/gguf_source.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "tests/model/gguf_builder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ponder;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<GgufFile> file = GgufFile::Parse(bytes, "fuzz.gguf");
  if (!file.ok()) {
    PONDER_CHECK(std::string(file.status().message()).starts_with("fuzz.gguf:"));
    return 0;
  }
  (void)GgufTokenizer(*file);
  (void)GgufTokenizerConfig(*file);
  const absl::StatusOr<std::string> generation = GgufGenerationConfig(*file);
  const absl::StatusOr<std::string> config = GgufModelConfig(*file);
  if (config.ok() && generation.ok()) (void)ParseModelConfig(*config, *generation);
  const auto source = GgufSource::Create(*std::move(file));
  if (!source.ok()) return 0;
  for (const std::string& name : (*source)->Names()) {
    const std::vector<int64_t> shape = *(*source)->Shape(name);
    int64_t count = 1;
    for (const int64_t length : shape) count *= length;
    // The smallest stored form takes half a byte a value.
    PONDER_CHECK(count <= 2 * static_cast<int64_t>(bytes.size()));
    std::vector<float> values(static_cast<size_t>(count));
    PONDER_CHECK((*source)->Read(name, values.data(), count).ok());
  }
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  ponder::GgufBuilder builder;
  builder.String("general.architecture", "llama");
  builder.Uint32("llama.block_count", 1);
  builder.Uint32("llama.context_length", 16);
  builder.Uint32("llama.embedding_length", 8);
  builder.Uint32("llama.feed_forward_length", 8);
  builder.Uint32("llama.attention.head_count", 2);
  builder.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", "smollm");
  builder.Strings("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab"});
  builder.Ints("tokenizer.ggml.token_type", {3, 1, 1, 1});
  builder.Strings("tokenizer.ggml.merges", {"a b"});
  builder.Uint32("tokenizer.ggml.eos_token_id", 0);
  builder.Tensor("token_embd.weight", {8, 4}, 0, std::string(128, '\x3d'));
  builder.Tensor("blk.0.attn_q.weight", {8, 8}, 1, std::string(128, '\x3d'));
  ponder::GgufBuilder quantised;
  quantised.String("general.architecture", "qwen2");
  quantised.Tensor("a", {32, 2}, 3, std::string(40, '\x21'));
  quantised.Tensor("b", {256}, 14, std::string(210, '\x21'));
  return {builder.Build(), quantised.Build(2)};
}
