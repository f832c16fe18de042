#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/random.h"
#include "model/activations.h"
#include "model/decoder.h"
#include "tests/model/tiny_models.h"
#include "tests/reference/torch_decoder.h"

namespace ponder {
namespace {

using kernels::DeviceBuffer;
using kernels::DType;
using kernels::KvPagesFor;

constexpr int64_t kPages = 64;
constexpr float kInverseTemperature = 1.25f;

// A training batch and the loss: the sum over rows of d_logprob * log-prob of target.
struct Packed {
  DecoderBatch batch;
  std::vector<int32_t> targets;   // [N]
  std::vector<float> d_logprobs;  // [N]; 0 = not in the loss

  // Rows for positions `first` ... of a sequence; d_logprobs is the sequence's, [T - 1].
  void Add(const std::vector<int32_t>& ids, const std::vector<double>& sequence_d_logprobs,
           int64_t first, const std::vector<int32_t>& pages) {
    const std::span<const int32_t> all(ids);
    batch.Add(all.subspan(first), first, pages);
    for (size_t t = first; t < ids.size(); ++t) {
      const bool has_target = t + 1 < ids.size();
      targets.push_back(has_target ? ids[t + 1] : 0);
      d_logprobs.push_back(has_target ? static_cast<float>(sequence_d_logprobs[t]) : 0);
    }
  }
};

struct Outcome {
  double loss = 0;
  std::vector<float> gradients;  // flat
};

DeviceBuffer Upload(kernels::Backend& backend, const void* data, int64_t bytes) {
  DeviceBuffer buffer = DeviceBuffer::Create(backend, bytes).value();
  backend.CopyIn(buffer.As<void>(), data, bytes);
  return buffer;
}

double Loss(const Packed& packed, const std::vector<float>& logprobs) {
  double loss = 0;
  for (size_t i = 0; i < logprobs.size(); ++i) {
    if (packed.d_logprobs[i] != 0) loss += static_cast<double>(packed.d_logprobs[i]) * logprobs[i];
  }
  return loss;
}

double ForwardLoss(DecoderFixture& fixture, const Packed& packed) {
  const void* hidden = fixture.decoder->Forward(packed.batch, *fixture.cache).value();
  const std::vector<float> inverse(packed.targets.size(), kInverseTemperature);
  return Loss(packed, fixture.decoder->LogProbs(hidden, packed.targets, inverse).logprobs);
}

// Adds `times` backward passes into zeroed gradients.
Outcome Train(DecoderFixture& fixture, const Packed& packed, int64_t times = 1,
              Keep keep = Keep::kAll) {
  kernels::Backend& backend = *fixture.backend;
  const Weights& weights = *fixture.weights;
  const ParameterLayout& layout = weights.Layout();
  const int64_t rows = packed.batch.Rows();
  // Room to spare, so that arrays are longer than the batch as they are in a run.
  auto activations =
      CreateActivations(backend, weights.Config(), weights.Dtype(), rows + 7, kPages + 3, keep)
          .value();
  const DeviceBuffer gradients = DeviceBuffer::Create(backend, layout.count * 4).value();
  const DeviceBuffer d_hidden =
      DeviceBuffer::Create(backend, rows * weights.Config().width * 4).value();
  const std::vector<float> inverse(rows, kInverseTemperature);
  Outcome outcome;
  for (int64_t i = 0; i < times; ++i) {
    const void* hidden =
        fixture.decoder->ForwardForTraining(packed.batch, *fixture.cache, *activations).value();
    const Decoder::Scored scored = fixture.decoder->LogProbs(hidden, packed.targets, inverse);
    outcome.loss = Loss(packed, scored.logprobs);
    const DeviceBuffer targets = Upload(backend, packed.targets.data(), rows * 4);
    const DeviceBuffer inverse_temperatures = Upload(backend, inverse.data(), rows * 4);
    const DeviceBuffer logsumexps = Upload(backend, scored.logsumexps.data(), rows * 4);
    const DeviceBuffer d_logprobs = Upload(backend, packed.d_logprobs.data(), rows * 4);
    backend.LogProbBackward({.hidden = hidden,
                             .w = weights.Head(),
                             .targets = targets.As<int32_t>(),
                             .inverse_temperatures = inverse_temperatures.As<float>(),
                             .logsumexps = logsumexps.As<float>(),
                             .d_logprobs = d_logprobs.As<float>(),
                             .d_hidden = d_hidden.As<float>(),
                             .d_w = gradients.As<float>() + layout.parameters[layout.head].offset,
                             .rows = rows});
    const absl::Status status = fixture.decoder->Backward(
        packed.batch, *fixture.cache, *activations, d_hidden.As<float>(), gradients.As<float>());
    PONDER_CHECK(status.ok(), std::string(status.message()));
  }
  outcome.gradients.resize(layout.count);
  backend.CopyOut(outcome.gradients.data(), gradients.As<float>(), layout.count * 4);
  return outcome;
}

// Sequences of unequal length, losses of both signs, some tokens left out as prompts are.
std::vector<reference::TorchSequence> MakeSequences(int64_t vocabulary) {
  std::vector<reference::TorchSequence> sequences;
  for (const int64_t length : {19, 5, 34}) {
    const uint64_t seed = sequences.size();
    reference::TorchSequence sequence{.ids = RandomIds(length, vocabulary, seed)};
    RandomStream random(MakeRandomKey(seed, "d_logprobs"));
    for (int64_t t = 0; t + 1 < length; ++t)
      sequence.d_logprobs.push_back(t % 5 == 0 ? 0.0 : random.Uniform() - 0.3);
    for (double& d : sequence.d_logprobs) d = static_cast<float>(d);
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

Packed PackAlone(const std::vector<reference::TorchSequence>& sequences) {
  Packed packed;
  int32_t page = 0;
  for (const reference::TorchSequence& sequence : sequences) {
    const int64_t pages = KvPagesFor(sequence.ids.size());
    packed.Add(sequence.ids, sequence.d_logprobs, 0, PageRange(page, pages));
    page += pages;
  }
  return packed;
}

// Largest difference within a tensor, as a share of the tensor's largest gradient.
template <typename A, typename B>
double RelativeError(const A* a, const B* b, int64_t count) {
  double error = 0, scale = 1e-30;
  for (int64_t i = 0; i < count; ++i) {
    error = std::max(error, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  return error / scale;
}

class Gradient : public testing::TestWithParam<TinyModel> {};

INSTANTIATE_TEST_SUITE_P(Tiny, Gradient, testing::ValuesIn(TinyModels()),
                         [](const auto& info) { return info.param.name; });

// An operation errs by about 2^-24 sqrt(75) = 5e-7 of the size of what it sums; some twenty
// operations lie between a loss and the first layer, and sums over rows cancel by a factor of a
// few.
constexpr double kF32Tolerance = 3e-5;

TEST_P(Gradient, OfEveryTensorAgreesWithAutograd) {
  const ModelConfig& config = GetParam().config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.pages = kPages});
  const ParameterLayout& layout = fixture.weights->Layout();
  const auto sequences = MakeSequences(config.vocabulary);
  const Outcome ours = Train(fixture, PackAlone(sequences));
  const reference::TorchResult twin =
      RunTorchDecoder(config, ByName(layout, fixture.flat), sequences,
                      {.inverse_temperature = kInverseTemperature, .gradients = true});
  ASSERT_EQ(twin.gradients.size(), layout.tensors.size());
  for (const TensorView& tensor : layout.tensors) {
    const std::vector<double>& expected = twin.gradients.at(tensor.name);
    EXPECT_LE(RelativeError(ours.gradients.data() + tensor.offset, expected.data(), tensor.Count()),
              kF32Tolerance)
        << tensor.name;
  }
}

// Along the signs of a tensor's gradient the loss rises by the sum of its absolute values; a wrong
// element of any weight shows. The step moves the loss by 0.1, of which fp32 log-probs know 1e-5,
// and the cubic term is of the order of 0.1^2 / 6.
TEST_P(Gradient, OfEveryTensorAgreesWithFiniteDifferences) {
  const ModelConfig& config = GetParam().config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.pages = kPages});
  const ParameterLayout& layout = fixture.weights->Layout();
  const Packed packed = PackAlone(MakeSequences(config.vocabulary));
  const Outcome outcome = Train(fixture, packed);
  for (const TensorView& tensor : layout.tensors) {
    const float* gradient = outcome.gradients.data() + tensor.offset;
    double rise = 0;
    for (int64_t i = 0; i < tensor.Count(); ++i) rise += std::abs(gradient[i]);
    const double step = 0.05 / rise;
    const auto loss_at = [&](double distance) {
      std::vector<float> moved = fixture.flat;
      for (int64_t i = 0; i < tensor.Count(); ++i) {
        const double sign = gradient[i] > 0 ? 1 : gradient[i] < 0 ? -1 : 0;
        moved[tensor.offset + i] = static_cast<float>(moved[tensor.offset + i] + distance * sign);
      }
      fixture.weights->SetFromFlat(moved.data());
      return ForwardLoss(fixture, packed);
    };
    EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2 * step) / rise, 1, 2e-3) << tensor.name;
  }
}

TEST_P(Gradient, InBf16PointsWhereAutogradDoes) {
  const ModelConfig& config = GetParam().config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.dtype = DType::kBF16, .pages = kPages});
  const ParameterLayout& layout = fixture.weights->Layout();
  const auto sequences = MakeSequences(config.vocabulary);
  const Outcome ours = Train(fixture, PackAlone(sequences));
  const reference::TorchResult twin =
      RunTorchDecoder(config, ByName(layout, fixture.flat), sequences,
                      {.inverse_temperature = kInverseTemperature, .gradients = true});
  // By fused parameter: a bias of the keys moves all scores of a row nearly alike, so its gradient
  // is the small remainder of large sums and takes its error from them.
  std::vector<double> error(layout.parameters.size()), norm(layout.parameters.size());
  for (const TensorView& tensor : layout.tensors) {
    const std::vector<double>& expected = twin.gradients.at(tensor.name);
    for (int64_t i = 0; i < tensor.Count(); ++i) {
      error[tensor.parameter] += std::pow(ours.gradients[tensor.offset + i] - expected[i], 2);
      norm[tensor.parameter] += expected[i] * expected[i];
    }
  }
  for (size_t p = 0; p < layout.parameters.size(); ++p) {
    // A rounding to bf16 errs by 2^-9 = 0.002; some ten of them lie on the way there and back.
    EXPECT_LE(std::sqrt(error[p] / norm[p]), 0.03) << layout.parameters[p].name;
  }
}

TEST_P(Gradient, WithASharedPrefixIsThatWithoutSharing) {
  const ModelConfig& config = GetParam().config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.pages = kPages});
  const std::vector<int32_t> prefix = RandomIds(32, config.vocabulary, 50);
  std::vector<reference::TorchSequence> sequences;
  for (uint64_t s = 0; s < 3; ++s) {
    reference::TorchSequence& sequence = sequences.emplace_back();
    sequence.ids = prefix;
    const std::vector<int32_t> answer = RandomIds(4 + 17 * s, config.vocabulary, 60 + s);
    sequence.ids.insert(sequence.ids.end(), answer.begin(), answer.end());
    RandomStream random(MakeRandomKey(s, "d_logprobs"));
    for (size_t t = 0; t + 1 < sequence.ids.size(); ++t) {
      // The last row of the prefix predicts another token in each sequence, so its loss belongs to
      // the first alone here.
      sequence.d_logprobs.push_back(t < 31 || (t == 31 && s > 0) ? 0.0 : random.Uniform() - 0.3);
    }
  }
  const Outcome alone = Train(fixture, PackAlone(sequences));

  Packed shared;
  shared.Add(sequences[0].ids, sequences[0].d_logprobs, 0, {7, 2, 20});
  shared.Add(sequences[1].ids, sequences[1].d_logprobs, 32, {7, 2, 5, 6});
  shared.Add(sequences[2].ids, sequences[2].d_logprobs, 32, {7, 2, 30, 31, 33});
  ASSERT_LT(shared.batch.Rows(), PackAlone(sequences).batch.Rows());
  const Outcome together = Train(fixture, shared);
  EXPECT_NEAR(together.loss, alone.loss, 1e-9);
  for (const TensorView& tensor : fixture.weights->Layout().tensors) {
    EXPECT_LE(RelativeError(together.gradients.data() + tensor.offset,
                            alone.gradients.data() + tensor.offset, tensor.Count()),
              kF32Tolerance)
        << tensor.name;
  }
}

TEST(Gradients, AreTheSameBitsForAnyNumberOfThreads) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const ModelConfig& config = FindTinyModel("qwen3").config;
    const Packed packed = PackAlone(MakeSequences(config.vocabulary));
    DecoderFixture one =
        MakeDecoderFixture(config, {.dtype = dtype, .threads = 1, .pages = kPages});
    const Outcome expected = Train(one, packed);
    for (const int64_t threads : {2, 3}) {
      DecoderFixture many =
          MakeDecoderFixture(config, {.dtype = dtype, .threads = threads, .pages = kPages});
      const Outcome outcome = Train(many, packed);
      EXPECT_EQ(outcome.loss, expected.loss);
      EXPECT_TRUE(outcome.gradients == expected.gradients) << threads;
    }
  }
}

TEST(Gradients, AddUp) {
  const ModelConfig& config = FindTinyModel("llama_bias_untied").config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.pages = kPages});
  const Packed packed = PackAlone(MakeSequences(config.vocabulary));
  const Outcome once = Train(fixture, packed);
  const Outcome twice = Train(fixture, packed, 2);
  for (const TensorView& tensor : fixture.weights->Layout().tensors) {
    std::vector<float> doubled(once.gradients.begin() + tensor.offset,
                               once.gradients.begin() + tensor.offset + tensor.Count());
    for (float& value : doubled) value *= 2;
    EXPECT_LE(RelativeError(twice.gradients.data() + tensor.offset, doubled.data(), tensor.Count()),
              1e-5)
        << tensor.name;
  }
}

TEST(Gradients, OfRecomputedLayersHaveTheSameBits) {
  for (const TinyModel& model : TinyModels()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(model.name);
      DecoderFixture fixture = MakeDecoderFixture(model.config, {.dtype = dtype, .pages = kPages});
      const Packed packed = PackAlone(MakeSequences(model.config.vocabulary));
      const Outcome kept = Train(fixture, packed);
      const Outcome recomputed = Train(fixture, packed, 1, Keep::kLayerInputs);
      EXPECT_EQ(recomputed.loss, kept.loss);
      EXPECT_EQ(recomputed.gradients, kept.gradients);
    }
  }
}

TEST(Gradients, NeedTheirForward) {
  const ModelConfig& config = FindTinyModel("llama").config;
  DecoderFixture fixture = MakeDecoderFixture(config, {.pages = kPages});
  const Packed packed = PackAlone(MakeSequences(config.vocabulary));
  auto activations = CreateActivations(*fixture.backend, config, DType::kF32, 8, kPages).value();
  EXPECT_THROW(
      (void)fixture.decoder->ForwardForTraining(packed.batch, *fixture.cache, *activations),
      CheckFailure)
      << "more rows than the activations hold";
  auto few_pages = CreateActivations(*fixture.backend, config, DType::kF32, 64, 2).value();
  EXPECT_THROW((void)fixture.decoder->ForwardForTraining(packed.batch, *fixture.cache, *few_pages),
               CheckFailure)
      << "pages beyond those of the activations";
  auto other_type = CreateActivations(*fixture.backend, config, DType::kBF16, 64, kPages).value();
  EXPECT_THROW((void)fixture.decoder->ForwardForTraining(packed.batch, *fixture.cache, *other_type),
               CheckFailure);
  EXPECT_THROW(
      (void)fixture.decoder->Backward(packed.batch, *fixture.cache, *activations, nullptr, nullptr),
      CheckFailure)
      << "no forward before";
}

}  // namespace
}  // namespace ponder
