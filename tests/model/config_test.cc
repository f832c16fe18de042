#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace ponder {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json LlamaJson() {
  return {{"model_type", "llama"},
          {"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 64},
          {"intermediate_size", 160},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"vocab_size", 320},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 100000.0},
          {"max_position_embeddings", 512},
          {"tie_word_embeddings", true},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"hidden_act", "silu"}};
}

Json QwenJson(const std::string& type, const std::string& architecture) {
  Json json = LlamaJson();
  json["model_type"] = type;
  json["architectures"] = {architecture};
  return json;
}

absl::StatusOr<ModelConfig> Parse(const Json& json, const std::string& generation = "") {
  return ParseModelConfig(json.dump(), generation);
}

std::string ErrorOf(const Json& json, const std::string& generation = "") {
  return std::string(Parse(json, generation).status().message());
}

TEST(ModelConfigTest, ReadsALlama) {
  const absl::StatusOr<ModelConfig> config = Parse(LlamaJson());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->family, ModelFamily::kLlama);
  EXPECT_EQ(config->width, 64);
  EXPECT_EQ(config->layers, 3);
  EXPECT_EQ(config->heads, 4);
  EXPECT_EQ(config->kv_heads, 2);
  EXPECT_EQ(config->head_width, 16);
  EXPECT_EQ(config->ffn_width, 160);
  EXPECT_EQ(config->vocabulary, 320);
  EXPECT_EQ(config->max_positions, 512);
  EXPECT_EQ(config->norm_epsilon, 1e-5f);
  EXPECT_EQ(config->rope.theta, 100000.0);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kNone);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_FALSE(config->qkv_bias || config->output_bias || config->qk_norm);
  EXPECT_EQ(config->bos_id, 1);
  EXPECT_THAT(config->eos_ids, ElementsAre(2));
  EXPECT_EQ(Json::parse(config->json), LlamaJson());
}

TEST(ModelConfigTest, GivesEachFamilyItsBiasesAndNorms) {
  Json llama = LlamaJson();
  llama["attention_bias"] = true;
  const ModelConfig biased = *Parse(llama);
  EXPECT_TRUE(biased.qkv_bias && biased.output_bias && !biased.qk_norm);
  const ModelConfig qwen2 = *Parse(QwenJson("qwen2", "Qwen2ForCausalLM"));
  EXPECT_TRUE(qwen2.qkv_bias && !qwen2.output_bias && !qwen2.qk_norm);
  const ModelConfig qwen3 = *Parse(QwenJson("qwen3", "Qwen3ForCausalLM"));
  EXPECT_TRUE(!qwen3.qkv_bias && !qwen3.output_bias && qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_width, 128) << "the family's default, not hidden_size / heads";
}

TEST(ModelConfigTest, FillsInWhatTransformersFillsIn) {
  Json json = LlamaJson();
  json.erase("num_key_value_heads");
  json.erase("tie_word_embeddings");
  json.erase("rms_norm_eps");
  json.erase("rope_theta");
  json["head_dim"] = nullptr;
  const ModelConfig config = *Parse(json);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_width, 16);
  EXPECT_EQ(config.norm_epsilon, 1e-6f);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tied_embeddings);

  Json wide = LlamaJson();
  wide["head_dim"] = 24;
  EXPECT_EQ(Parse(wide)->head_width, 24);
}

TEST(ModelConfigTest, TakesEndTokensOfTheGenerationConfigFirst) {
  EXPECT_THAT(Parse(LlamaJson(), R"({"eos_token_id": [7, 9, 7]})")->eos_ids, ElementsAre(7, 9));
  EXPECT_THAT(Parse(LlamaJson(), R"({"temperature": 0.6})")->eos_ids, ElementsAre(2));
  EXPECT_THAT(ErrorOf(LlamaJson(), R"({"eos_token_id": 320})"),
              AllOf(HasSubstr("generation_config.json"), HasSubstr("eos_token_id"),
                    HasSubstr("vocab_size 320")));
}

TEST(ModelConfigTest, ReadsBothSpellingsOfRopeScaling) {
  Json old_form = LlamaJson();
  old_form["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  const ModelConfig linear = *Parse(old_form);
  EXPECT_EQ(linear.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.rope.factor, 4.0);
  EXPECT_EQ(linear.rope.theta, 100000.0);

  Json new_form = LlamaJson();
  new_form.erase("rope_theta");
  new_form["rope_parameters"] = {
      {"rope_type", "llama3"},   {"rope_theta", 500000.0},
      {"factor", 8.0},           {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 64}};
  const ModelConfig llama3 = *Parse(new_form);
  EXPECT_EQ(llama3.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(llama3.rope.theta, 500000.0);
  EXPECT_EQ(llama3.rope.original_max_positions, 64);

  Json yarn = LlamaJson();
  yarn["rope_scaling"] = {{"rope_type", "yarn"}, {"original_max_position_embeddings", 128}};
  const ModelConfig config = *Parse(yarn);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config.rope.factor, 4.0) << "max_position_embeddings over the original's";
  EXPECT_DOUBLE_EQ(config.rope.attention_factor, 0.1 * std::log(4.0) + 1);
}

// Each would make the decoder compute something else than the model.
TEST(ModelConfigTest, NamesTheKeyOfASettingThatChangesTheArithmetic) {
  const std::vector<std::pair<std::string, Json>> settings = {
      {"hidden_act", "gelu"},
      {"mlp_bias", true},
      {"partial_rotary_factor", 0.5},
      {"layer_types", {"full_attention", "sliding_attention", "full_attention"}},
      {"quantization_config", {{"bits", 4}}},
      {"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}},
      {"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}},
      {"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.25}}},
  };
  for (const auto& [key, value] : settings) {
    Json json = LlamaJson();
    json[key] = value;
    EXPECT_FALSE(Parse(json).ok()) << key;
    EXPECT_THAT(ErrorOf(json), HasSubstr(key));
  }
  Json sliding = QwenJson("qwen2", "Qwen2ForCausalLM");
  sliding["use_sliding_window"] = true;
  sliding["max_window_layers"] = 2;
  EXPECT_THAT(ErrorOf(sliding), HasSubstr("use_sliding_window"));
  sliding["max_window_layers"] = 3;  // no layer is left for the window
  EXPECT_TRUE(Parse(sliding).ok());
}

TEST(ModelConfigTest, RefusesSizesThatCannotBe) {
  const std::vector<std::pair<std::string, Json>> settings = {
      {"hidden_size", 0},
      {"hidden_size", -64},
      {"hidden_size", 1e30},
      {"hidden_size", 18446744073709551615u},
      {"hidden_size", "64"},
      {"hidden_size", 66},
      {"num_attention_heads", 5},
      {"num_key_value_heads", 3},
      {"num_key_value_heads", 0},
      {"head_dim", 15},
      {"head_dim", 1000000},
      {"vocab_size", int64_t{1} << 40},
      {"num_hidden_layers", 100000},
      {"intermediate_size", nullptr},
      {"max_position_embeddings", int64_t{1} << 40},
      {"rms_norm_eps", -1.0},
      {"rms_norm_eps", "small"},
      {"rope_theta", 0.0},
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}},
      {"rope_scaling", "linear"},
      {"tie_word_embeddings", 1},
      {"eos_token_id", -1},
      {"eos_token_id", {1, "2"}},
      {"bos_token_id", 320},
      {"model_type", "mixtral"},
      {"model_type", 3},
      {"architectures", {"LlamaForSequenceClassification"}},
  };
  for (const auto& [key, value] : settings) {
    Json json = LlamaJson();
    json[key] = value;
    EXPECT_FALSE(Parse(json).ok()) << key << " = " << value;
    EXPECT_THAT(ErrorOf(json), HasSubstr("config.json")) << key;
  }
}

TEST(ModelConfigTest, RefusesWhatIsNoJsonObject) {
  EXPECT_FALSE(ParseModelConfig("", "").ok());
  EXPECT_FALSE(ParseModelConfig("[1, 2]", "").ok());
  EXPECT_FALSE(ParseModelConfig("{\"hidden_size\": 1e999}", "").ok());
  EXPECT_THAT(std::string(ParseModelConfig(std::string(100000, '['), "").status().message()),
              HasSubstr("deep"));
  const std::string whole = LlamaJson().dump();
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(ParseModelConfig(whole.substr(0, length), "").ok()) << length;
  }
}

TEST(ModelConfigTest, SaysWhatAFolderWithoutModelLacks) {
  const absl::Status status = LoadModelConfig(::testing::TempDir() + "no-such-model").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("config.json"));
}

// cos and sin as transformers 5.23 gives them for one position.
struct RopeGolden {
  int64_t position;
  std::vector<float> row;
};

void ExpectRope(const ModelConfig& config, const std::vector<RopeGolden>& goldens) {
  const std::vector<float> table = RopeTable(config, 4001);
  ASSERT_EQ(static_cast<int64_t>(table.size()), 4001 * config.head_width);
  for (const RopeGolden& golden : goldens) {
    // A frequency may differ in its last fp32 digit, which the position multiplies; cosine and sine
    // in theirs.
    const double tolerance = 1e-6 + static_cast<double>(golden.position) * 0x1p-22;
    for (int64_t i = 0; i < config.head_width; ++i) {
      EXPECT_NEAR(table[golden.position * config.head_width + i], golden.row[i], tolerance)
          << "position " << golden.position << ", element " << i;
    }
  }
}

ModelConfig ConfigWithRope(int64_t head_width, const Json& rope, int64_t max_positions) {
  Json json = LlamaJson();
  json.erase("rope_theta");
  json["head_dim"] = head_width;
  json["max_position_embeddings"] = max_positions;
  json["rope_parameters"] = rope;
  absl::StatusOr<ModelConfig> config = Parse(json);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

TEST(RopeTableTest, AgreesWithTransformers) {
  ExpectRope(ConfigWithRope(8, {{"rope_type", "default"}, {"rope_theta", 10000.0}}, 4096),
             {{1,
               {0.540302336f, 0.995004177f, 0.999949992f, 0.999999523f, 0.841470957f, 0.0998334214f,
                0.00999983307f, 0.000999999931f}},
              {37,
               {0.765414059f, -0.848100007f, 0.93232733f, 0.99931556f, -0.643538117f, -0.529836178f,
                0.361615449f, 0.036991559f}},
              {4000,
               {-0.729946971f, -0.52529633f, -0.666938066f, -0.653643608f, -0.683503807f,
                -0.850919366f, 0.745113134f, -0.756802499f}}});
}

TEST(RopeTableTest, AgreesWithTransformersScaledLinearly) {
  ExpectRope(
      ConfigWithRope(8, {{"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 4.0}}, 4096),
      {{1,
        {0.968912423f, 0.999687493f, 0.999996901f, 1.0f, 0.247403964f, 0.0249973964f,
         0.00249999738f, 0.000250000012f}},
       {37,
        {-0.984765172f, 0.601834595f, 0.995724916f, 0.999957204f, 0.173889488f, 0.79862076f,
         0.0923681483f, 0.00924986787f}},
       {4000,
        {0.562379062f, 0.862318873f, -0.839071512f, 0.540302336f, 0.826879561f, -0.506365657f,
         -0.54402113f, 0.841470957f}}});
}

TEST(RopeTableTest, AgreesWithTransformersScaledAsLlama3) {
  ExpectRope(
      ConfigWithRope(16,
                     {{"rope_type", "llama3"},
                      {"rope_theta", 500000.0},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 8192}},
                     131072),
      {{1,
        {0.540302336f, 0.981255829f, 0.99929297f, 0.999973416f, 0.999999881f, 1.0f, 1.0f, 1.0f,
         0.841470957f, 0.192709595f, 0.0375971682f, 0.00729260035f, 0.000524846022f,
         3.42810235e-05f, 6.64786967e-06f, 1.28917316e-06f}},
       {37,
        {0.765414059f, 0.62789011f, 0.178412884f, 0.963816583f, 0.999811471f, 0.999999225f, 1.0f,
         1.0f, -0.643538117f, 0.778302014f, 0.983955741f, 0.266566247f, 0.0194180831f,
         0.00126839755f, 0.000245971169f, 4.76994064e-05f}},
       {4000,
        {-0.729946971f, -0.960404634f, 0.931482494f, -0.624483585f, -0.504314363f, 0.990613222f,
         0.999646485f, 0.999986708f, -0.683503807f, 0.278608948f, -0.363786161f, -0.781037927f,
         0.863520145f, 0.136694774f, 0.0265883449f, 0.00515666977f}}});
}

TEST(RopeTableTest, AgreesWithTransformersScaledByYarn) {
  ExpectRope(ConfigWithRope(16,
                            {{"rope_type", "yarn"},
                             {"rope_theta", 1000000.0},
                             {"factor", 4.0},
                             {"original_max_position_embeddings", 32768}},
                            131072),
             {{1,
               {0.615204155f, 1.12067354f, 1.13806021f, 1.1386193f, 1.13862932f, 1.13862944f,
                1.13862944f, 1.13862944f, 0.958123624f, 0.20141466f, 0.0360006243f, 0.00480222376f,
                0.000569314754f, 5.06200304e-05f, 9.0016556e-06f, 1.60074603e-06f}},
              {37,
               {0.871522963f, 1.08896244f, 0.444193363f, 1.12479389f, 1.13843453f, 1.13862789f,
                1.13862932f, 1.13862944f, -0.732751429f, 0.332622558f, 1.0484128f, 0.17696254f,
                0.0210634414f, 0.00187294034f, 0.000333061267f, 5.9227601e-05f}},
              {4000,
               {-0.831139088f, 0.291584253f, 0.77061069f, -0.452322692f, -0.473837048f, 1.12067354f,
                1.13806021f, 1.13861144f, -0.778257549f, 1.1006614f, 0.838233948f, -1.04493117f,
                1.03535283f, 0.20141466f, 0.0360006206f, 0.0064029498f}}});
}

TEST(RopeTableTest, AgreesWithTransformersOnYarnsOwnSettings) {
  ExpectRope(ConfigWithRope(16,
                            {{"rope_type", "yarn"},
                             {"rope_theta", 10000.0},
                             {"factor", 16.0},
                             {"original_max_position_embeddings", 256},
                             {"truncate", false},
                             {"mscale", 1.0},
                             {"mscale_all_dim", 0.5},
                             {"beta_fast", 20},
                             {"beta_slow", 2}},
                            4096),
             {{1,
               {0.606084764f, 1.08416092f, 1.12105548f, 1.12174892f, 1.12175095f, 1.12175119f,
                1.12175119f, 1.12175119f, 0.94392103f, 0.287959963f, 0.0395016707f, 0.00221705413f,
                0.000701094395f, 0.000221705559f, 7.01094541e-05f, 2.21705559e-05f}},
              {37,
               {0.858604133f, -1.10345232f, 0.296608746f, 1.11875308f, 1.12145126f, 1.12172115f,
                1.12174821f, 1.12175095f, -0.721889675f, -0.201788902f, 1.08182669f, 0.0819579586f,
                0.0259381831f, 0.00820303243f, 0.00259404723f, 0.000820310495f}},
              {4000,
               {-0.818818867f, -0.170247823f, -0.9921875f, -0.0579831004f, -0.898683786f,
                0.789085388f, 1.08687866f, 1.11824751f, -0.766721189f, 1.10875666f, 0.523344815f,
                1.12025166f, 0.67133683f, 0.797289133f, 0.277525693f, 0.0885898769f}}});
}

}  // namespace
}  // namespace ponder
