#include "model/gguf_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "model/tensor_names.h"

namespace ponder {
namespace {

struct NamePair {
  std::string_view gguf;
  std::string_view hugging_face;
};
constexpr std::array kLayerNames = {
    NamePair{"attn_norm", "input_layernorm"},    NamePair{"attn_q", "self_attn.q_proj"},
    NamePair{"attn_k", "self_attn.k_proj"},      NamePair{"attn_v", "self_attn.v_proj"},
    NamePair{"attn_output", "self_attn.o_proj"}, NamePair{"attn_q_norm", "self_attn.q_norm"},
    NamePair{"attn_k_norm", "self_attn.k_norm"}, NamePair{"ffn_norm", "post_attention_layernorm"},
    NamePair{"ffn_gate", "mlp.gate_proj"},       NamePair{"ffn_up", "mlp.up_proj"},
    NamePair{"ffn_down", "mlp.down_proj"},
};
constexpr std::array kOtherNames = {
    NamePair{"token_embd.weight", "model.embed_tokens.weight"},
    NamePair{"output_norm.weight", "model.norm.weight"},
    NamePair{"output.weight", "lm_head.weight"},
};

// Not weights: what config.json says as rope_scaling.
constexpr std::string_view kRopeFactors = "rope_freqs.weight";

// Row h * E + 2 j + half of the file is row h * E + half * E / 2 + j of the model; E = rows /
// heads.
void Uninterleave(float* values, int64_t rows, int64_t columns, int64_t heads) {
  const int64_t head_width = rows / heads;
  const int64_t half_width = head_width / 2;
  std::vector<float> head(static_cast<size_t>(head_width * columns));
  const size_t row_bytes = static_cast<size_t>(columns) * sizeof(float);
  for (int64_t h = 0; h < heads; ++h) {
    float* begin = values + h * head_width * columns;
    std::copy(begin, begin + head_width * columns, head.begin());
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t j = 0; j < half_width; ++j) {
        std::memcpy(begin + (half * half_width + j) * columns,
                    head.data() + (2 * j + half) * columns, row_bytes);
      }
    }
  }
}

}  // namespace

std::string HuggingFaceName(const std::string& gguf_name) {
  for (const NamePair& pair : kOtherNames) {
    if (gguf_name == pair.gguf) return std::string(pair.hugging_face);
  }
  constexpr std::string_view kBlock = "blk.";
  const size_t after_layer = gguf_name.find('.', kBlock.size());
  const size_t last = gguf_name.rfind('.');
  if (!gguf_name.starts_with(kBlock) || after_layer == std::string::npos || last <= after_layer) {
    return gguf_name;
  }
  const std::string_view layer =
      std::string_view(gguf_name).substr(kBlock.size(), after_layer - kBlock.size());
  const std::string_view middle =
      std::string_view(gguf_name).substr(after_layer + 1, last - after_layer - 1);
  for (const NamePair& pair : kLayerNames) {
    if (middle == pair.gguf) {
      return fmt::format("model.layers.{}.{}{}", layer, pair.hugging_face, gguf_name.substr(last));
    }
  }
  return gguf_name;
}

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::Open(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(MappedFile mapping, MappedFile::Open(path));
  PONDER_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Parse(mapping.Bytes(), path));
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<GgufSource> source, Create(std::move(file)));
  source->mapping_ = std::make_unique<MappedFile>(std::move(mapping));
  return source;
}

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::Create(GgufFile file) {
  std::unique_ptr<GgufSource> source(new GgufSource(std::move(file)));
  const GgufFile& parsed = source->file_;
  PONDER_ASSIGN_OR_RETURN(const std::string architecture, parsed.String("general.architecture"));
  if (architecture != "llama" && architecture != "qwen2" && architecture != "qwen3") {
    return InvalidArgument("{}: general.architecture: expected llama, qwen2 or qwen3, found \"{}\"",
                           parsed.Path(), architecture);
  }
  int64_t heads = 0;
  int64_t kv_heads = 0;
  if (architecture == "llama") {
    PONDER_ASSIGN_OR_RETURN(heads, parsed.Integer("llama.attention.head_count"));
    PONDER_ASSIGN_OR_RETURN(kv_heads, parsed.Integer("llama.attention.head_count_kv", heads));
  }
  for (size_t i = 0; i < parsed.Tensors().size(); ++i) {
    const GgufTensor& tensor = parsed.Tensors()[i];
    if (tensor.name == kRopeFactors) continue;
    const std::string name = HuggingFaceName(tensor.name);
    Place place{static_cast<int64_t>(i), 0};
    if (architecture == "llama" && name != tensor.name) {
      if (name.find(".q_proj.") != std::string::npos) place.interleaved_heads = heads;
      if (name.find(".k_proj.") != std::string::npos) place.interleaved_heads = kv_heads;
      const bool is_interleaved =
          name.find(".q_proj.") != std::string::npos || name.find(".k_proj.") != std::string::npos;
      const int64_t rows = tensor.shape.empty() ? 0 : tensor.shape.front();
      if (is_interleaved && (place.interleaved_heads < 1 || place.interleaved_heads > rows ||
                             rows % (2 * place.interleaved_heads) != 0)) {
        return InvalidArgument("{}: tensor {}: expected rows for {} heads of even width, found {}",
                               parsed.Path(), tensor.name, place.interleaved_heads, rows);
      }
    }
    if (!source->tensors_.emplace(name, place).second) {
      return InvalidArgument("{}: two tensors are {}", parsed.Path(), name);
    }
    source->names_.push_back(name);
  }
  return source;
}

absl::StatusOr<const GgufSource::Place*> GgufSource::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return NoSuchTensor(name, names_, file_.Path());
  return &found->second;
}

absl::StatusOr<std::vector<int64_t>> GgufSource::Shape(const std::string& name) const {
  PONDER_ASSIGN_OR_RETURN(const Place* place, Find(name));
  return file_.Tensors()[place->index].shape;
}

absl::StatusOr<std::string> GgufSource::StoredType(const std::string& name) const {
  PONDER_ASSIGN_OR_RETURN(const Place* place, Find(name));
  return std::string(file_.Tensors()[place->index].type->name);
}

absl::Status GgufSource::Read(const std::string& name, float* out, int64_t count) const {
  PONDER_ASSIGN_OR_RETURN(const Place* place, Find(name));
  const GgufTensor& tensor = file_.Tensors()[place->index];
  if (tensor.Count() != count) {
    return InvalidArgument("tensor {}: expected {} values, found {}", name, count, tensor.Count());
  }
  Dequantise(*tensor.type, tensor.data, out);
  if (place->interleaved_heads > 0) {
    const int64_t rows = tensor.shape.front();
    Uninterleave(out, rows, count / rows, place->interleaved_heads);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TensorSource>> OpenGguf(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(std::unique_ptr<GgufSource> source, GgufSource::Open(path));
  return source;
}

}  // namespace ponder
