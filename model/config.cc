#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "model/json_text.h"

namespace ponder {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;
// Bounds far beyond any model of these families: they keep sizes made of products inside int64.
constexpr int64_t kMaxWidth = int64_t{1} << 17;
constexpr int64_t kMaxFfnWidth = int64_t{1} << 20;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHeadWidth = 1024;
constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
constexpr int64_t kMaxPositions = int64_t{1} << 30;

// What transformers assumes where config.json is silent.
struct FamilyDefaults {
  ModelFamily family;
  std::string_view model_type;
  std::string_view architecture;
  int64_t kv_heads;    // 0: as many as query heads
  int64_t head_width;  // 0: width / heads
  int64_t max_positions;
};
constexpr std::array kFamilies = {
    FamilyDefaults{ModelFamily::kLlama, "llama", "LlamaForCausalLM", 0, 0, 2048},
    FamilyDefaults{ModelFamily::kQwen2, "qwen2", "Qwen2ForCausalLM", 32, 0, 32768},
    FamilyDefaults{ModelFamily::kQwen3, "qwen3", "Qwen3ForCausalLM", 32, 128, 32768},
};

std::string Shortened(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// The keys of one JSON object, typed and bounded. A key that is null counts as absent, as in
// transformers.
class Section {
 public:
  Section(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const Json* Find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  absl::StatusOr<int64_t> Integer(const std::string& key, std::optional<int64_t> fallback,
                                  int64_t low, int64_t high) const {
    const Json* value = Find(key);
    if (value == nullptr) {
      if (fallback) return *fallback;
      return InvalidArgument("{}: expected the key {} with a whole number, found none", where_,
                             key);
    }
    // nlohmann keeps numbers above 2^63 as unsigned: those are out of range, whatever `high` is.
    const bool fits = value->is_number_integer() && !(value->is_number_unsigned() &&
                                                      value->get<uint64_t>() > uint64_t{INT64_MAX});
    if (!fits || value->get<int64_t>() < low || value->get<int64_t>() > high) {
      return InvalidArgument("{}: {}: expected a whole number from {} to {}, found {}", where_, key,
                             low, high, Shortened(*value));
    }
    return value->get<int64_t>();
  }

  absl::StatusOr<double> Number(const std::string& key, std::optional<double> fallback, double low,
                                double high) const {
    const Json* value = Find(key);
    if (value == nullptr) {
      if (fallback) return *fallback;
      return InvalidArgument("{}: expected the key {} with a number, found none", where_, key);
    }
    if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
      return InvalidArgument("{}: {}: expected a number from {} to {}, found {}", where_, key, low,
                             high, Shortened(*value));
    }
    return value->get<double>();
  }

  absl::StatusOr<bool> Bool(const std::string& key, bool fallback) const {
    const Json* value = Find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      return InvalidArgument("{}: {}: expected true or false, found {}", where_, key,
                             Shortened(*value));
    }
    return value->get<bool>();
  }

  absl::StatusOr<std::string> String(const std::string& key, const std::string& fallback) const {
    const Json* value = Find(key);
    if (value == nullptr) return fallback;
    if (!value->is_string()) {
      return InvalidArgument("{}: {}: expected a string, found {}", where_, key, Shortened(*value));
    }
    return value->get<std::string>();
  }

  // A token id or a list of them.
  absl::StatusOr<std::vector<int32_t>> TokenIds(const std::string& key, int64_t vocabulary) const {
    std::vector<int32_t> ids;
    const Json* value = Find(key);
    if (value == nullptr) return ids;
    const Json list = value->is_array() ? *value : Json::array({*value});
    for (const Json& item : list) {
      if (!item.is_number_integer() || item.get<int64_t>() < 0 ||
          item.get<int64_t>() >= vocabulary) {
        return InvalidArgument("{}: {}: expected token ids below vocab_size {}, found {}", where_,
                               key, vocabulary, Shortened(item));
      }
      const int32_t id = item.get<int32_t>();
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
    return ids;
  }

  const Json& Object() const { return object_; }
  const std::string& Where() const { return where_; }

 private:
  const Json& object_;
  std::string where_;
};

absl::StatusOr<const FamilyDefaults*> FindFamily(const Section& config) {
  PONDER_ASSIGN_OR_RETURN(const std::string type, config.String("model_type", ""));
  const auto family =
      std::find_if(kFamilies.begin(), kFamilies.end(),
                   [&](const FamilyDefaults& known) { return known.model_type == type; });
  if (family == kFamilies.end()) {
    return InvalidArgument("{}: model_type: expected llama, qwen2 or qwen3, found \"{}\"",
                           config.Where(), type);
  }
  const Json* architectures = config.Find("architectures");
  if (architectures != nullptr && *architectures != Json::array({family->architecture})) {
    return InvalidArgument("{}: architectures: expected [\"{}\"], found {}", config.Where(),
                           family->architecture, Shortened(*architectures));
  }
  return &*family;
}

absl::Status Unsupported(const Section& config, const std::string& key, std::string_view expected) {
  const Json* value = config.Find(key);
  return InvalidArgument(
      "{}: {} = {} would change the arithmetic and is not supported; expected {}", config.Where(),
      key, value == nullptr ? "null" : Shortened(*value), expected);
}

// Settings under which this decoder would compute something else than the model's authors meant.
absl::Status CheckArithmetic(const Section& config, const ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(const std::string activation, config.String("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish")
    return Unsupported(config, "hidden_act", "\"silu\"");
  PONDER_ASSIGN_OR_RETURN(const bool mlp_bias, config.Bool("mlp_bias", false));
  if (mlp_bias) return Unsupported(config, "mlp_bias", "false");
  PONDER_ASSIGN_OR_RETURN(const double rotary,
                          config.Number("partial_rotary_factor", 1.0, 0.0, 1.0));
  if (rotary != 1.0) return Unsupported(config, "partial_rotary_factor", "1.0");
  if (config.Find("quantization_config") != nullptr)
    return Unsupported(config, "quantization_config", "none");

  if (const Json* types = config.Find("layer_types"); types != nullptr) {
    const bool all_full =
        types->is_array() && std::all_of(types->begin(), types->end(),
                                         [](const Json& type) { return type == "full_attention"; });
    if (!all_full) return Unsupported(config, "layer_types", "\"full_attention\" everywhere");
  } else if (model.family != ModelFamily::kLlama) {
    PONDER_ASSIGN_OR_RETURN(const bool sliding, config.Bool("use_sliding_window", false));
    PONDER_ASSIGN_OR_RETURN(const int64_t full_layers,
                            config.Integer("max_window_layers", 28, 0, kMaxPositions));
    const bool has_window =
        !config.Object().contains("sliding_window") || config.Find("sliding_window") != nullptr;
    if (sliding && has_window && full_layers < model.layers)
      return Unsupported(config, "use_sliding_window", "false");
  }
  return absl::OkStatus();
}

// 0.1 m ln(s) + 1 (Peng et al. 2023, section 3.4).
double YarnScale(double factor, double m) {
  return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1;
}

absl::Status ParseYarn(const Section& section, const ModelConfig& model, RopeConfig& rope) {
  const double implied =
      static_cast<double>(model.max_positions) / static_cast<double>(rope.original_max_positions);
  PONDER_ASSIGN_OR_RETURN(rope.factor, section.Number("factor", std::max(1.0, implied), 1.0, 1e6));
  // transformers takes 0 for "not given" in the four below.
  const auto number_or = [&](const std::string& key, double fallback) -> absl::StatusOr<double> {
    PONDER_ASSIGN_OR_RETURN(const double value, section.Number(key, fallback, 0.0, 1e6));
    return value == 0 ? fallback : value;
  };
  PONDER_ASSIGN_OR_RETURN(rope.beta_fast, number_or("beta_fast", 32));
  PONDER_ASSIGN_OR_RETURN(rope.beta_slow, number_or("beta_slow", 1));
  PONDER_ASSIGN_OR_RETURN(const double mscale, number_or("mscale", 0));
  PONDER_ASSIGN_OR_RETURN(const double mscale_all, number_or("mscale_all_dim", 0));
  PONDER_ASSIGN_OR_RETURN(rope.round_ramp, section.Bool("truncate", true));
  const double inferred = mscale != 0 && mscale_all != 0
                              ? YarnScale(rope.factor, mscale) / YarnScale(rope.factor, mscale_all)
                              : YarnScale(rope.factor, 1);
  PONDER_ASSIGN_OR_RETURN(rope.attention_factor,
                          section.Number("attention_factor", inferred, 1e-6, 1e6));
  if (rope.beta_fast < rope.beta_slow) {
    return InvalidArgument("{}: beta_fast: expected at least beta_slow {}, found {}",
                           section.Where(), rope.beta_slow, rope.beta_fast);
  }
  return absl::OkStatus();
}

// "rope_theta" beside "rope_scaling" (transformers 4) or both inside "rope_parameters"
// (transformers 5).
absl::StatusOr<RopeConfig> ParseRope(const Section& config, const ModelConfig& model) {
  RopeConfig rope;
  PONDER_ASSIGN_OR_RETURN(const double outer_theta,
                          config.Number("rope_theta", 10000.0, 1.0, 1e15));
  const std::string key =
      config.Find("rope_scaling") != nullptr ? "rope_scaling" : "rope_parameters";
  static const Json kNothing = Json::object();
  const Json* object = config.Find(key) != nullptr ? config.Find(key) : &kNothing;
  if (!object->is_object()) {
    return InvalidArgument("{}: {}: expected an object, found {}", config.Where(), key,
                           Shortened(*object));
  }
  const Section section(*object, config.Where() + ": " + key);
  PONDER_ASSIGN_OR_RETURN(rope.theta, section.Number("rope_theta", outer_theta, 1.0, 1e15));
  PONDER_ASSIGN_OR_RETURN(const double rotary,
                          section.Number("partial_rotary_factor", 1.0, 0.0, 1.0));
  if (rotary != 1.0) return Unsupported(section, "partial_rotary_factor", "1.0");

  PONDER_ASSIGN_OR_RETURN(const std::string old_type, section.String("type", "default"));
  PONDER_ASSIGN_OR_RETURN(const std::string type, section.String("rope_type", old_type));
  if (type == "default") {
    for (const auto& [name, value] : object->items()) {
      if (value.is_object()) return Unsupported(section, name, "one setting for all layers");
    }
    return rope;
  }
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    PONDER_ASSIGN_OR_RETURN(rope.factor, section.Number("factor", std::nullopt, 1.0, 1e6));
    return rope;
  }
  if (type != "llama3" && type != "yarn") {
    return InvalidArgument("{}: rope_type: expected default, linear, llama3 or yarn, found \"{}\"",
                           section.Where(), type);
  }
  PONDER_ASSIGN_OR_RETURN(
      const int64_t inner_original,
      section.Integer("original_max_position_embeddings", model.max_positions, 1, kMaxPositions));
  PONDER_ASSIGN_OR_RETURN(
      rope.original_max_positions,
      config.Integer("original_max_position_embeddings", inner_original, 1, kMaxPositions));
  if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    PONDER_RETURN_IF_ERROR(ParseYarn(section, model, rope));
    return rope;
  }
  rope.scaling = RopeScaling::kLlama3;
  PONDER_ASSIGN_OR_RETURN(rope.factor, section.Number("factor", std::nullopt, 1.0, 1e6));
  PONDER_ASSIGN_OR_RETURN(rope.low_frequency_factor,
                          section.Number("low_freq_factor", std::nullopt, 1e-6, 1e6));
  PONDER_ASSIGN_OR_RETURN(rope.high_frequency_factor,
                          section.Number("high_freq_factor", std::nullopt, 1e-6, 1e6));
  if (rope.high_frequency_factor <= rope.low_frequency_factor) {
    return InvalidArgument("{}: high_freq_factor: expected more than low_freq_factor {}, found {}",
                           section.Where(), rope.low_frequency_factor, rope.high_frequency_factor);
  }
  return rope;
}

absl::Status ParseSizes(const Section& config, const FamilyDefaults& defaults, ModelConfig& model) {
  PONDER_ASSIGN_OR_RETURN(model.width, config.Integer("hidden_size", std::nullopt, 1, kMaxWidth));
  PONDER_ASSIGN_OR_RETURN(model.layers,
                          config.Integer("num_hidden_layers", std::nullopt, 1, kMaxLayers));
  PONDER_ASSIGN_OR_RETURN(model.heads,
                          config.Integer("num_attention_heads", std::nullopt, 1, kMaxHeads));
  PONDER_ASSIGN_OR_RETURN(model.ffn_width,
                          config.Integer("intermediate_size", std::nullopt, 1, kMaxFfnWidth));
  PONDER_ASSIGN_OR_RETURN(model.vocabulary,
                          config.Integer("vocab_size", std::nullopt, 1, kMaxVocabulary));
  PONDER_ASSIGN_OR_RETURN(
      model.max_positions,
      config.Integer("max_position_embeddings", defaults.max_positions, 1, kMaxPositions));
  // An explicit null means "as many as query heads" in every family; an absent key means the
  // family's default.
  const bool silent = !config.Object().contains("num_key_value_heads");
  const int64_t kv_default = silent && defaults.kv_heads != 0 ? defaults.kv_heads : model.heads;
  PONDER_ASSIGN_OR_RETURN(model.kv_heads,
                          config.Integer("num_key_value_heads", kv_default, 1, kMaxHeads));
  if (model.heads % model.kv_heads != 0) {
    return InvalidArgument(
        "{}: num_key_value_heads: expected a divisor of num_attention_heads {}, found {}",
        config.Where(), model.heads, model.kv_heads);
  }
  const bool head_width_of_family =
      defaults.head_width != 0 && !config.Object().contains("head_dim");
  if (config.Find("head_dim") == nullptr && !head_width_of_family &&
      model.width % model.heads != 0) {
    return InvalidArgument(
        "{}: hidden_size: expected a multiple of num_attention_heads {}, found {}", config.Where(),
        model.heads, model.width);
  }
  const int64_t head_default =
      head_width_of_family ? defaults.head_width : model.width / model.heads;
  PONDER_ASSIGN_OR_RETURN(model.head_width,
                          config.Integer("head_dim", head_default, 1, kMaxHeadWidth));
  if (model.head_width < 2 || model.head_width % 2 != 0 || model.head_width > kMaxHeadWidth) {
    return InvalidArgument(
        "{}: head_dim: expected an even number from 2 to {} (rotary positions turn pairs), found "
        "{}",
        config.Where(), kMaxHeadWidth, model.head_width);
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view ToString(ModelFamily family) {
  for (const FamilyDefaults& known : kFamilies) {
    if (known.family == family) return known.model_type;
  }
  return "unknown";
}

absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& config_json,
                                             const std::string& generation_json) {
  PONDER_ASSIGN_OR_RETURN(const Json json, ParseJsonText(config_json, "config.json"));
  if (!json.is_object())
    return InvalidArgument("config.json: expected a JSON object, found {}", Shortened(json));
  const Section config(json, "config.json");

  ModelConfig model;
  model.json = config_json;
  model.generation_json = generation_json;
  PONDER_ASSIGN_OR_RETURN(const FamilyDefaults* defaults, FindFamily(config));
  model.family = defaults->family;
  PONDER_RETURN_IF_ERROR(ParseSizes(config, *defaults, model));
  PONDER_ASSIGN_OR_RETURN(const double epsilon, config.Number("rms_norm_eps", 1e-6, 0.0, 1.0));
  model.norm_epsilon = static_cast<float>(epsilon);
  PONDER_RETURN_IF_ERROR(CheckArithmetic(config, model));
  PONDER_ASSIGN_OR_RETURN(model.rope, ParseRope(config, model));
  PONDER_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));

  PONDER_ASSIGN_OR_RETURN(const bool attention_bias, config.Bool("attention_bias", false));
  model.qkv_bias = model.family == ModelFamily::kQwen2 || attention_bias;
  model.output_bias = model.family != ModelFamily::kQwen2 && attention_bias;
  model.qk_norm = model.family == ModelFamily::kQwen3;

  PONDER_ASSIGN_OR_RETURN(const std::vector<int32_t> bos,
                          config.TokenIds("bos_token_id", model.vocabulary));
  if (!bos.empty()) model.bos_id = bos.front();
  PONDER_ASSIGN_OR_RETURN(model.eos_ids, config.TokenIds("eos_token_id", model.vocabulary));
  if (!generation_json.empty()) {
    PONDER_ASSIGN_OR_RETURN(const Json generation,
                            ParseJsonText(generation_json, "generation_config.json"));
    if (!generation.is_object()) {
      return InvalidArgument("generation_config.json: expected a JSON object, found {}",
                             Shortened(generation));
    }
    const Section section(generation, "generation_config.json");
    PONDER_ASSIGN_OR_RETURN(const std::vector<int32_t> eos,
                            section.TokenIds("eos_token_id", model.vocabulary));
    if (!eos.empty()) model.eos_ids = eos;
  }
  return model;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  if (!std::filesystem::exists(path)) {
    return NotFound("expected a Hugging Face model directory with a config.json, found none in {}",
                    directory);
  }
  PONDER_ASSIGN_OR_RETURN(const std::string config, ReadFile(path, kMaxConfigBytes));
  std::string generation;
  const std::string generation_path = directory + "/generation_config.json";
  if (std::filesystem::exists(generation_path)) {
    PONDER_ASSIGN_OR_RETURN(generation, ReadFile(generation_path, kMaxConfigBytes));
  }
  absl::StatusOr<ModelConfig> model = ParseModelConfig(config, generation);
  if (!model.ok()) return Annotate(model.status(), directory);
  return model;
}

}  // namespace ponder
