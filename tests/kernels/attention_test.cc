#include <algorithm>

#include "base/check.h"
#include "tests/kernels/attention_test_support.h"

namespace ponder::kernels {
namespace {

const Batch kBatches[] = {
    {1, 1, 2, {{1, 1}}},
    {9, 3, 64, {{1, 40}, {1, 17}, {1, 16}, {33, 33}}},
    {14, 2, 64, {{20, 50}, {1, 1}, {7, 7}}},
    {4, 4, 24, {{48, 48}, {3, 19}}},
    {6, 2, 18, {{5, 37}, {21, 53}, {1, 33}}, 2},
    {64, 1, 16, {{3, 20}}},
    // Decoding behind a common prefix: of five pages, one block and a rest; of eight, two blocks.
    {6, 2, 18, {{1, 81}, {1, 90}, {1, 130}, {1, 150}}, 5},
    {9, 3, 64, {{1, 200}, {1, 129}, {1, 130}, {9, 193}, {1, 200}}, 8},
    {3, 1, 40, {{70, 150}}},
    {12, 4, 32, {{150, 150}}},
    // Beyond a segment: at its border, behind it, with a shared beginning of a segment and a rest.
    {4, 2, 16, {{1, 1024}, {1, 1025}, {20, 1030}, {1, 1500}}},
    {2, 1, 8, {{1, 1100}, {3, 1190}, {1, 1150}, {1, 2100}}, 66},
};

class AttentionTest : public KernelTest {};

TEST_P(AttentionTest, AgreesWithTheTwin) {
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(testing::Message()
                 << "H " << batch.heads << ", K " << batch.kv_heads << ", E " << batch.width);
    const CachedBatch cached(Device(), batch, Type());
    const std::vector<float> q = Normals(cached.Rows() * batch.heads * batch.width, 1);
    ExpectForwardOfTheTwin(batch, cached, q, RunForward(Device(), batch, cached, q, Type()), Type(),
                           OnTiles(GetParam(), batch.width));
  }
}

TEST_P(AttentionTest, BackwardAgreesWithTheTwinAndAddsUpSharedPages) {
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(testing::Message()
                 << "H " << batch.heads << ", K " << batch.kv_heads << ", E " << batch.width);
    const CachedBatch cached(Device(), batch, Type());
    const int64_t width = batch.heads * batch.width;
    const std::vector<float> q = Normals(cached.Rows() * width, 1);
    const std::vector<float> d_out = Normals(cached.Rows() * width, 2);
    const Forward forward = RunForward(Device(), batch, cached, q, Type());
    ExpectBackwardOfTheTwin(batch, cached, q, d_out,
                            RunBackward(Device(), batch, cached, q, d_out, forward, Type()), Type(),
                            OnTiles(GetParam(), batch.width));
  }
}

// The same rows whatever the pages are called, and whichever sequences stand beside them.
TEST_P(AttentionTest, PageNumbersAndNeighboursLeaveTheBitsAlone) {
  for (const Batch& batch : kBatches) {
    const int64_t width = batch.heads * batch.width;
    const CachedBatch cached(Device(), batch, Type());
    const std::vector<float> q = Normals(cached.Rows() * width, 1);
    const Forward first = RunForward(Device(), batch, cached, q, Type());
    const CachedBatch renumbered(Device(), batch, Type(), 77);
    const Forward second = RunForward(Device(), batch, renumbered, q, Type());
    ExpectSameBits(first.out, second.out);
    ExpectSameBits(first.logsumexp, second.logsumexp);

    // Each query by itself, as decoding would ask: keys up to its own position.
    const Buffer queries(Device(), q);
    for (size_t s = 0; s < batch.sequences.size(); ++s) {
      const auto& [count, keys] = batch.sequences[s];
      for (int64_t t = 0; t < count; ++t) {
        AttentionSequence alone = cached.Sequences()[s];
        const int64_t row = alone.query_begin + t;
        alone.query_begin = 0;
        alone.query_count = 1;
        alone.key_count = keys - count + t + 1;
        const ActBuffer out(Device(), 1, width, Type());
        std::vector<Buffer> plan;
        Device().Attention(
            CachedBatch::Planned(Device(),
                                 {.q = queries.F() + row * width,
                                  .cache = cached.Layer(),
                                  .shape = cached.Shape(),
                                  .out = out.Data(),
                                  .out_act = Type(),
                                  .scale = 1 / std::sqrt(static_cast<float>(batch.width)),
                                  .rows = 1,
                                  .heads = batch.heads},
                                 {alone}, &plan));
        ExpectSameBits(out.Values(), std::vector<float>(first.out.begin() + row * width,
                                                        first.out.begin() + (row + 1) * width));
      }
    }
  }
}

// Decoding neighbours whose common beginning is done once for all of them, where a backend does
// that.
TEST_P(AttentionTest, RunsLeaveTheBitsAlone) {
  struct Case {
    Batch batch;
    std::vector<AttentionRun> runs;
  };
  // A run with a neighbour outside and a prompt behind it, of one block only, and two of 64 rows.
  const Case cases[] = {
      {kBatches[7], {{0, 3, 128}}},
      {kBatches[6], {{1, 3, 64}}},
      {kBatches[6], {{0, 2, 32}, {2, 2, 64}}},
      {{16, 1, 32, std::vector<Batch::Sequence>(8, {1, 170}), 10}, {{0, 4, 160}, {4, 4, 96}}},
      // Of a whole segment and a bit of the next; of a bit of the first.
      {{2, 1, 8, std::vector<Batch::Sequence>(4, {1, 1100}), 66}, {{0, 2, 1056}, {2, 2, 64}}},
      {{2, 1, 8, std::vector<Batch::Sequence>(2, {1, 2060}), 66}, {{0, 2, 1024}}},
  };
  for (const auto& [batch, runs] : cases) {
    const CachedBatch cached(Device(), batch, Type());
    const std::vector<float> q = Normals(cached.Rows() * batch.heads * batch.width, 1);
    std::vector<AttentionSequence> sequences = cached.Sequences();
    std::vector<AttentionRun> all(sequences.size());
    std::copy(runs.begin(), runs.end(), all.begin());
    for (const AttentionRun& run : runs) {
      for (int32_t i = run.first; i < run.first + run.count; ++i)
        sequences[i].shared_keys = run.keys;
    }
    std::vector<Buffer> plan;
    const Buffer device_runs(Device(), all.data(),
                             static_cast<int64_t>(all.size() * sizeof(AttentionRun)));
    const Forward alone = RunForward(Device(), batch, cached, q, Type());
    const Forward together = RunForwardBy(
        [&](AttentionArgs args) {
          args.runs = device_runs.As<AttentionRun>();
          Device().Attention(CachedBatch::Planned(Device(), args, sequences, &plan));
        },
        Device(), batch, cached, q, Type());
    ExpectSameBits(alone.out, together.out);
    ExpectSameBits(alone.logsumexp, together.logsumexp);
  }
}

TEST_P(AttentionTest, ThreadsLeaveTheBitsAlone) {
  for (const Batch& batch : {kBatches[4], kBatches[7], kBatches[9]}) {
    const int64_t width = batch.heads * batch.width;
    std::vector<Forward> forwards;
    std::vector<Gradients> gradients;
    for (int64_t threads = 1; threads <= 4; ++threads) {
      const auto backend = MakeBackend(GetParam(), threads);
      const CachedBatch cached(*backend, batch, Type());
      const std::vector<float> q = Normals(cached.Rows() * width, 1);
      const std::vector<float> d_out = Normals(cached.Rows() * width, 2);
      forwards.push_back(RunForward(*backend, batch, cached, q, Type()));
      gradients.push_back(RunBackward(*backend, batch, cached, q, d_out, forwards.back(), Type()));
      ExpectSameBits(forwards.back().out, forwards.front().out);
      ExpectSameBits(gradients.back().d_q, gradients.front().d_q);
      ExpectSameBits(gradients.back().d_keys, gradients.front().d_keys);
      ExpectSameBits(gradients.back().d_values, gradients.front().d_values);
    }
  }
}

TEST_P(AttentionTest, RefusesBrokenShapes) {
  const Batch& batch = kBatches[1];
  const CachedBatch cached(Device(), batch, Type());
  const Buffer q(Device(), cached.Rows() * batch.heads * batch.width);
  const ActBuffer out(Device(), cached.Rows(), batch.heads * batch.width, Type());
  const auto run = [&](AttentionSequence sequence, int64_t heads) {
    std::vector<Buffer> plan;
    Device().Attention(CachedBatch::Planned(Device(),
                                            {.q = q.F(),
                                             .cache = cached.Layer(),
                                             .shape = cached.Shape(),
                                             .out = out.Data(),
                                             .out_act = Type(),
                                             .scale = 1,
                                             .rows = cached.Rows(),
                                             .heads = heads},
                                            {sequence}, &plan));
  };
  const AttentionSequence good = cached.Sequences()[0];
  run(good, batch.heads);
  EXPECT_THROW(run(good, batch.heads + 1), CheckFailure);
  if (!Device().Info().is_host_memory) return;  // nobody looks into a GPU's memory
  AttentionSequence more_queries = good;
  more_queries.query_count = good.key_count + 1;
  EXPECT_THROW(run(more_queries, batch.heads), CheckFailure);
  AttentionSequence outside = good;
  outside.query_begin = cached.Rows();
  EXPECT_THROW(run(outside, batch.heads), CheckFailure);
  const std::vector<int32_t> wrong_pages(16, 1000);
  AttentionSequence wrong = good;
  wrong.pages = wrong_pages.data();
  EXPECT_THROW(run(wrong, batch.heads), CheckFailure);
}

INSTANTIATE_TEST_SUITE_P(Every, AttentionTest, testing::ValuesIn(AllCasesAndEmulatedTiles()),
                         CaseName);

}  // namespace
}  // namespace ponder::kernels
