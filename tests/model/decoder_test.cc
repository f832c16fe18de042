#include "model/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/random.h"
#include "model/activations.h"
#include "tests/model/tiny_models.h"
#include "tests/reference/decoder_goldens.h"
#include "tests/reference/test_backend.h"
#include "tests/reference/torch_decoder.h"

namespace ponder {
namespace {

using kernels::DType;
using kernels::KvPagesFor;

// What a run leaves of one sequence: the final hidden state of each row as raw bytes, and the
// log-prob of each next token.
struct Trace {
  std::vector<std::string> hidden;  // [T]
  std::vector<float> logprobs;      // [T - 1]
  std::vector<float> entropies;     // [T - 1]

  bool operator==(const Trace&) const = default;
};

// Feeds batches to a decoder and sorts the rows of the results back to their sequences.
class Tracer {
 public:
  Tracer(DecoderFixture& fixture, std::vector<std::vector<int32_t>> sequences)
      : fixture_(fixture), sequences_(std::move(sequences)), traces_(sequences_.size()) {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      traces_[s].hidden.resize(sequences_[s].size());
      traces_[s].logprobs.resize(sequences_[s].size() - 1);
      traces_[s].entropies.resize(sequences_[s].size() - 1);
    }
  }

  // The next batch gets rows for positions begin ... end - 1 of a sequence.
  void Add(int64_t sequence, int64_t begin, int64_t end, const std::vector<int32_t>& pages) {
    const std::span<const int32_t> ids(sequences_[sequence]);
    batch_.Add(ids.subspan(begin, end - begin), begin, pages);
    for (int64_t position = begin; position < end; ++position)
      rows_.push_back({sequence, position});
  }

  void Run() { Keep(fixture_.decoder->Forward(batch_, *fixture_.cache).value()); }
  void RunForTraining(Activations& activations) {
    Keep(fixture_.decoder->ForwardForTraining(batch_, *fixture_.cache, activations).value());
  }

  const std::vector<Trace>& Traces() const { return traces_; }

 private:
  struct Row {
    int64_t sequence = 0;
    int64_t position = 0;
  };

  void Keep(const void* hidden) {
    const Weights& weights = *fixture_.weights;
    const int64_t row_bytes = weights.Config().width * kernels::SizeOf(weights.Dtype());
    const int64_t stride =
        kernels::PaddedInputs(weights.Config().width) * kernels::SizeOf(weights.Dtype());
    std::vector<int64_t> scored;
    std::vector<int32_t> targets;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row& row = rows_[i];
      std::string& bytes = traces_[row.sequence].hidden[row.position];
      bytes.resize(row_bytes);
      fixture_.backend->CopyOut(bytes.data(), static_cast<const char*>(hidden) + i * stride,
                                row_bytes);
      if (row.position + 1 < static_cast<int64_t>(sequences_[row.sequence].size())) {
        scored.push_back(i);
        targets.push_back(sequences_[row.sequence][row.position + 1]);
      }
    }
    const void* gathered = fixture_.decoder->GatherRows(hidden, scored).value();
    const std::vector<float> ones(targets.size(), 1.0f);
    const Decoder::Scored result = fixture_.decoder->LogProbs(gathered, targets, ones);
    for (size_t i = 0; i < scored.size(); ++i) {
      const Row& row = rows_[scored[i]];
      traces_[row.sequence].logprobs[row.position] = result.logprobs[i];
      traces_[row.sequence].entropies[row.position] = result.entropies[i];
    }
    batch_ = DecoderBatch();
    rows_.clear();
  }

  DecoderFixture& fixture_;
  std::vector<std::vector<int32_t>> sequences_;
  std::vector<Trace> traces_;
  DecoderBatch batch_;
  std::vector<Row> rows_;
};

// Each sequence whole and alone.
std::vector<Trace> TraceAlone(DecoderFixture& fixture,
                              const std::vector<std::vector<int32_t>>& sequences) {
  Tracer tracer(fixture, sequences);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const int64_t length = sequences[s].size();
    tracer.Add(s, 0, length, PageRange(0, KvPagesFor(length)));
    tracer.Run();
  }
  return tracer.Traces();
}

std::vector<std::vector<int32_t>> UnequalSequences(int64_t vocabulary) {
  std::vector<std::vector<int32_t>> sequences;
  uint64_t seed = 0;
  for (const int64_t length : {37, 2, 16, 33, 71})
    sequences.push_back(RandomIds(length, vocabulary, seed++));
  return sequences;
}

std::vector<reference::TorchSequence> ForTorch(const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<reference::TorchSequence> result;
  for (const std::vector<int32_t>& ids : sequences) result.push_back({.ids = ids});
  return result;
}

class EachModel : public testing::TestWithParam<TinyModel> {};

INSTANTIATE_TEST_SUITE_P(Tiny, EachModel, testing::ValuesIn(TinyModels()),
                         [](const auto& info) { return info.param.name; });

// fp32 sums of at most 75 terms of size 1 err by about sqrt(75) * 2^-24 = 5e-7 an operation; two
// layers of seven operations and logits of up to 10 make some 1e-5.
constexpr double kF32Tolerance = 3e-5;

TEST_P(EachModel, AgreesWithTheTorchTwinInF32) {
  DecoderFixture fixture = MakeDecoderFixture(GetParam().config, {});
  const auto sequences = UnequalSequences(GetParam().config.vocabulary);
  const std::vector<Trace> traces = TraceAlone(fixture, sequences);
  const reference::TorchResult twin = RunTorchDecoder(
      GetParam().config, ByName(fixture.weights->Layout(), fixture.flat), ForTorch(sequences), {});
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t t = 0; t < traces[s].logprobs.size(); ++t) {
      EXPECT_NEAR(traces[s].logprobs[t], twin.logprobs[s][t], kF32Tolerance) << s << " " << t;
      EXPECT_NEAR(traces[s].entropies[t], twin.entropies[s][t], kF32Tolerance) << s << " " << t;
    }
  }
}

TEST_P(EachModel, StaysNearTheTorchTwinInBf16) {
  DecoderFixture fixture = MakeDecoderFixture(GetParam().config, {.dtype = DType::kBF16});
  const auto sequences = UnequalSequences(GetParam().config.vocabulary);
  const std::vector<Trace> traces = TraceAlone(fixture, sequences);
  const reference::TorchResult twin = RunTorchDecoder(
      GetParam().config, ByName(fixture.weights->Layout(), fixture.flat), ForTorch(sequences), {});
  double sum = 0, count = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t t = 0; t < traces[s].logprobs.size(); ++t) {
      sum += std::abs(traces[s].logprobs[t] - twin.logprobs[s][t]);
      ++count;
    }
  }
  EXPECT_LE(sum / count, 0.02);
}

TEST_P(EachModel, AgreesWithTransformers) {
  DecoderFixture fixture = MakeDecoderFixture(GetParam().config, {});
  const auto ids = RandomIds(reference::kGoldenIds, GetParam().config.vocabulary, 0);
  const Trace trace = TraceAlone(fixture, {ids}).front();
  const auto& goldens = reference::DecoderGoldens();
  const auto golden = std::find_if(goldens.begin(), goldens.end(),
                                   [](const auto& each) { return each.model == GetParam().name; });
  ASSERT_NE(golden, goldens.end());
  for (size_t i = 0; i < golden->logprobs.size(); ++i) {
    EXPECT_NEAR(trace.logprobs[i * reference::kGoldenStride], golden->logprobs[i], kF32Tolerance)
        << i;
  }
}

// ---- the promise "Exact": the same bits however the rows come ----

struct ExactCase {
  std::string model;
  DType dtype = DType::kF32;
  // The tiny models' heads are too narrow for matrix tiles: emulated ones get some of 32.
  bool emulated_tiles = false;

  std::string Name() const {
    return model + "_" + std::string(kernels::ToString(dtype)) + (emulated_tiles ? "_tiles" : "");
  }
};

class Exact : public testing::TestWithParam<ExactCase> {
 protected:
  static constexpr int64_t kPages = 64;

  Exact() {
    if (GetParam().emulated_tiles) config_.head_width = 32;
  }

  DecoderFixture Fixture(int64_t threads = 2) const {
    return MakeDecoderFixture(config_,
                              {.dtype = GetParam().dtype,
                               .threads = threads,
                               .pages = kPages,
                               .isa = GetParam().emulated_tiles ? kernels::CpuIsa::kAmxEmulated
                                                                : kernels::CpuIsa::kBest});
  }
  const ModelConfig& Config() const { return config_; }

  // Disjoint pages in no order for each sequence.
  static std::vector<std::vector<int32_t>> ScatteredPages(
      const std::vector<std::vector<int32_t>>& sequences) {
    const std::vector<int64_t> order = RandomPermutation(MakeRandomKey(5, "pages"), 0, kPages);
    std::vector<std::vector<int32_t>> result;
    size_t next = 0;
    for (const auto& ids : sequences) {
      std::vector<int32_t>& pages = result.emplace_back();
      for (int64_t i = 0; i < KvPagesFor(ids.size()); ++i)
        pages.push_back(static_cast<int32_t>(order.at(next++)));
    }
    return result;
  }

 private:
  ModelConfig config_ = FindTinyModel(GetParam().model).config;
};

void PrintTo(const ExactCase& exact, std::ostream* out) { *out << exact.Name(); }

INSTANTIATE_TEST_SUITE_P(
    Models, Exact,
    testing::Values(ExactCase{"llama", DType::kF32}, ExactCase{"llama", DType::kBF16},
                    ExactCase{"llama_bias_untied", DType::kBF16}, ExactCase{"qwen3", DType::kF32},
                    ExactCase{"qwen3", DType::kBF16}, ExactCase{"qwen3", DType::kBF16, true}),
    [](const auto& info) { return info.param.Name(); });

TEST_P(Exact, NumberOfThreadsChangesNothing) {
  const auto sequences = UnequalSequences(Config().vocabulary);
  DecoderFixture one = Fixture(1);
  const std::vector<Trace> expected = TraceAlone(one, sequences);
  for (const int64_t threads : {2, 3, 5}) {
    DecoderFixture many = Fixture(threads);
    EXPECT_TRUE(TraceAlone(many, sequences) == expected) << threads;
  }
}

TEST_P(Exact, PrefillInChunksIsPrefillAtOnce) {
  DecoderFixture fixture = Fixture();
  const auto sequences = UnequalSequences(Config().vocabulary);
  const std::vector<Trace> expected = TraceAlone(fixture, sequences);
  const auto pages = ScatteredPages(sequences);
  for (const int64_t chunk : {1, 3, 16, 20, 64}) {
    Tracer tracer(fixture, sequences);
    for (size_t s = 0; s < sequences.size(); ++s) {
      const int64_t length = sequences[s].size();
      for (int64_t begin = 0; begin < length; begin += chunk) {
        tracer.Add(s, begin, std::min(begin + chunk, length), pages[s]);
        tracer.Run();
      }
    }
    EXPECT_TRUE(tracer.Traces() == expected) << chunk;
  }
}

TEST_P(Exact, MixedBatchesInAnyOrderChangeNothing) {
  DecoderFixture fixture = Fixture(3);
  const auto sequences = UnequalSequences(Config().vocabulary);
  const std::vector<Trace> expected = TraceAlone(fixture, sequences);
  const auto pages = ScatteredPages(sequences);
  RandomStream random(MakeRandomKey(3, "batches"));
  for (uint64_t round = 0; round < 4; ++round) {
    Tracer tracer(fixture, sequences);
    std::vector<int64_t> done(sequences.size());
    for (bool more = true; more;) {
      more = false;
      bool any = false;
      for (const int64_t s :
           RandomPermutation(MakeRandomKey(round, "order"), random.Bits(), sequences.size())) {
        const int64_t left = static_cast<int64_t>(sequences[s].size()) - done[s];
        if (left == 0) continue;
        more = true;
        // Now and then a sequence waits, decodes one token or takes a chunk.
        const int64_t kind = random.Between(0, 2);
        const int64_t count = kind == 0 ? 0 : kind == 1 ? 1 : random.Between(1, left);
        if (count == 0) continue;
        tracer.Add(s, done[s], done[s] + count, pages[s]);
        done[s] += count;
        any = true;
      }
      if (any) tracer.Run();
    }
    EXPECT_TRUE(tracer.Traces() == expected) << round;
  }
}

TEST_P(Exact, PackedTrainingForwardWithASharedPrefixIsTheSamplersForward) {
  DecoderFixture fixture = Fixture(2);
  const std::vector<int32_t> prefix =
      RandomIds(40, Config().vocabulary, 20);  // two full pages and a half one
  std::vector<std::vector<int32_t>> sequences;
  for (uint64_t s = 0; s < 4; ++s) {
    sequences.push_back(prefix);
    const std::vector<int32_t> answer = RandomIds(5 + 13 * s, Config().vocabulary, 30 + s);
    sequences.back().insert(sequences.back().end(), answer.begin(), answer.end());
  }
  sequences.push_back(RandomIds(23, Config().vocabulary, 40));
  const std::vector<Trace> expected = TraceAlone(fixture, sequences);

  auto activations =
      CreateActivations(*fixture.backend, Config(), GetParam().dtype, 512, kPages).value();
  Tracer tracer(fixture, sequences);
  const std::vector<int32_t> shared = {9, 4};
  tracer.Add(4, 0, 23, {60, 3});
  // The first sequence's rows of the prefix serve the others too.
  tracer.Add(0, 0, 32, shared);
  int32_t next_page = 10;
  for (int64_t s = 0; s < 4; ++s) {
    std::vector<int32_t> pages = shared;
    while (static_cast<int64_t>(pages.size()) < KvPagesFor(sequences[s].size()))
      pages.push_back(next_page++);
    tracer.Add(s, 32, sequences[s].size(), pages);
  }
  tracer.RunForTraining(*activations);
  for (int64_t s = 0; s < 5; ++s) {
    const int64_t begin = s == 0 || s == 4 ? 0 : 32;
    for (size_t t = begin; t < sequences[s].size(); ++t) {
      EXPECT_EQ(tracer.Traces()[s].hidden[t], expected[s].hidden[t]) << s << " " << t;
      if (t + 1 < sequences[s].size()) {
        EXPECT_EQ(tracer.Traces()[s].logprobs[t], expected[s].logprobs[t]);
      }
    }
  }
}

TEST_P(Exact, SamplersLogProbIsTheLearners) {
  DecoderFixture fixture = Fixture();
  const auto sequences = UnequalSequences(Config().vocabulary);
  DecoderBatch batch;
  std::vector<int64_t> last;
  int32_t page = 0;
  for (const auto& ids : sequences) {
    batch.Add(ids, 0, PageRange(page, KvPagesFor(ids.size())));
    page += KvPagesFor(ids.size());
    last.push_back(batch.Rows() - 1);
  }
  const void* hidden = fixture.decoder->Forward(batch, *fixture.cache).value();
  const void* rows = fixture.decoder->GatherRows(hidden, last).value();
  std::vector<kernels::SampleRow> params;
  std::vector<float> inverse_temperatures;
  for (size_t i = 0; i < last.size(); ++i) {
    params.push_back({.temperature = 0.5f + 0.25f * i, .uniform = 0.1 + 0.17 * i});
    inverse_temperatures.push_back(1.0f / params.back().temperature);
  }
  const DrawnTokens drawn = Draw(*fixture.backend, rows, fixture.weights->Head(), params);
  const Decoder::Scored scored =
      fixture.decoder->LogProbs(rows, drawn.tokens, inverse_temperatures);
  EXPECT_EQ(scored.logprobs, drawn.logprobs);
  EXPECT_EQ(scored.entropies, drawn.entropies);
}

// ---- use and misuse ----

TEST(Decoder, GathersRowsInTheOrderAsked) {
  DecoderFixture fixture = MakeDecoderFixture(FindTinyModel("llama").config, {});
  const std::vector<int32_t> ids = RandomIds(20, 75, 0);
  DecoderBatch batch;
  batch.Add(ids, 0, PageRange(0, 2));
  const void* hidden = fixture.decoder->Forward(batch, *fixture.cache).value();
  const std::vector<int64_t> rows = {19, 3, 4, 5, 0, 3};
  const int64_t row_bytes = kernels::PaddedInputs(36) * 4;
  const auto read = [&](const void* from, size_t count) {
    std::string bytes(count * row_bytes, ' ');
    fixture.backend->CopyOut(bytes.data(), from, static_cast<int64_t>(bytes.size()));
    return bytes;
  };
  const std::string all = read(hidden, ids.size());
  const std::string gathered = read(fixture.decoder->GatherRows(hidden, rows).value(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(gathered.substr(i * row_bytes, row_bytes),
              all.substr(rows[i] * row_bytes, row_bytes));
  }
}

TEST(Decoder, DoesNothingForAnEmptyBatch) {
  DecoderFixture fixture = MakeDecoderFixture(FindTinyModel("llama").config, {});
  EXPECT_TRUE(fixture.decoder->Forward(DecoderBatch(), *fixture.cache).ok());
  EXPECT_TRUE(fixture.decoder->LogProbs(nullptr, {}, {}).logprobs.empty());
}

TEST(Decoder, RefusesPositionsBeyondTheModels) {
  ModelConfig config = FindTinyModel("llama").config;
  config.max_positions = 30;
  DecoderFixture fixture = MakeDecoderFixture(config, {});
  DecoderBatch batch;
  batch.Add(RandomIds(31, 75, 0), 0, PageRange(0, 2));
  const auto result = fixture.decoder->Forward(batch, *fixture.cache);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()),
              testing::HasSubstr("max_position_embeddings = 30"));
}

TEST(Decoder, ChecksItsBatch) {
  DecoderFixture fixture = MakeDecoderFixture(FindTinyModel("llama").config, {.pages = 4});
  const std::vector<int32_t> ids = RandomIds(20, 75, 0);
  const auto forward = [&](const DecoderBatch& batch) {
    return fixture.decoder->Forward(batch, *fixture.cache).ok();
  };
  DecoderBatch good;
  good.Add(ids, 0, PageRange(1, 2));
  EXPECT_TRUE(forward(good));

  DecoderBatch twice = good;
  twice.Add(ids, 0, PageRange(1, 2));
  EXPECT_THROW(forward(twice), CheckFailure) << "two rows write one slot";
  DecoderBatch far;
  far.Add(ids, 0, PageRange(3, 2));
  EXPECT_THROW(forward(far), CheckFailure) << "no such page";
  DecoderBatch unknown = good;
  unknown.ids[7] = 75;
  EXPECT_THROW(forward(unknown), CheckFailure) << "no such token";
  DecoderBatch moved = good;
  moved.positions[7] = 9;
  EXPECT_THROW(forward(moved), CheckFailure) << "position and slot disagree";
  DecoderBatch loose = good;
  loose.sequences.clear();
  loose.page_tables.clear();
  EXPECT_THROW(forward(loose), CheckFailure) << "rows outside of sequences";
  DecoderBatch few;
  EXPECT_THROW(few.Add(ids, 0, PageRange(0, 1)), CheckFailure) << "too few pages";
}

TEST(Decoder, KeepsItsPromiseOfActivationBytes) {
  // The formula of model/activations.h for SmolLM2-135M.
  ModelConfig config;
  config.width = 576;
  config.layers = 30;
  config.heads = 9;
  config.kv_heads = 3;
  config.head_width = 64;
  config.ffn_width = 1536;
  const auto per_token = [&](Keep keep) {
    return (ActivationBytes(config, DType::kBF16, 4096, 1, keep) -
            ActivationBytes(config, DType::kBF16, 2048, 1, keep)) /
           2048;
  };
  EXPECT_EQ(per_token(Keep::kAll), 30 * 14252 + 34564);
  EXPECT_EQ(per_token(Keep::kLayerInputs), 30 * 2304 + (14252 - 2304) + 34564);
}

}  // namespace
}  // namespace ponder
