#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "kernels/backend.h"

namespace ponder {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Nothing is a multiple of a panel or of the inputs' padding.
ModelConfig OddConfig(const std::string& type, bool tied) {
  Json json = {{"model_type", type},     {"hidden_size", 20},        {"intermediate_size", 27},
               {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
               {"head_dim", 6},          {"vocab_size", 37},         {"tie_word_embeddings", tied},
               {"eos_token_id", {3, 5}}};
  if (type == "llama") json["attention_bias"] = true;
  absl::StatusOr<ModelConfig> config = ParseModelConfig(json.dump(), "");
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

// Tensors in memory.
class MapSource : public TensorSource {
 public:
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  std::map<std::string, Tensor> tensors;

  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) names.push_back(name);
    return names;
  }
  bool Has(const std::string& name) const override { return tensors.contains(name); }
  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const override {
    if (!Has(name)) return NotFound("no tensor {}", name);
    return tensors.at(name).shape;
  }
  absl::StatusOr<std::string> StoredType(const std::string&) const override { return "F32"; }
  absl::Status Read(const std::string& name, float* out, int64_t count) const override {
    const std::vector<float>& values = tensors.at(name).values;
    EXPECT_EQ(count, static_cast<int64_t>(values.size()));
    std::copy(values.begin(), values.end(), out);
    return absl::OkStatus();
  }
};

// A checkpoint where every number says which tensor it is from and where it stands in it.
MapSource NumberedSource(const ParameterLayout& layout) {
  MapSource source;
  float tensor_number = 1;
  for (const TensorView& view : layout.tensors) {
    MapSource::Tensor& tensor = source.tensors[view.name];
    tensor.shape = view.shape;
    for (int64_t i = 0; i < view.Count(); ++i) {
      tensor.values.push_back(tensor_number + static_cast<float>(i) / 1024);
    }
    tensor_number += 1;
  }
  return source;
}

std::string ReadError(const MapSource& source, const ModelConfig& config) {
  const ParameterLayout layout = MakeParameterLayout(config);
  std::vector<float> flat(static_cast<size_t>(layout.count));
  return std::string(ReadFlat(source, config, layout, flat.data()).message());
}

TEST(ParameterLayoutTest, PlacesEveryParameterAlignedAndApart) {
  for (const std::string type : {"llama", "qwen2", "qwen3"}) {
    for (const bool tied : {true, false}) {
      const ModelConfig config = OddConfig(type, tied);
      const ParameterLayout layout = MakeParameterLayout(config);
      int64_t end = 0;
      for (const Parameter& parameter : layout.parameters) {
        EXPECT_EQ(parameter.offset % 16, 0) << parameter.name;
        EXPECT_GE(parameter.offset, end) << parameter.name;
        end = parameter.offset + parameter.Count();
      }
      EXPECT_GE(layout.count, end);
      // The tensors of a parameter fill it without gap.
      std::vector<int64_t> filled(layout.parameters.size(), 0);
      for (const TensorView& view : layout.tensors) {
        EXPECT_EQ(view.offset, layout.parameters[view.parameter].offset + filled[view.parameter])
            << view.name;
        filled[view.parameter] += view.Count();
      }
      for (size_t i = 0; i < filled.size(); ++i) {
        EXPECT_EQ(filled[i], layout.parameters[i].Count()) << layout.parameters[i].name;
      }
      EXPECT_EQ(layout.head == layout.embedding, tied);
    }
  }
}

TEST(ParameterLayoutTest, CountsTheParametersOfAModel) {
  // By hand for width 20, two layers, 4 heads of 6 over 2, feed-forward 27, 37 tokens:
  // embedding 740; a layer: norms 40, q 480, k 240, v 240, o 480, gate 540, up 540, down 540; final
  // norm 20.
  const int64_t plain = 740 + 2 * (40 + 480 + 240 + 240 + 480 + 3 * 540) + 20;
  EXPECT_EQ(MakeParameterLayout(OddConfig("qwen2", true)).ParameterCount(), plain + 2 * 48);
  EXPECT_EQ(MakeParameterLayout(OddConfig("llama", true)).ParameterCount(), plain + 2 * (48 + 20));
  EXPECT_EQ(MakeParameterLayout(OddConfig("qwen3", true)).ParameterCount(), plain + 2 * 12);
  EXPECT_EQ(MakeParameterLayout(OddConfig("qwen3", false)).ParameterCount(), plain + 2 * 12 + 740);
}

TEST(ReadFlatTest, StacksTheProjectionsOfALayer) {
  const ModelConfig config = OddConfig("llama", false);
  const ParameterLayout layout = MakeParameterLayout(config);
  const MapSource source = NumberedSource(layout);
  std::vector<float> flat(static_cast<size_t>(layout.count), NAN);
  ASSERT_TRUE(ReadFlat(source, config, layout, flat.data()).ok());
  const Parameter& qkv = layout.parameters[layout.layers[1].qkv];
  EXPECT_EQ(qkv.rows, 24 + 12 + 12);
  EXPECT_EQ(qkv.columns, 20);
  const std::string prefix = "model.layers.1.self_attn.";
  EXPECT_EQ(flat[qkv.offset + 7], source.tensors.at(prefix + "q_proj.weight").values[7]);
  EXPECT_EQ(flat[qkv.offset + 24 * 20], source.tensors.at(prefix + "k_proj.weight").values[0]);
  EXPECT_EQ(flat[qkv.offset + 36 * 20 + 3], source.tensors.at(prefix + "v_proj.weight").values[3]);
  const Parameter& bias = layout.parameters[layout.layers[1].qkv_bias];
  EXPECT_EQ(flat[bias.offset + 36], source.tensors.at(prefix + "v_proj.bias").values[0]);
  const Parameter& gate_up = layout.parameters[layout.layers[1].gate_up];
  EXPECT_EQ(flat[gate_up.offset + 27 * 20],
            source.tensors.at("model.layers.1.mlp.up_proj.weight").values[0]);
  for (const float value : flat) ASSERT_TRUE(std::isfinite(value)) << "the gaps are zero";
}

TEST(ReadFlatTest, NamesTheTensorThatIsWrong) {
  const ModelConfig config = OddConfig("qwen3", false);
  const MapSource whole = NumberedSource(MakeParameterLayout(config));
  EXPECT_EQ(ReadError(whole, config), "");

  const std::string name = "model.layers.1.mlp.down_proj.weight";
  MapSource missing = whole;
  missing.tensors.erase(name);
  EXPECT_THAT(ReadError(missing, config), HasSubstr(name));
  MapSource reshaped = whole;
  reshaped.tensors[name].shape = {27, 20};
  EXPECT_THAT(ReadError(reshaped, config),
              AllOf(HasSubstr(name), HasSubstr("[20, 27]"), HasSubstr("[27, 20]")));
  MapSource infinite = whole;
  infinite.tensors[name].values[100] = INFINITY;
  EXPECT_THAT(ReadError(infinite, config),
              AllOf(HasSubstr(name), HasSubstr("inf"), HasSubstr("100")));
  MapSource nan = whole;
  nan.tensors[name].values.back() = NAN;
  EXPECT_THAT(ReadError(nan, config), AllOf(HasSubstr(name), HasSubstr("nan")));
  MapSource extra = whole;
  extra.tensors["model.layers.0.self_attn.q_proj.bias"] = {{24}, std::vector<float>(24)};
  EXPECT_THAT(ReadError(extra, config), HasSubstr("q_proj.bias"));
  MapSource old_table = whole;
  old_table.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{3}, std::vector<float>(3)};
  EXPECT_EQ(ReadError(old_table, config), "");
}

TEST(ReadFlatTest, WantsATiedHeadToBeTheEmbedding) {
  const ModelConfig config = OddConfig("llama", true);
  MapSource source = NumberedSource(MakeParameterLayout(config));
  source.tensors["lm_head.weight"] = source.tensors["model.embed_tokens.weight"];
  EXPECT_EQ(ReadError(source, config), "");
  source.tensors["lm_head.weight"].values[5] += 1;
  EXPECT_THAT(ReadError(source, config), HasSubstr("tie_word_embeddings"));
}

// ---- working weights ----

class WorkingWeightsTest : public ::testing::TestWithParam<kernels::DType> {
 protected:
  void SetUp() override {
    backend_ = *kernels::CreateCpuBackend({.threads = 1, .isa = kernels::CpuIsa::kPortable});
    flat_.resize(static_cast<size_t>(layout_.count));
    ASSERT_TRUE(ReadFlat(NumberedSource(layout_), config_, layout_, flat_.data()).ok());
  }

  std::unique_ptr<Weights> Filled() {
    std::unique_ptr<Weights> weights = *Weights::Create(*backend_, config_, GetParam());
    weights->SetFromFlat(flat_.data());
    return weights;
  }

  float Element(const kernels::PackedMatrix& matrix, int64_t n, int64_t k) const {
    const int64_t index =
        kernels::PackedIndex(n, k, matrix.inputs, matrix.dtype, backend_->Info().order);
    return matrix.dtype == kernels::DType::kF32
               ? static_cast<const float*>(matrix.data)[index]
               : kernels::ToF32(static_cast<const kernels::BF16*>(matrix.data)[index]);
  }

  const ModelConfig config_ = OddConfig("qwen2", false);
  const ParameterLayout layout_ = MakeParameterLayout(config_);
  std::vector<float> flat_;
  std::unique_ptr<kernels::Backend> backend_;
};

TEST_P(WorkingWeightsTest, HoldEveryElementInPackedOrderAndPadWithZeros) {
  const std::unique_ptr<Weights> weights = Filled();
  for (size_t p = 0; p < layout_.parameters.size(); ++p) {
    const Parameter& parameter = layout_.parameters[p];
    if (parameter.role == Parameter::Role::kVector) {
      for (int64_t i = 0; i < parameter.columns; ++i) {
        ASSERT_EQ(weights->Vector(p)[i], flat_[parameter.offset + i]) << parameter.name;
      }
      continue;
    }
    const kernels::PackedMatrix matrix = weights->Matrix(p);
    ASSERT_EQ(matrix.outputs, parameter.rows);
    ASSERT_EQ(matrix.inputs, parameter.columns);
    for (int64_t n = 0; n < kernels::Panels(parameter.rows) * kernels::kPanelOutputs; ++n) {
      for (int64_t k = 0; k < kernels::PaddedInputs(parameter.columns); ++k) {
        float expected = 0;
        if (n < parameter.rows && k < parameter.columns) {
          expected = flat_[parameter.offset + n * parameter.columns + k];
          if (GetParam() == kernels::DType::kBF16)
            expected = kernels::ToF32(kernels::ToBF16(expected));
        }
        ASSERT_EQ(Element(matrix, n, k), expected) << parameter.name << " " << n << ", " << k;
      }
    }
  }
  EXPECT_EQ(weights->Vector(-1), nullptr);
}

TEST_P(WorkingWeightsTest, TravelBitForBit) {
  const std::unique_ptr<Weights> sender = Filled();
  std::unique_ptr<Weights> receiver = *Weights::Create(*backend_, config_, GetParam());
  for (size_t p = 0; p < layout_.parameters.size(); ++p) {
    const std::string bytes = sender->ExportWorking(p);
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), sender->WorkingBytes(p));
    ASSERT_TRUE(receiver->ImportWorking(p, bytes, sender->Order()).ok());
    EXPECT_EQ(receiver->ExportWorking(p), bytes);
    EXPECT_FALSE(
        receiver->ImportWorking(p, std::string_view(bytes).substr(1), sender->Order()).ok());
  }
}

TEST_P(WorkingWeightsTest, ComeFromAnotherKindOfBackendToo) {
  const std::unique_ptr<Weights> weights = Filled();
  std::unique_ptr<Weights> receiver = *Weights::Create(*backend_, config_, GetParam());
  const std::string bytes = weights->ExportWorking(layout_.head);
  const int64_t size = kernels::SizeOf(GetParam());
  const auto at = [&](int64_t n, int64_t k, kernels::MatrixOrder order) {
    return kernels::PackedIndex(n, k, 20, GetParam(), order) * size;
  };
  std::string by_rows(bytes.size(), '\0');
  for (int64_t n = 0; n < 37; ++n) {
    for (int64_t k = 0; k < 20; ++k) {
      by_rows.replace(at(n, k, kernels::MatrixOrder::kRows), size,
                      bytes.substr(at(n, k, kernels::MatrixOrder::kPanels), size));
    }
  }
  ASSERT_NE(by_rows, bytes);
  ASSERT_TRUE(receiver->ImportWorking(layout_.head, by_rows, kernels::MatrixOrder::kRows).ok());
  EXPECT_EQ(receiver->ExportWorking(layout_.head), bytes);
}

TEST_P(WorkingWeightsTest, RefuseBytesWhosePaddingIsNotZero) {
  std::unique_ptr<Weights> weights = Filled();
  const std::string bytes = weights->ExportWorking(layout_.head);
  const int64_t size = kernels::SizeOf(GetParam());
  // A row beyond the vocabulary of 37, and an input beyond the width of 20.
  for (const auto& [n, k] :
       {std::pair<int64_t, int64_t>{37, 0}, std::pair<int64_t, int64_t>{3, 20}}) {
    std::string dirty = bytes;
    dirty[kernels::PackedIndex(n, k, 20, GetParam(), backend_->Info().order) * size] = 1;
    const absl::Status status = weights->ImportWorking(layout_.head, dirty, weights->Order());
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << n << ", " << k;
  }
  EXPECT_EQ(weights->ExportWorking(layout_.head), bytes) << "nothing of them was taken";
}

TEST_P(WorkingWeightsTest, TravelInOnePieceAndTakeTheirPlaceAtOnce) {
  const std::unique_ptr<Weights> sender = Filled();
  std::unique_ptr<Weights> receiver = *Weights::Create(*backend_, config_, GetParam());
  std::string bytes(static_cast<size_t>(sender->ArenaBytes()), '\0');
  sender->ExportArena(0, sender->ArenaBytes(), bytes.data());
  kernels::DeviceBuffer arena = receiver->MakeArena().value();
  // In runs of odd lengths at odd places.
  for (int64_t begin = 0, count = 1; begin < receiver->ArenaBytes(); begin += count++) {
    count = std::min(count, receiver->ArenaBytes() - begin);
    receiver->ImportArena(arena, begin, count, bytes.data() + begin);
  }
  const std::string before = receiver->ExportWorking(layout_.head);
  ASSERT_TRUE(receiver->Exchange(arena).ok());
  for (size_t p = 0; p < layout_.parameters.size(); ++p) {
    EXPECT_EQ(receiver->ExportWorking(p), sender->ExportWorking(p)) << layout_.parameters[p].name;
  }
  ASSERT_TRUE(receiver->Exchange(arena).ok());
  EXPECT_EQ(receiver->ExportWorking(layout_.head), before) << "the arena held the former ones";
}

TEST_P(WorkingWeightsTest, RefuseAnArenaWhosePaddingIsNotZero) {
  std::unique_ptr<Weights> weights = Filled();
  kernels::DeviceBuffer arena = weights->MakeArena().value();
  const std::string ones(static_cast<size_t>(weights->ArenaBytes()), '\x01');
  weights->ImportArena(arena, 0, weights->ArenaBytes(), ones.data());
  const std::string before = weights->ExportWorking(layout_.head);
  EXPECT_EQ(weights->Exchange(arena).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(weights->ExportWorking(layout_.head), before) << "nothing of them was taken";
}

TEST_P(WorkingWeightsTest, AreTheSameReadOneByOneOrAllAtOnce) {
  const std::unique_ptr<Weights> all = Filled();
  std::unique_ptr<Weights> single = *Weights::Create(*backend_, config_, GetParam());
  ASSERT_TRUE(ReadWeights(NumberedSource(layout_), *single).ok());
  for (size_t p = 0; p < layout_.parameters.size(); ++p) {
    EXPECT_EQ(single->ExportWorking(p), all->ExportWorking(p)) << layout_.parameters[p].name;
  }
}

// Matrices that do not travel in one piece, one of them with a tensor's end inside a piece.
TEST_P(WorkingWeightsTest, AreTheSameReadInPieces) {
  ModelConfig large = config_;
  large.vocabulary = 20'011;
  large.ffn_width = 7'000;
  const ParameterLayout layout = MakeParameterLayout(large);
  std::unique_ptr<Weights> pieces = *Weights::Create(*backend_, large, GetParam());
  const LayerParameters& layer = layout.layers[0];
  ASSERT_LT(pieces->RowsAtOnce(layer.gate_up), layout.parameters[layer.gate_up].rows);
  ASSERT_TRUE(ReadWeights(NumberedSource(layout), *pieces).ok());
  std::vector<float> flat(static_cast<size_t>(layout.count));
  ASSERT_TRUE(ReadFlat(NumberedSource(layout), large, layout, flat.data()).ok());
  std::unique_ptr<Weights> whole = *Weights::Create(*backend_, large, GetParam());
  whole->SetFromFlat(flat.data());
  for (size_t p = 0; p < layout.parameters.size(); ++p) {
    EXPECT_EQ(pieces->ExportWorking(p), whole->ExportWorking(p)) << layout.parameters[p].name;
  }
}

TEST_P(WorkingWeightsTest, ComeBackFromAFolder) {
  const std::string folder = ::testing::TempDir() + "ponder_weights_" + std::to_string(getpid()) +
                             std::string(kernels::ToString(GetParam()));
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(WriteModel(folder, config_, layout_, flat_.data(), GetParam()).ok());
  const absl::StatusOr<ModelConfig> config = LoadModelConfig(folder);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->eos_ids, config_.eos_ids);
  EXPECT_EQ(Json::parse(config->json)["torch_dtype"],
            GetParam() == kernels::DType::kF32 ? "float32" : "bfloat16");
  EXPECT_EQ(Json::parse(config->generation_json)["eos_token_id"], (Json{3, 5}));
  std::vector<float> read(flat_.size());
  ASSERT_TRUE(ReadFlat(**OpenSafetensors(folder), *config, layout_, read.data()).ok());
  std::vector<float> expected = flat_;
  if (GetParam() == kernels::DType::kBF16) {
    for (float& value : expected) value = kernels::ToF32(kernels::ToBF16(value));
  }
  EXPECT_EQ(read, expected);
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(BothTypes, WorkingWeightsTest,
                         ::testing::Values(kernels::DType::kF32, kernels::DType::kBF16),
                         [](const auto& info) { return std::string(ToString(info.param)); });

}  // namespace
}  // namespace ponder
