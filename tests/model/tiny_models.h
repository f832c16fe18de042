#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/decoder.h"
#include "model/weights.h"
#include "tests/reference/torch_decoder.h"

namespace ponder {

// Small models of every family with random weights that tests/reference/make_decoder_goldens.py
// makes again, number for number. Widths are no multiples of a vector or a panel on purpose.
struct TinyModel {
  std::string name;
  ModelConfig config;
};
// For gtest, which would print a configuration's bytes.
inline void PrintTo(const TinyModel& model, std::ostream* out) { *out << model.name; }
const std::vector<TinyModel>& TinyModels();
const TinyModel& FindTinyModel(const std::string& name);

// Uniform values by tensor name and element: matrices of variance 1 / inputs, the embedding -0.3
// ... 0.3, norm weights 0.8 ... 1.2, biases -0.2 ... 0.2.
std::vector<float> RandomWeights(const ParameterLayout& layout, uint64_t seed = 1);

// The flat values by Hugging Face name.
reference::NamedTensors ByName(const ParameterLayout& layout, const std::vector<float>& flat);

// `count` ids below `vocabulary`; another `sequence`, other ids.
std::vector<int32_t> RandomIds(int64_t count, int64_t vocabulary, uint64_t sequence);

// A decoder with everything it needs.
struct DecoderFixture {
  std::unique_ptr<kernels::Backend> backend;
  std::vector<float> flat;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<KvCache> cache;
  std::unique_ptr<Decoder> decoder;
};
struct FixtureOptions {
  kernels::DType dtype = kernels::DType::kF32;
  int64_t threads = 2;
  int64_t pages = 64;
  kernels::CpuIsa isa = kernels::CpuIsa::kBest;
};
DecoderFixture MakeDecoderFixture(const ModelConfig& config, const FixtureOptions& options);

// Pages first, first + 1, ...
std::vector<int32_t> PageRange(int64_t first, int64_t count);

}  // namespace ponder
