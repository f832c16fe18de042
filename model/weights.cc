#include "model/weights.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace ponder {
namespace {

constexpr int64_t kAlignedBytes = 64;  // a cache line, a vector of AVX-512
constexpr int64_t kAlignedFloats = 16;

// What travels from the host at a time: enough rows to keep all cores packing, few enough to stay
// in a cache.
constexpr int64_t kStagingBytes = int64_t{1} << 20;

// Adds parameters and the tensors inside them in order, assigning offsets.
class LayoutBuilder {
 public:
  struct Part {
    std::string tensor;
    int64_t rows = 0;
  };

  int64_t Matrix(const std::string& name, Parameter::Role role, int64_t columns,
                 const std::vector<Part>& parts) {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    const int64_t index = Begin(name, role, rows, columns);
    int64_t offset = layout_.parameters[index].offset;
    for (const Part& part : parts) {
      layout_.tensors.push_back({part.tensor, {part.rows, columns}, index, offset});
      offset += part.rows * columns;
    }
    return index;
  }

  int64_t Vector(const std::string& name, const std::vector<Part>& parts) {
    int64_t length = 0;
    for (const Part& part : parts) length += part.rows;
    const int64_t index = Begin(name, Parameter::Role::kVector, 1, length);
    int64_t offset = layout_.parameters[index].offset;
    for (const Part& part : parts) {
      layout_.tensors.push_back({part.tensor, {part.rows}, index, offset});
      offset += part.rows;
    }
    return index;
  }

  ParameterLayout& Layout() { return layout_; }

 private:
  int64_t Begin(const std::string& name, Parameter::Role role, int64_t rows, int64_t columns) {
    const int64_t index = static_cast<int64_t>(layout_.parameters.size());
    layout_.parameters.push_back({name, role, rows, columns, layout_.count});
    const int64_t end = layout_.count + rows * columns;
    layout_.count = (end + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
    return index;
  }

  ParameterLayout layout_;
};

LayerParameters AddLayer(LayoutBuilder& builder, const ModelConfig& config, int64_t layer) {
  using Role = Parameter::Role;
  const std::string ours = fmt::format("layers.{}.", layer);
  const std::string theirs = fmt::format("model.layers.{}.", layer);
  const std::string attention = theirs + "self_attn.";
  const int64_t query_width = config.heads * config.head_width;
  const int64_t key_width = config.kv_heads * config.head_width;

  LayerParameters indices;
  indices.attention_norm =
      builder.Vector(ours + "attention_norm", {{theirs + "input_layernorm.weight", config.width}});
  indices.qkv = builder.Matrix(ours + "qkv", Role::kMatrix, config.width,
                               {{attention + "q_proj.weight", query_width},
                                {attention + "k_proj.weight", key_width},
                                {attention + "v_proj.weight", key_width}});
  if (config.qkv_bias) {
    indices.qkv_bias = builder.Vector(ours + "qkv_bias", {{attention + "q_proj.bias", query_width},
                                                          {attention + "k_proj.bias", key_width},
                                                          {attention + "v_proj.bias", key_width}});
  }
  if (config.qk_norm) {
    indices.q_norm =
        builder.Vector(ours + "q_norm", {{attention + "q_norm.weight", config.head_width}});
    indices.k_norm =
        builder.Vector(ours + "k_norm", {{attention + "k_norm.weight", config.head_width}});
  }
  indices.output = builder.Matrix(ours + "output", Role::kMatrix, query_width,
                                  {{attention + "o_proj.weight", config.width}});
  if (config.output_bias) {
    indices.output_bias =
        builder.Vector(ours + "output_bias", {{attention + "o_proj.bias", config.width}});
  }
  indices.ffn_norm = builder.Vector(ours + "ffn_norm",
                                    {{theirs + "post_attention_layernorm.weight", config.width}});
  indices.gate_up = builder.Matrix(ours + "gate_up", Role::kMatrix, config.width,
                                   {{theirs + "mlp.gate_proj.weight", config.ffn_width},
                                    {theirs + "mlp.up_proj.weight", config.ffn_width}});
  indices.down = builder.Matrix(ours + "down", Role::kMatrix, config.ffn_width,
                                {{theirs + "mlp.down_proj.weight", config.width}});
  return indices;
}

// A matrix's bytes as another kind of backend would have them.
std::string Reordered(std::string_view bytes, const Parameter& parameter, kernels::DType dtype,
                      kernels::MatrixOrder from, kernels::MatrixOrder to) {
  const int64_t size = kernels::SizeOf(dtype);
  std::string result(bytes.size(), '\0');
  for (int64_t n = 0; n < parameter.rows; ++n) {
    for (int64_t k = 0; k < parameter.columns; ++k) {
      std::memcpy(result.data() + kernels::PackedIndex(n, k, parameter.columns, dtype, to) * size,
                  bytes.data() + kernels::PackedIndex(n, k, parameter.columns, dtype, from) * size,
                  static_cast<size_t>(size));
    }
  }
  return result;
}

// Whether what pads a packed matrix is zero: kernels multiply it.
bool PaddingIsZero(std::string_view bytes, const Parameter& parameter, kernels::DType dtype,
                   kernels::MatrixOrder order) {
  const int64_t padded_inputs = kernels::PaddedInputs(parameter.columns);
  const int64_t padded_outputs = kernels::Panels(parameter.rows) * kernels::kPanelOutputs;
  const int64_t size = kernels::SizeOf(dtype);
  const auto is_zero = [&](int64_t n, int64_t k) {
    const char* element =
        bytes.data() + kernels::PackedIndex(n, k, parameter.columns, dtype, order) * size;
    return std::all_of(element, element + size, [](char byte) { return byte == 0; });
  };
  for (int64_t n = 0; n < padded_outputs; ++n) {
    for (int64_t k = n < parameter.rows ? parameter.columns : 0; k < padded_inputs; ++k) {
      if (!is_zero(n, k)) return false;
    }
  }
  return true;
}

// Copies past the caches, and is done when it returns: whoever is told of the bytes behind it finds
// them. All weights are larger than the caches, and a cached store would read first what it
// overwrites: half as much memory traffic again.
void StreamBytes(char* to, const char* from, int64_t count) {
#ifdef __SSE2__
  constexpr int64_t kVector = sizeof(__m128i);
  const auto address = reinterpret_cast<uintptr_t>(to);
  const int64_t head = std::min<int64_t>(count, -address % kVector);
  std::memcpy(to, from, static_cast<size_t>(head));
  int64_t done = head;
  for (; done + 4 * kVector <= count; done += 4 * kVector) {
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t at = done + i * kVector;
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + at),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
    }
  }
  std::memcpy(to + done, from + done, static_cast<size_t>(count - done));
  _mm_sfence();
#else
  std::memcpy(to, from, static_cast<size_t>(count));
#endif
}

absl::Status DirtyPadding(const Parameter& parameter) {
  return DataLoss(
      "parameter {}: expected zeros where the packed {} x {} matrix is padded, found others",
      parameter.name, parameter.rows, parameter.columns);
}

}  // namespace

int64_t TensorView::Count() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

int64_t ParameterLayout::ParameterCount() const {
  int64_t total = 0;
  for (const Parameter& parameter : parameters) total += parameter.Count();
  return total;
}

ParameterLayout MakeParameterLayout(const ModelConfig& config) {
  using Role = Parameter::Role;
  PONDER_CHECK(config.width > 0 && config.layers > 0 && config.heads > 0 && config.kv_heads > 0 &&
               config.head_width > 0 && config.ffn_width > 0 && config.vocabulary > 0);
  LayoutBuilder builder;
  const int64_t embedding = builder.Matrix("embedding", Role::kEmbedding, config.width,
                                           {{"model.embed_tokens.weight", config.vocabulary}});
  std::vector<LayerParameters> layers;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    layers.push_back(AddLayer(builder, config, layer));
  }
  const int64_t final_norm = builder.Vector("final_norm", {{"model.norm.weight", config.width}});
  const int64_t head = config.tied_embeddings
                           ? embedding
                           : builder.Matrix("head", Role::kHead, config.width,
                                            {{"lm_head.weight", config.vocabulary}});
  ParameterLayout layout = std::move(builder.Layout());
  layout.layers = std::move(layers);
  layout.embedding = embedding;
  layout.final_norm = final_norm;
  layout.head = head;
  return layout;
}

absl::StatusOr<std::unique_ptr<Weights>> Weights::Create(kernels::Backend& backend,
                                                         const ModelConfig& config,
                                                         kernels::DType dtype) {
  std::unique_ptr<Weights> weights(new Weights());
  weights->backend_ = &backend;
  weights->config_ = config;
  weights->layout_ = MakeParameterLayout(config);
  weights->dtype_ = dtype;
  int64_t widest = 0;
  int64_t bytes = 0;
  for (const Parameter& parameter : weights->layout_.parameters) {
    const int64_t index = static_cast<int64_t>(weights->places_.size());
    weights->places_.push_back(bytes);
    bytes += (weights->WorkingBytes(index) + kAlignedBytes - 1) / kAlignedBytes * kAlignedBytes;
    widest = std::max(widest, parameter.columns);
  }
  PONDER_ASSIGN_OR_RETURN(weights->arena_, kernels::DeviceBuffer::Create(backend, bytes));
  const int64_t staging = std::max(
      kStagingBytes, kernels::kPanelOutputs * widest * static_cast<int64_t>(sizeof(float)));
  PONDER_ASSIGN_OR_RETURN(weights->staging_, kernels::DeviceBuffer::Create(backend, staging));
  return weights;
}

int64_t Weights::Bytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < layout_.parameters.size(); ++i) {
    bytes += WorkingBytes(static_cast<int64_t>(i));
  }
  return bytes;
}

kernels::PackedMatrix Weights::Matrix(int64_t parameter) const {
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  PONDER_CHECK(description.role != Parameter::Role::kVector, description.name);
  return {At(parameter), dtype_, description.rows, description.columns};
}

float* Weights::Vector(int64_t parameter) const {
  if (parameter == -1) return nullptr;
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  PONDER_CHECK(description.role == Parameter::Role::kVector, description.name);
  return reinterpret_cast<float*>(At(parameter));
}

void Weights::SetFromFlat(const float* flat) {
  for (size_t i = 0; i < layout_.parameters.size(); ++i) {
    SetParameter(static_cast<int64_t>(i), flat + layout_.parameters[i].offset);
  }
}

void Weights::SetParameter(int64_t parameter, const float* values) {
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  if (description.role == Parameter::Role::kVector) {
    backend_->CopyIn(Vector(parameter), values, WorkingBytes(parameter));
    backend_->Synchronize();
    return;
  }
  SetRows(parameter, 0, description.rows, values);
}

int64_t Weights::RowsAtOnce(int64_t parameter) const {
  const int64_t row_bytes = layout_.parameters.at(static_cast<size_t>(parameter)).columns *
                            static_cast<int64_t>(sizeof(float));
  return staging_.Bytes() / row_bytes / kernels::kPanelOutputs * kernels::kPanelOutputs;
}

void Weights::SetRows(int64_t parameter, int64_t begin, int64_t count, const float* values) {
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  PONDER_CHECK(begin >= 0 && begin % kernels::kPanelOutputs == 0 &&
                   begin + count <= description.rows &&
                   (count % kernels::kPanelOutputs == 0 || begin + count == description.rows),
               description.name);
  // Whole panels at a time: the rows of a panel are a packed matrix of their own.
  const int64_t row_bytes = description.columns * static_cast<int64_t>(sizeof(float));
  const int64_t rows_at_once = RowsAtOnce(parameter);
  const kernels::PackedMatrix whole = Matrix(parameter);
  for (int64_t done = 0; done < count; done += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, count - done);
    backend_->CopyIn(staging_.As<void>(), values + done * description.columns, rows * row_bytes);
    kernels::PackedMatrix part = whole;
    part.data = static_cast<char*>(whole.data) +
                kernels::PackedBytes(begin + done, description.columns, dtype_);
    part.outputs = rows;
    backend_->Pack(staging_.As<float>(), part);
    backend_->Synchronize();
  }
}

int64_t Weights::WorkingBytes(int64_t parameter) const {
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  if (description.role == Parameter::Role::kVector) {
    return description.columns * static_cast<int64_t>(sizeof(float));
  }
  return kernels::PackedBytes(description.rows, description.columns, dtype_);
}

absl::Status Weights::ImportWorking(int64_t parameter, std::string_view bytes,
                                    kernels::MatrixOrder order) {
  const Parameter& description = layout_.parameters.at(static_cast<size_t>(parameter));
  const int64_t expected = WorkingBytes(parameter);
  if (static_cast<int64_t>(bytes.size()) != expected) {
    return InvalidArgument("parameter {}: expected {} bytes of {} weights, found {}",
                           description.name, expected, kernels::ToString(dtype_), bytes.size());
  }
  std::string reordered;
  if (description.role != Parameter::Role::kVector) {
    if (!PaddingIsZero(bytes, description, dtype_, order)) return DirtyPadding(description);
    if (order != Order()) {
      reordered = Reordered(bytes, description, dtype_, order, Order());
      bytes = reordered;
    }
  }
  backend_->CopyIn(At(parameter), bytes.data(), expected);
  backend_->Synchronize();
  return absl::OkStatus();
}

std::string Weights::ExportWorking(int64_t parameter) const {
  std::string bytes(static_cast<size_t>(WorkingBytes(parameter)), '\0');
  backend_->Synchronize();
  backend_->CopyOut(bytes.data(), At(parameter), static_cast<int64_t>(bytes.size()));
  backend_->Synchronize();
  return bytes;
}

void Weights::ExportArena(int64_t begin, int64_t count, void* to) const {
  PONDER_CHECK(begin >= 0 && count >= 0 && begin + count <= arena_.Bytes());
  if (backend_->Info().is_host_memory) {
    StreamBytes(static_cast<char*>(to), arena_.As<char>() + begin, count);
    return;
  }
  backend_->Synchronize();
  backend_->CopyOut(to, arena_.As<char>() + begin, count);
  backend_->Synchronize();
}

absl::StatusOr<kernels::DeviceBuffer> Weights::MakeArena() const {
  return kernels::DeviceBuffer::Create(*backend_, arena_.Bytes());
}

void Weights::ImportArena(kernels::DeviceBuffer& arena, int64_t begin, int64_t count,
                          const void* from) const {
  PONDER_CHECK(begin >= 0 && count >= 0 && begin + count <= arena.Bytes());
  if (backend_->Info().is_host_memory) {
    StreamBytes(arena.As<char>() + begin, static_cast<const char*>(from), count);
    return;
  }
  backend_->CopyIn(arena.As<char>() + begin, from, count);
  backend_->Synchronize();
}

absl::Status Weights::Exchange(kernels::DeviceBuffer& arena) {
  PONDER_CHECK(arena.Bytes() == arena_.Bytes());
  for (size_t i = 0; i < layout_.parameters.size(); ++i) {
    const Parameter& description = layout_.parameters[i];
    const bool is_padded =
        description.role != Parameter::Role::kVector &&
        kernels::PackedElements(description.rows, description.columns) != description.Count();
    if (!is_padded) continue;
    std::string bytes(static_cast<size_t>(WorkingBytes(static_cast<int64_t>(i))), '\0');
    backend_->CopyOut(bytes.data(), In(arena, static_cast<int64_t>(i)),
                      static_cast<int64_t>(bytes.size()));
    backend_->Synchronize();
    if (!PaddingIsZero(bytes, description, dtype_, Order())) return DirtyPadding(description);
  }
  std::swap(arena, arena_);
  return absl::OkStatus();
}

}  // namespace ponder
