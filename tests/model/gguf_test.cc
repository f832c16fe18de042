#include "model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "kernels/dtype.h"
#include "model/dequantise.h"
#include "model/gguf_convert.h"
#include "model/gguf_source.h"
#include "model/model.h"
#include "tests/model/gguf_builder.h"

namespace ponder {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0;

std::string TestBytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((i * i * 31 + i * 7 + 3) & 0xff);
  return bytes;
}

uint64_t HashOf(const std::vector<float>& values) {
  return StableHash({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

// Two blocks each, dequantised by the Python package `gguf` (an independent implementation in
// numpy): a few values to look at, and the hash of them all.
struct QuantGolden {
  uint32_t id;
  std::string name;
  std::vector<size_t> half_offsets;  // where the block's fp16 scales lie
  std::vector<float> values;         // elements 0, 1, n/4 + 5, n/2, n - 17, n - 1
  uint64_t hash;
};

class DequantiseTest : public ::testing::TestWithParam<QuantGolden> {};

TEST_P(DequantiseTest, GivesTheValuesOfGguf) {
  const QuantGolden& golden = GetParam();
  const GgmlType* type = FindGgmlType(golden.id);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->name, golden.name);
  const size_t block = static_cast<size_t>(type->block_bytes);
  std::string data = TestBytes(2 * block);
  const std::vector<uint16_t> halves = {0x2e66, 0xa8cd, 0x1f3a, 0x9b01};
  size_t next = 0;
  for (size_t begin = 0; begin < data.size(); begin += block) {
    for (const size_t offset : golden.half_offsets) {
      std::memcpy(data.data() + begin + offset, &halves[next++], 2);
    }
  }
  const size_t n = 2 * static_cast<size_t>(type->block_values);
  std::vector<float> values(n);
  Dequantise(*type, data, values.data());
  const std::vector<size_t> picked = {0, 1, n / 4 + 5, n / 2, n - 17, n - 1};
  for (size_t i = 0; i < picked.size(); ++i)
    EXPECT_EQ(values[picked[i]], golden.values[i]) << picked[i];
  EXPECT_EQ(HashOf(values), golden.hash);
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes, DequantiseTest,
    ::testing::Values(
        QuantGolden{
            8,
            "Q8_0",
            {0},
            {-11.4971924f, 4.69885254f, -7.69812012f, 0.63760376f, -3.56307983f, -4.16317749f},
            0x0a1c73a4de5c2f9d},
        QuantGolden{
            2,
            "Q4_0",
            {0},
            {0.49987793f, 0.699829102f, -0.599853516f, -0.262542725f, -0.262542725f, 0.150024414f},
            0xe0e9aec9e4d7cffc},
        QuantGolden{
            3,
            "Q4_1",
            {0, 2},
            {1.46212769f, 1.26217651f, 0.0624694824f, 0.0742092133f, 0.0177516937f, 0.0248088837f},
            0x34ccd9076594ec4b},
        QuantGolden{
            6,
            "Q5_0",
            {0},
            {0.899780273f, -1.29968262f, -0.0999755859f, -0.262542725f, 0.337554932f, 0.562591553f},
            0xd28ff4728abc4560},
        QuantGolden{
            7,
            "Q5_1",
            {0, 2},
            {2.66183472f, 1.66207886f, 1.26217651f, 0.130666733f, 0.187124252f, 0.0812664032f},
            0xf96de7817cf4fe7f},
        QuantGolden{12,
                    "Q4_K",
                    {0, 2},
                    {6.71176147f, 15.7095642f, 11.3481445f, 1.48086357f, 0.923345566f, 0.37994194f},
                    0x3482d9e70ca95498},
        QuantGolden{13,
                    "Q5_K",
                    {0, 2},
                    {30.7059021f, 39.7037048f, 22.5454102f, 4.19430351f, 2.82151222f, 4.53640938f},
                    0x7c7256d8a7b20dbb},
        QuantGolden{
            14,
            "Q6_K",
            {208},
            {127.268921f, -46.8885498f, -17.6956787f, 6.86361694f, -22.2786255f, -73.92453f},
            0xc987474bda57949e}),
    [](const auto& info) { return info.param.name; });

TEST(DequantiseTest, ReadsHalvesOfBothKinds) {
  const std::string data = TestBytes(16);
  std::vector<float> values(8);
  Dequantise(*FindGgmlType(1), data, values.data());
  EXPECT_EQ(HashOf(values), 0x6fc66fa2b9752b49u);  // numpy's float16
  Dequantise(*FindGgmlType(30), data, values.data());
  EXPECT_EQ(HashOf(values), 0x7a24f922ad9213a5u);

  const std::string corners("\x01\x00\xff\x03\x00\x04\x00\x80\x00\x7c\xff\x7b", 12);
  values.resize(6);
  Dequantise(*FindGgmlType(1), corners, values.data());
  EXPECT_EQ(values[0], 0x1p-24f);             // the smallest subnormal
  EXPECT_EQ(values[1], 0x1p-14f - 0x1p-24f);  // the largest one
  EXPECT_EQ(values[2], 0x1p-14f);             // the smallest normal number
  EXPECT_TRUE(values[3] == 0 && std::signbit(values[3]));
  EXPECT_EQ(values[4], INFINITY);
  EXPECT_EQ(values[5], 65504.0f);
}

// ---- a whole small model ----

constexpr int64_t kWidth = 32, kHeads = 2, kHeadWidth = 16, kFfn = 64, kTokens = 6;

std::vector<float> Ramp(int64_t count, float begin) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[i] = begin + 0.25f * static_cast<float>(i % 1000);
  return values;
}

void AddMatrix(GgufBuilder& builder, const std::string& name, int64_t rows, int64_t columns,
               float begin) {
  builder.Tensor(name, {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows)}, kF32,
                 GgufBuilder::Floats(Ramp(rows * columns, begin)));
}

void AddVector(GgufBuilder& builder, const std::string& name, int64_t length, float begin) {
  builder.Tensor(name, {static_cast<uint64_t>(length)}, kF32,
                 GgufBuilder::Floats(Ramp(length, begin)));
}

GgufBuilder TinyLlama(const std::string& pre = "smollm") {
  GgufBuilder builder;
  builder.String("general.architecture", "llama");
  builder.Uint32("llama.block_count", 1);
  builder.Uint32("llama.context_length", 128);
  builder.Uint32("llama.embedding_length", kWidth);
  builder.Uint32("llama.feed_forward_length", kFfn);
  builder.Uint32("llama.attention.head_count", kHeads);
  builder.Uint32("llama.attention.head_count_kv", 1);
  builder.Float("llama.rope.freq_base", 100000.0f);
  builder.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", pre);
  builder.Strings("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab", "<tool>", "[PAD5]"});
  builder.Ints("tokenizer.ggml.token_type", {3, 1, 1, 1, 4, 5});
  builder.Strings("tokenizer.ggml.merges", {"a b"});
  builder.Uint32("tokenizer.ggml.eos_token_id", 0);
  builder.String("tokenizer.chat_template", "{{ messages }}");
  AddMatrix(builder, "token_embd.weight", kTokens, kWidth, 0);
  AddVector(builder, "blk.0.attn_norm.weight", kWidth, 1);
  AddMatrix(builder, "blk.0.attn_q.weight", kHeads * kHeadWidth, kWidth, 2);
  AddMatrix(builder, "blk.0.attn_k.weight", kHeadWidth, kWidth, 3);
  AddMatrix(builder, "blk.0.attn_v.weight", kHeadWidth, kWidth, 4);
  AddMatrix(builder, "blk.0.attn_output.weight", kWidth, kHeads * kHeadWidth, 5);
  AddVector(builder, "blk.0.ffn_norm.weight", kWidth, 6);
  AddMatrix(builder, "blk.0.ffn_gate.weight", kFfn, kWidth, 7);
  AddMatrix(builder, "blk.0.ffn_up.weight", kFfn, kWidth, 8);
  AddMatrix(builder, "blk.0.ffn_down.weight", kWidth, kFfn, 9);
  AddVector(builder, "output_norm.weight", kWidth, 10);
  return builder;
}

std::string NewFolder(const std::string& name) {
  const std::string path = ::testing::TempDir() + "ponder_gguf_" + std::to_string(getpid()) + name;
  std::filesystem::remove_all(path);
  return path;
}

absl::Status Convert(const GgufBuilder& builder, const std::string& directory) {
  const std::string path = directory + ".gguf";
  if (absl::Status status = WriteFileAtomically(path, builder.Build()); !status.ok()) return status;
  const absl::Status status = ConvertGguf(path, directory);
  std::filesystem::remove(path);
  return status;
}

std::string ConvertError(const GgufBuilder& builder) {
  const std::string directory = NewFolder("refused");
  const std::string message(Convert(builder, directory).message());
  EXPECT_FALSE(std::filesystem::exists(directory)) << "nothing half-made may stay";
  return message;
}

TEST(GgufTest, BecomesAHuggingFaceDirectory) {
  const std::string directory = NewFolder("whole");
  const absl::Status status = Convert(TinyLlama(), directory);
  ASSERT_TRUE(status.ok()) << status;

  const absl::StatusOr<ModelConfig> config = LoadModelConfig(directory);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->width, kWidth);
  EXPECT_EQ(config->head_width, kHeadWidth);
  EXPECT_EQ(config->vocabulary, kTokens);
  EXPECT_EQ(config->norm_epsilon, 1e-5f);
  EXPECT_EQ(config->rope.theta, 100000.0);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_THAT(config->eos_ids, ElementsAre(0));
  EXPECT_THAT(config->json, HasSubstr("\"rms_norm_eps\": 1e-05")) << "not 9.99e-06";

  const ParameterLayout layout = MakeParameterLayout(*config);
  std::vector<float> flat(static_cast<size_t>(layout.count));
  const auto source = OpenSafetensors(directory);
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_TRUE(ReadFlat(**source, *config, layout, flat.data()).ok());
  EXPECT_EQ(*(*source)->StoredType("model.norm.weight"), "BF16");

  const Json tokenizer = Json::parse(*ReadFile(directory + "/tokenizer.json"));
  EXPECT_EQ(tokenizer["model"]["vocab"],
            (Json{{"<|end|>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"<tool>", 4}}));
  EXPECT_EQ(tokenizer["model"]["merges"], Json::array({"a b"}));
  ASSERT_EQ(tokenizer["added_tokens"].size(), 2u);
  EXPECT_EQ(tokenizer["added_tokens"][0]["special"], true);
  EXPECT_EQ(tokenizer["added_tokens"][1]["content"], "<tool>");
  EXPECT_EQ(tokenizer["added_tokens"][1]["special"], false);
  EXPECT_EQ(tokenizer["pre_tokenizer"]["pretokenizers"][0]["type"], "Digits");
  EXPECT_TRUE(tokenizer["post_processor"].is_null());
  const Json tokenizer_config = Json::parse(*ReadFile(directory + "/tokenizer_config.json"));
  EXPECT_EQ(tokenizer_config["chat_template"], "{{ messages }}");
  EXPECT_EQ(tokenizer_config["eos_token"], "<|end|>");

  EXPECT_EQ(Convert(TinyLlama(), directory).code(), absl::StatusCode::kFailedPrecondition)
      << "an existing model is not overwritten";
  std::filesystem::remove_all(directory);
}

TEST(GgufTest, PutsQueryAndKeyRowsBackInOrder) {
  const std::string bytes = TinyLlama().Build();
  const auto source = GgufSource::Create(*GgufFile::Parse(bytes, "tiny.gguf"));
  ASSERT_TRUE(source.ok()) << source.status();
  const std::vector<float> stored = Ramp(kHeads * kHeadWidth * kWidth, 2);
  std::vector<float> read(stored.size());
  ASSERT_TRUE((*source)
                  ->Read("model.layers.0.self_attn.q_proj.weight", read.data(),
                         static_cast<int64_t>(read.size()))
                  .ok());
  // Head 1, second half, element 3 was stored as row 16 + 2 * 3 + 1.
  const int64_t row = 16 + 8 + 3, stored_row = 16 + 2 * 3 + 1;
  for (int64_t column = 0; column < kWidth; ++column) {
    EXPECT_EQ(read[row * kWidth + column], stored[stored_row * kWidth + column]);
  }
  std::vector<float> values(static_cast<size_t>(kHeadWidth * kWidth));
  ASSERT_TRUE((*source)
                  ->Read("model.layers.0.self_attn.v_proj.weight", values.data(),
                         static_cast<int64_t>(values.size()))
                  .ok());
  EXPECT_EQ(values, Ramp(kHeadWidth * kWidth, 4)) << "values are not turned";
}

TEST(GgufTest, MapsTheNamesOfAllFamilies) {
  EXPECT_EQ(HuggingFaceName("blk.12.attn_q.bias"), "model.layers.12.self_attn.q_proj.bias");
  EXPECT_EQ(HuggingFaceName("blk.0.attn_k_norm.weight"), "model.layers.0.self_attn.k_norm.weight");
  EXPECT_EQ(HuggingFaceName("output.weight"), "lm_head.weight");
  EXPECT_EQ(HuggingFaceName("blk.0.ssm_in.weight"), "blk.0.ssm_in.weight");
  EXPECT_EQ(HuggingFaceName("blk."), "blk.");
}

TEST(GgufTest, ChoosesThePreTokenizerByName) {
  const auto tokenizer = [](const std::string& pre) {
    GgufBuilder builder = TinyLlama(pre);
    builder.Uint32("tokenizer.ggml.bos_token_id", 0);
    const std::string bytes = builder.Build();
    return Json::parse(*GgufTokenizer(*GgufFile::Parse(bytes, "tiny.gguf")));
  };
  EXPECT_EQ(tokenizer("gpt-2")["pre_tokenizer"]["use_regex"], true);
  const Json qwen = tokenizer("qwen2");
  EXPECT_EQ(qwen["normalizer"]["type"], "NFC");
  EXPECT_EQ(
      qwen["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"],
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  const Json llama = tokenizer("llama-bpe");
  EXPECT_EQ(llama["model"]["ignore_merges"], true);
  EXPECT_EQ(llama["post_processor"]["type"], "TemplateProcessing");
  EXPECT_THAT(ConvertError(TinyLlama("sentence-magic")),
              AllOf(HasSubstr("tokenizer.ggml.pre"), HasSubstr("sentence-magic")));
}

TEST(GgufTest, RecognisesTheDivisorsOfLlama3) {
  // Head width 16, theta 500000, factor 8, low 1, high 4, original 8192: computed with the formula
  // of the model's authors.
  const std::vector<float> divisors = {1, 1, 1, 1, 2.6945297f, 8, 8, 8};
  const auto with = [](const std::vector<float>& values) {
    GgufBuilder builder = TinyLlama();
    builder.Drop("llama.rope.freq_base");
    builder.Float("llama.rope.freq_base", 500000.0f);
    builder.Tensor("rope_freqs.weight", {values.size()}, kF32, GgufBuilder::Floats(values));
    const std::string bytes = builder.Build();
    return GgufModelConfig(*GgufFile::Parse(bytes, "tiny.gguf"));
  };
  const absl::StatusOr<std::string> config = with(divisors);
  ASSERT_TRUE(config.ok()) << config.status();
  const Json scaling = Json::parse(*config)["rope_scaling"];
  EXPECT_EQ(scaling["rope_type"], "llama3");
  EXPECT_EQ(scaling["factor"], 8.0);
  EXPECT_FALSE(with({1, 1, 1, 1, 2.5f, 8, 8, 8}).ok());
}

TEST(GgufTest, NamesWhatCannotBeCarriedOver) {
  GgufBuilder experts = TinyLlama();
  experts.Uint32("llama.expert_count", 8);
  EXPECT_THAT(ConvertError(experts), HasSubstr("expert_count"));
  GgufBuilder bias = TinyLlama();
  AddVector(bias, "blk.0.attn_q.bias", kHeads * kHeadWidth, 0);
  EXPECT_THAT(ConvertError(bias), HasSubstr("blk.0.attn_q.bias"));
  GgufBuilder unknown = TinyLlama();
  AddVector(unknown, "blk.0.ssm_in.weight", kWidth, 0);
  EXPECT_THAT(ConvertError(unknown), HasSubstr("blk.0.ssm_in.weight"));
  GgufBuilder yarn = TinyLlama();
  yarn.Float("llama.rope.scaling.attn_factor", 2);
  EXPECT_THAT(ConvertError(yarn), HasSubstr("attn_factor"));
  GgufBuilder quantised = TinyLlama();
  quantised.Tensor("blk.0.extra.weight", {256}, 10, std::string(84, '\0'));
  EXPECT_THAT(ConvertError(quantised), HasSubstr("type number 10"));
}

TEST(GgufTest, SaysThatATruncatedFileIsTruncatedWhereverItEnds) {
  const std::string whole = TinyLlama().Build();
  const size_t last_tensor = whole.size() - 1;  // padding behind the last tensor is no part of it
  for (size_t length = 0; length < last_tensor; length += length < 3000 ? 1 : 97) {
    const absl::StatusOr<GgufFile> file =
        GgufFile::Parse(std::string_view(whole).substr(0, length), "cut");
    ASSERT_FALSE(file.ok()) << "at " << length;
  }
  EXPECT_TRUE(GgufFile::Parse(whole, "whole").ok());
}

TEST(GgufTest, SurvivesHugeCountsAndOffsets) {
  const std::string whole = TinyLlama().Build();
  const auto patched = [&](size_t at, uint64_t value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    return std::string(GgufFile::Parse(bytes, "patched").status().message());
  };
  EXPECT_THAT(patched(8, uint64_t{1} << 60), HasSubstr("tensors"));
  EXPECT_THAT(patched(16, uint64_t{1} << 60), HasSubstr("keys"));
  EXPECT_THAT(patched(24, uint64_t{1} << 40), HasSubstr("a key"));

  const auto error = [](const std::vector<uint64_t>& sizes, uint64_t offset) {
    GgufBuilder builder;
    builder.Tensor("fine", {8}, kF32, std::string(32, 'x'));
    builder.Tensor("odd", sizes, kF32, "", offset);
    return std::string(GgufFile::Parse(builder.Build(), "odd").status().message());
  };
  EXPECT_THAT(error({uint64_t{1} << 40, uint64_t{1} << 40}, 32), HasSubstr("odd"));
  EXPECT_THAT(error({uint64_t{1} << 62}, 32), HasSubstr("odd"));
  EXPECT_THAT(error({0}, 32), HasSubstr("odd"));
  EXPECT_THAT(error({1, 1, 1, 1, 1}, 32), HasSubstr("dimensions"));
  EXPECT_THAT(error({8}, 0), HasSubstr("overlap"));
  EXPECT_THAT(error({8}, 33), HasSubstr("multiple"));
  EXPECT_THAT(error({8}, 64), HasSubstr("truncated"));
  EXPECT_THAT(error({8}, ~uint64_t{31}), HasSubstr("truncated"));
}

TEST(GgufTest, RefusesDoubleKeysTensorsAndTokens) {
  GgufBuilder keys = TinyLlama();
  keys.Uint32("llama.block_count", 2);
  EXPECT_THAT(ConvertError(keys), HasSubstr("twice"));
  GgufBuilder tensors = TinyLlama();
  AddVector(tensors, "output_norm.weight", kWidth, 0);
  EXPECT_THAT(ConvertError(tensors), HasSubstr("twice"));
  GgufBuilder tokens = TinyLlama();
  tokens.Drop("tokenizer.ggml.tokens");
  tokens.Strings("tokenizer.ggml.tokens", {"<|end|>", "a", "a", "ab", "<tool>", "[PAD5]"});
  EXPECT_THAT(ConvertError(tokens), HasSubstr("tokens 1 and 2"));
}

}  // namespace
}  // namespace ponder
