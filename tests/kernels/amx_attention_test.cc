#include <cmath>

#include "base/thread_pool.h"
#include "kernels/cpu/amx_attention_tiles_inl.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_isa.h"
#include "kernels/cpu/simd_portable.h"
#include "tests/kernels/attention_test_support.h"
#include "tests/kernels/cpu_test_support.h"
#include "tests/kernels/tiles_beside_avx512.h"
#include "tests/kernels/trapped_tiles.h"

// Attention on matrix tiles: its emulation against the twin, what its bits may not depend on, and
// its machine code against the emulation. AttentionTest runs the emulation too.
namespace ponder::kernels {
namespace {

constexpr DType kType = DType::kBF16;

// Groups of 1, 3, 7, 8 and 17 heads; numbers of queries and keys on both sides of the borders of
// pages, pairs of pages, blocks and runs of rows; prefixes in common, read by one query each and by
// several. A width of 80 is the vectors' affair.
const Batch kBatches[] = {
    {3, 1, 32, {{1, 1}, {2, 15}, {16, 16}, {17, 17}, {1, 31}, {32, 32}, {3, 33}}},
    {2, 2, 64, {{1, 63}, {64, 64}, {65, 65}, {1, 64}, {1, 65}, {70, 129}}},
    {7, 1, 64, {{10, 48}, {9, 49}, {19, 19}}},
    {8, 1, 32, {{1, 128}, {16, 127}, {5, 5}}},
    {17, 1, 32, {{1, 70}, {4, 20}}},
    {3, 1, 128, {{1, 80}, {22, 81}, {1, 16}}},
    {6, 2, 96, {{43, 43}, {1, 50}}},
    {3, 1, 80, {{5, 40}}},
    {6, 2, 32, {{1, 81}, {1, 90}, {1, 130}, {1, 150}}, 5},
    {3, 1, 64, {{1, 150}, {1, 129}, {9, 145}, {1, 200}}, 8},
    {3, 1, 32, {{33, 161}, {70, 198}, {20, 148}}, 8},
};

std::string Name(const Batch& batch) {
  std::string name = "H " + std::to_string(batch.heads) + ", K " + std::to_string(batch.kv_heads) +
                     ", E " + std::to_string(batch.width) + ", keys";
  for (const auto& sequence : batch.sequences) name += " " + std::to_string(sequence.keys);
  return name;
}

std::vector<float> Queries(const Batch& batch, const CachedBatch& cached) {
  return Normals(cached.Rows() * batch.heads * batch.width, 1);
}
std::vector<float> OutGradients(const Batch& batch, const CachedBatch& cached) {
  return Normals(cached.Rows() * batch.heads * batch.width, 2);
}

TEST(TileAttentionTest, EmulationAgreesWithTheTwin) {
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated);
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(Name(batch));
    const CachedBatch cached(*backend, batch, kType);
    const bool on_tiles = OnTiles({CpuIsa::kAmxEmulated, kType}, batch.width);
    EXPECT_EQ(on_tiles, batch.width != 80);
    const std::vector<float> q = Queries(batch, cached);
    const Forward forward = RunForward(*backend, batch, cached, q, kType);
    ExpectForwardOfTheTwin(batch, cached, q, forward, kType, on_tiles);
    const std::vector<float> d_out = OutGradients(batch, cached);
    const Gradients gradients = RunBackward(*backend, batch, cached, q, d_out, forward, kType);
    ExpectBackwardOfTheTwin(batch, cached, q, d_out, gradients, kType, on_tiles);
  }
}

void ExpectSame(const Forward& a, const Forward& b) {
  ExpectSameBits(a.out, b.out);
  ExpectSameBits(a.logsumexp, b.logsumexp);
}

void ExpectSame(const Gradients& a, const Gradients& b) {
  ExpectSameBits(a.d_q, b.d_q);
  ExpectSameBits(a.d_keys, b.d_keys);
  ExpectSameBits(a.d_values, b.d_values);
}

// Slots behind a sequence's last key may hold anything: NaN, 12.0625, infinity's neighbour.
TEST(TileAttentionTest, UnusedSlotsLeaveTheBitsAlone) {
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated);
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(Name(batch));
    const CachedBatch zeros(*backend, batch, kType, 0, 0);
    const std::vector<float> q = Queries(batch, zeros);
    const std::vector<float> d_out = OutGradients(batch, zeros);
    const Forward forward = RunForward(*backend, batch, zeros, q, kType);
    const Gradients gradients = RunBackward(*backend, batch, zeros, q, d_out, forward, kType);
    for (const int unused : {0xff, 0x41, 0x7f}) {
      const CachedBatch cached(*backend, batch, kType, 0, unused);
      ExpectSame(RunForward(*backend, batch, cached, q, kType), forward);
      ExpectSame(RunBackward(*backend, batch, cached, q, d_out, forward, kType), gradients);
    }
  }
}

// Prefill in pieces: the rows of a piece stand in other tiles, behind other rows, and before fewer
// keys, whose slots hold what the whole sequence will have there.
TEST(TileAttentionTest, PiecesHaveTheBitsOfTheWhole) {
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated);
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(Name(batch));
    const int64_t width = batch.heads * batch.width;
    const CachedBatch cached(*backend, batch, kType);
    const std::vector<float> q = Queries(batch, cached);
    const Forward whole = RunForward(*backend, batch, cached, q, kType);
    for (const int64_t piece : {1, 5, 13, 16, 37}) {
      std::vector<AttentionSequence> pieces;
      for (size_t s = 0; s < batch.sequences.size(); ++s) {
        const AttentionSequence& sequence = cached.Sequences()[s];
        for (int64_t t = 0; t < sequence.query_count; t += piece) {
          const int64_t count = std::min(piece, sequence.query_count - t);
          pieces.push_back({sequence.query_begin + t, count,
                            sequence.key_count - sequence.query_count + t + count, sequence.pages});
        }
      }
      const auto run = [&](AttentionArgs args) {
        args.sequences = pieces.data();
        args.sequence_count = static_cast<int64_t>(pieces.size());
        backend->Attention(args);
      };
      SCOPED_TRACE(testing::Message() << "pieces of " << piece << ", rows of " << width);
      ExpectSame(RunForwardBy(run, *backend, batch, cached, q, kType), whole);
    }
  }
}

// Rows beside a row, of its own sequence or of another, may be anything.
TEST(TileAttentionTest, NeighboursThatAreNaNLeaveTheBitsAlone) {
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated);
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(Name(batch));
    const int64_t width = batch.heads * batch.width;
    const CachedBatch cached(*backend, batch, kType);
    std::vector<float> q = Queries(batch, cached);
    const Forward clean = RunForward(*backend, batch, cached, q, kType);
    const auto spoiled = [](int64_t row) { return row % 3 == 1; };
    for (int64_t row = 0; row < cached.Rows(); ++row) {
      if (spoiled(row)) std::fill_n(q.begin() + row * width, width, NAN);
    }
    const Forward found = RunForward(*backend, batch, cached, q, kType);
    for (int64_t row = 0; row < cached.Rows(); ++row) {
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        if (spoiled(row)) {
          ASSERT_TRUE(std::isnan(found.out[i])) << "row " << row;
        } else {
          ASSERT_EQ(found.out[i], clean.out[i]) << "row " << row;
        }
      }
    }
  }
}

// One thread takes pages together that several would take one by one, but only pages of the same
// readers: here two follow one another in the first sequence, and each has another second reader.
TEST(TileAttentionTest, PagesOfOtherReadersAreNotTakenTogether) {
  const Batch batch = {8, 8, 32, {{32, 32}, {32, 32}, {32, 32}}};
  std::vector<Gradients> gradients;
  for (const int64_t threads : {1, 8}) {
    const auto backend = MakeBackend(CpuIsa::kAmxEmulated, threads);
    const CachedBatch cached(*backend, batch, kType);
    std::vector<AttentionSequence> sequences = cached.Sequences();
    const int32_t* const pages = sequences[0].pages;
    const int32_t second[] = {pages[0], sequences[1].pages[1]};
    const int32_t third[] = {sequences[2].pages[0], pages[1]};
    sequences[1].pages = second;
    sequences[2].pages = third;
    const std::vector<float> q = Queries(batch, cached);
    const Forward forward = RunForwardBy(
        [&](AttentionArgs args) {
          args.sequences = sequences.data();
          backend->Attention(args);
        },
        *backend, batch, cached, q, kType);
    gradients.push_back(RunBackwardBy(
        [&](AttentionBackwardArgs args) {
          args.sequences = sequences.data();
          backend->AttentionBackward(args);
        },
        *backend, batch, cached, q, OutGradients(batch, cached), forward, kType));
  }
  ExpectSame(gradients[0], gradients[1]);
}

// A row with one key gives it the weight 1, and its score has no gradient: d_out.v and delta are
// sums of the same products, whose roundings d_out's must not part. It is rounded to bf16 in both.
TEST(TileAttentionTest, TheOnlyKeyOfARowHasNoGradientOfItsScore) {
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated);
  const Batch batch = {2, 1, 64, {{1, 1}}};
  const CachedBatch cached(*backend, batch, kType);
  const std::vector<float> q = Queries(batch, cached);
  const std::vector<float> d_out = OutGradients(batch, cached);
  const Forward forward = RunForward(*backend, batch, cached, q, kType);
  const Gradients found = RunBackward(*backend, batch, cached, q, d_out, forward, kType);
  for (int64_t i = 0; i < batch.heads * batch.width; ++i) {
    double size = 0;
    for (int64_t e = 0; e < batch.width; ++e)
      size += std::abs(d_out[i / batch.width * batch.width + e] * cached.V(0)[e]);
    // Two sums of E products, times a key and the scale of 1/8.
    const double bound = 2.1 * static_cast<double>(batch.width + 1) * kEpsilonF32 * size *
                         std::abs(cached.K(0)[i % batch.width]) / 8;
    ASSERT_NEAR(found.d_q[i], 0, bound) << i;
  }
}

// The kernels write their scratch memory and nothing behind it.
TEST(TileAttentionTest, ScratchMemorySuffices) {
  constexpr int64_t kGuard = 4096;
  constexpr float kUntouched = 7;
  const cpu::Primitives& primitives = cpu::PrimitivesFor(CpuIsa::kAmxEmulated);
  const auto backend = MakeBackend(CpuIsa::kAmxEmulated, 1);
  for (const Batch& batch :
       {Batch{150, 1, 32, {{1, 200}}}, Batch{3, 1, 32, {{42, 200}}}, Batch{16, 1, 512, {{8, 130}}},
        Batch{1, 1, 128, {{128, 128}}}, Batch{16, 1, 48, {{8, 130}}}}) {
    SCOPED_TRACE(Name(batch));
    const CachedBatch cached(*backend, batch, kType);
    const int64_t floats = cpu::AttentionScratchFloats(batch.heads, batch.width);
    const Buffer scratch(*backend, floats + kGuard, kUntouched);
    const auto expect_untouched = [&] {
      for (int64_t i = 0; i < kGuard; ++i) ASSERT_EQ(scratch.F()[floats + i], kUntouched) << i;
    };
    const AttentionSequence& sequence = cached.Sequences()[0];
    const int64_t most = std::max<int64_t>(1, cpu::kAttentionItemRows / batch.heads);
    const std::vector<float> q = Queries(batch, cached);
    const Forward forward = RunForwardBy(
        [&](const AttentionArgs& args) {
          for (int64_t t = 0; t < sequence.query_count; t += most) {
            const int64_t end = std::min(t + most, sequence.query_count);
            primitives.attention(args, {.sequence = &sequence, .query_begin = t, .query_end = end},
                                 nullptr, scratch.F());
          }
        },
        *backend, batch, cached, q, kType);
    expect_untouched();
    RunBackwardBy(
        [&](const AttentionBackwardArgs& args) {
          const cpu::AttentionBlocking blocking = primitives.attention_backward_blocking;
          ASSERT_LE(batch.heads, std::max(batch.heads, blocking.rows));
          const std::vector<float> delta(sequence.query_count * batch.heads);
          primitives.attention_backward_queries(
              args, {.sequence = &sequence, .query_end = sequence.query_count}, delta.data(),
              scratch.F());
          expect_untouched();
          const cpu::PageUse use = {&sequence, 0};
          const int64_t pages = std::min(blocking.pages, KvPagesFor(sequence.key_count));
          primitives.attention_backward_pages(args, {&use, 1, pages}, 0, delta.data(), scratch.F());
        },
        *backend, batch, cached, q, OutGradients(batch, cached), forward, kType);
    expect_untouched();
  }
}

// ---- the machine code ----

// The operations with a table of kernels that no backend has.
struct Operations {
  explicit Operations(const cpu::Primitives& primitives) : context{pool, primitives, workspace} {}

  ThreadPool pool{2};
  cpu::Workspace workspace;
  cpu::CpuContext context;
};

void ExpectSameBitsOf(const cpu::Primitives& kernels, const cpu::Primitives& others) {
  const auto backend = MakeBackend(CpuIsa::kPortable);
  Operations found(kernels);
  Operations expected(others);
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(Name(batch));
    const CachedBatch cached(*backend, batch, kType);
    const std::vector<float> q = Queries(batch, cached);
    const std::vector<float> d_out = OutGradients(batch, cached);
    const auto forward = [&](const Operations& operations) {
      return RunForwardBy(
          [&](const AttentionArgs& args) { cpu::Attention(operations.context, args); }, *backend,
          batch, cached, q, kType);
    };
    const Forward outputs = forward(expected);
    ExpectSame(forward(found), outputs);
    const auto backward = [&](const Operations& operations) {
      return RunBackwardBy(
          [&](const AttentionBackwardArgs& args) {
            cpu::AttentionBackward(operations.context, args);
          },
          *backend, batch, cached, q, d_out, outputs, kType);
    };
    ExpectSame(backward(found), backward(expected));
  }
}

TEST(TileAttentionTest, HardwareGivesTheBitsOfTheEmulation) {
  if (!cpu::Supports(CpuIsa::kAmx)) {
    GTEST_SKIP() << "did not run: this processor or system has no AMX with bf16, so the arithmetic "
                    "of the emulation was not compared with the hardware's";
  }
  ExpectSameBitsOf(cpu::PrimitivesFor(CpuIsa::kAmx), EmulatedTilesBesideAvx512());
}

// As in amx_test.cc: the machine code, its tile instructions carried out by the emulation.
TEST(TileAttentionTest, InstructionsAreThoseOfTheEmulation) {
  if (cpu::Supports(CpuIsa::kAmx)) GTEST_SKIP() << "not needed: the hardware runs them itself";
  if (!cpu::Supports(CpuIsa::kAvx512Bf16)) {
    GTEST_SKIP() << "did not run: the kernels need AVX512-BF16 beside the tiles";
  }
  const TrappedTiles trapped;
  ExpectSameBitsOf(cpu::PrimitivesFor(CpuIsa::kAmx), EmulatedTilesBesideAvx512());
  EXPECT_GT(trapped.Count(), 1000);
}

// ---- the exponential ----

TEST(Exp2Test, IsWithinTwoUlpAndExactWhereItCounts) {
  using V = portable::Simd;
  const auto exp2 = [](float x) {
    alignas(64) float lanes[16];
    V::Store(lanes, cpu::Exp2<V>(V::Set1(x)));
    return lanes[0];
  };
  double worst = 0;
  for (double at = -125.9; at <= 126.9; at += 0.000731) {
    const auto x = static_cast<float>(at);
    const double expected = std::exp2(static_cast<double>(x));
    worst =
        std::max(worst, std::abs(exp2(x) - expected) / std::ldexp(1.0, std::ilogb(expected) - 23));
  }
  EXPECT_LE(worst, 2.0);
  EXPECT_EQ(exp2(0), 1.0f);
  EXPECT_EQ(exp2(-3), 0.125f);
  for (const float x : {-127.0f, -500.0f, -3e38f, -INFINITY}) EXPECT_EQ(exp2(x), 0.0f);
  EXPECT_TRUE(std::isnan(exp2(NAN)));
}

}  // namespace
}  // namespace ponder::kernels
