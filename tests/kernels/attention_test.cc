#include <algorithm>
#include <optional>

#include "base/check.h"
#include "tests/kernels/kernel_test_support.h"

namespace ponder::kernels {
namespace {

// A batch of sequences that share a prefix: `prefix` positions in common, each with queries for its
// last positions.
struct Batch {
  int64_t heads, kv_heads, width;
  struct Sequence {
    int64_t queries, keys;
  };
  std::vector<Sequence> sequences;
  int64_t shared_pages = 0;  // the first pages of all sequences are the same
};

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
};

// The cache of a batch, filled through QkvRope with positions that turn nothing, and its pieces in
// plain order.
class CachedBatch {
 public:
  // `seed` chooses the numbers; `order` the numbering of the pages.
  CachedBatch(Backend& backend, const Batch& batch, DType dtype, uint64_t order = 0)
      : batch_(batch), shape_{dtype, batch.kv_heads, batch.width, 0} {
    int64_t pages = batch.shared_pages;
    for (const auto& sequence : batch.sequences)
      pages += KvPagesFor(sequence.keys) - batch.shared_pages;
    shape_.pages = pages + 3;
    const std::vector<int64_t> numbers =
        RandomPermutation(MakeRandomKey(order, "pages"), 0, shape_.pages);
    int64_t next = batch.shared_pages;
    for (const auto& sequence : batch.sequences) {
      std::vector<int32_t> list;
      for (int64_t i = 0; i < KvPagesFor(sequence.keys); ++i) {
        list.push_back(static_cast<int32_t>(numbers[i < batch.shared_pages ? i : next++]));
      }
      pages_.push_back(list);
      rows_ += sequence.queries;
    }
    keys_.emplace(*DeviceBuffer::Create(backend, shape_.pages * KvPageBytes(shape_)));
    values_.emplace(*DeviceBuffer::Create(backend, shape_.pages * KvPageBytes(shape_)));
    // What nobody wrote must never be read: NaN in both types.
    std::memset(keys_->As<void>(), 0xff, keys_->Bytes());
    std::memset(values_->As<void>(), 0xff, values_->Bytes());

    const int64_t kv = batch.kv_heads * batch.width;
    int64_t begin = 0;
    for (size_t s = 0; s < batch.sequences.size(); ++s) {
      const auto& sequence = batch.sequences[s];
      const int64_t shared = batch.shared_pages * kPageTokens;
      std::vector<float> k = Normals(sequence.keys * kv, 100 + s);
      std::vector<float> v = Normals(sequence.keys * kv, 200 + s);
      const std::vector<float> shared_k = Normals(shared * kv, 50);
      const std::vector<float> shared_v = Normals(shared * kv, 51);
      std::copy(shared_k.begin(), shared_k.end(), k.begin());
      std::copy(shared_v.begin(), shared_v.end(), v.begin());
      Write(backend, k, v, pages_[s], sequence.keys);
      k_.push_back(Rounded(k, dtype));
      v_.push_back(Rounded(v, dtype));
      sequences_.push_back({begin, sequence.queries, sequence.keys, pages_[s].data()});
      begin += sequence.queries;
    }
  }

  KvLayer Layer() const { return {keys_->As<void>(), values_->As<void>()}; }
  const KvShape& Shape() const { return shape_; }
  const std::vector<AttentionSequence>& Sequences() const { return sequences_; }
  int64_t Rows() const { return rows_; }
  const std::vector<float>& K(size_t s) const { return k_[s]; }
  const std::vector<float>& V(size_t s) const { return v_[s]; }
  int64_t Slot(size_t s, int64_t position) const {
    return pages_[s][position / kPageTokens] * kPageTokens + position % kPageTokens;
  }

 private:
  void Write(Backend& backend, const std::vector<float>& k, const std::vector<float>& v,
             const std::vector<int32_t>& pages, int64_t count) {
    const int64_t width = batch_.width;
    const int64_t kv = batch_.kv_heads * width;
    const int64_t row_width = (batch_.heads + 2 * batch_.kv_heads) * width;
    std::vector<float> qkv(count * row_width);
    std::vector<int32_t> slots(count);
    for (int64_t t = 0; t < count; ++t) {
      std::copy_n(k.begin() + t * kv, kv, qkv.begin() + t * row_width + batch_.heads * width);
      std::copy_n(v.begin() + t * kv, kv, qkv.begin() + t * row_width + batch_.heads * width + kv);
      slots[t] = pages[t / kPageTokens] * static_cast<int32_t>(kPageTokens) +
                 static_cast<int32_t>(t % kPageTokens);
    }
    std::vector<float> cos_sin(width, 0.0f);
    std::fill_n(cos_sin.begin(), width / 2, 1.0f);
    const Buffer input(backend, qkv);
    const Buffer turned(backend, count * batch_.heads * width);
    const Buffer angles(backend, cos_sin);
    const Buffer positions = Buffer::Ints(backend, std::vector<int32_t>(count, 0));
    const Buffer slot = Buffer::Ints(backend, slots);
    backend.QkvRope({.qkv = input.F(),
                     .cos_sin = angles.F(),
                     .positions = positions.I(),
                     .slots = slot.I(),
                     .q = turned.F(),
                     .cache = Layer(),
                     .shape = shape_,
                     .rows = count,
                     .heads = batch_.heads});
  }

  Batch batch_;
  KvShape shape_;
  std::vector<std::vector<int32_t>> pages_;
  std::vector<AttentionSequence> sequences_;
  std::vector<std::vector<float>> k_, v_;
  std::optional<DeviceBuffer> keys_, values_;
  int64_t rows_ = 0;
};

struct Forward {
  std::vector<float> out, logsumexp;
};

Forward RunForward(Backend& backend, const Batch& batch, const CachedBatch& cached,
                   const std::vector<float>& q, DType dtype) {
  const Buffer queries(backend, q);
  ActBuffer out(backend, cached.Rows(), batch.heads * batch.width, dtype);
  out.Spoil();
  const Buffer logsumexp(backend, cached.Rows() * batch.heads);
  backend.Attention({.q = queries.F(),
                     .cache = cached.Layer(),
                     .shape = cached.Shape(),
                     .sequences = cached.Sequences().data(),
                     .sequence_count = static_cast<int64_t>(cached.Sequences().size()),
                     .out = out.Data(),
                     .out_act = dtype,
                     .logsumexp = logsumexp.F(),
                     .scale = 1 / std::sqrt(static_cast<float>(batch.width)),
                     .rows = cached.Rows(),
                     .heads = batch.heads});
  out.ExpectZeroPadding();
  return {out.Values(), logsumexp.Values()};
}

Array Slice(const std::vector<float>& values, int64_t begin, int64_t count) {
  return Array(values.begin() + begin, values.begin() + begin + count);
}

class AttentionTest : public KernelTest {};

TEST_P(AttentionTest, AgreesWithTheTwin) {
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(testing::Message()
                 << "H " << batch.heads << ", K " << batch.kv_heads << ", E " << batch.width);
    const CachedBatch cached(Cpu(), batch, Type());
    const int64_t width = batch.heads * batch.width;
    const std::vector<float> q = Normals(cached.Rows() * width, 1);
    const Forward found = RunForward(Cpu(), batch, cached, q, Type());
    const double scale = 1 / std::sqrt(static_cast<float>(batch.width));
    for (size_t s = 0; s < batch.sequences.size(); ++s) {
      const auto& [queries, keys] = batch.sequences[s];
      const int64_t begin = cached.Sequences()[s].query_begin;
      const auto expected = reference::Attention(
          Slice(q, begin * width, queries * width), Widened(cached.K(s)), Widened(cached.V(s)),
          scale, queries, keys, batch.heads, batch.kv_heads, batch.width);
      // A score of normal numbers is below 8 sqrt(E) before scaling, its error below E + 2
      // roundings of that; a weight has that error twice over, plus the exponential's 2 ulp and the
      // sums' keys + pages roundings.
      const double score = 8.0 * static_cast<double>(batch.width + 2) * kEpsilonF32;
      const double weight = 2 * score + (6.0 + 2.0 * static_cast<double>(keys)) * kEpsilonF32;
      for (int64_t i = 0; i < queries * width; ++i) {
        const double bound = 6 * weight + EpsilonOf(Type()) * std::abs(expected.out[i]) * 1.01;
        ASSERT_NEAR(found.out[begin * width + i], expected.out[i], bound)
            << "sequence " << s << ", element " << i;
      }
      for (int64_t i = 0; i < queries * batch.heads; ++i) {
        ASSERT_NEAR(found.logsumexp[begin * batch.heads + i], expected.logsumexp[i],
                    weight + 8 * kEpsilonF32);
      }
    }
  }
}

struct Gradients {
  std::vector<float> d_q, d_keys, d_values;
};

Gradients RunBackward(Backend& backend, const Batch& batch, const CachedBatch& cached,
                      const std::vector<float>& q, const std::vector<float>& d_out,
                      const Forward& forward, DType dtype) {
  const int64_t slots = cached.Shape().pages * kPageTokens * batch.kv_heads * batch.width;
  const Buffer queries(backend, q);
  const ActBuffer out(backend, forward.out, cached.Rows(), batch.heads * batch.width, dtype);
  const Buffer logsumexp(backend, forward.logsumexp);
  const Buffer gradient(backend, d_out);
  const Buffer d_q(backend, static_cast<int64_t>(q.size()), 5);
  const Buffer d_keys(backend, slots, 1);
  const Buffer d_values(backend, slots, 2);
  backend.AttentionBackward({.q = queries.F(),
                             .cache = cached.Layer(),
                             .shape = cached.Shape(),
                             .sequences = cached.Sequences().data(),
                             .sequence_count = static_cast<int64_t>(cached.Sequences().size()),
                             .out = out.Data(),
                             .out_act = dtype,
                             .logsumexp = logsumexp.F(),
                             .d_out = gradient.F(),
                             .d_q = d_q.F(),
                             .d_keys = d_keys.F(),
                             .d_values = d_values.F(),
                             .scale = 1 / std::sqrt(static_cast<float>(batch.width)),
                             .rows = cached.Rows(),
                             .heads = batch.heads});
  return {d_q.Values(), d_keys.Values(), d_values.Values()};
}

TEST_P(AttentionTest, BackwardAgreesWithTheTwinAndAddsUpSharedPages) {
  for (const Batch& batch : kBatches) {
    SCOPED_TRACE(testing::Message()
                 << "H " << batch.heads << ", K " << batch.kv_heads << ", E " << batch.width);
    const CachedBatch cached(Cpu(), batch, Type());
    const int64_t width = batch.heads * batch.width;
    const int64_t kv = batch.kv_heads * batch.width;
    const std::vector<float> q = Normals(cached.Rows() * width, 1);
    const std::vector<float> d_out = Normals(cached.Rows() * width, 2);
    const Forward forward = RunForward(Cpu(), batch, cached, q, Type());
    const Gradients found = RunBackward(Cpu(), batch, cached, q, d_out, forward, Type());
    const double scale = 1 / std::sqrt(static_cast<float>(batch.width));
    Array d_keys(found.d_keys.size(), 1.0);
    Array d_values(found.d_values.size(), 2.0);
    int64_t most_keys = 0;
    for (size_t s = 0; s < batch.sequences.size(); ++s) {
      const auto& [queries, keys] = batch.sequences[s];
      most_keys = std::max(most_keys, keys);
      const int64_t begin = cached.Sequences()[s].query_begin;
      const auto expected = reference::AttentionBackward(
          Slice(q, begin * width, queries * width), Widened(cached.K(s)), Widened(cached.V(s)),
          Slice(d_out, begin * width, queries * width), scale, queries, keys, batch.heads,
          batch.kv_heads, batch.width);
      // delta = out . d_out takes over the rounding of out; E products of it, then times a key
      // below 6.
      const double delta = static_cast<double>(batch.width) * 4 * 4 * EpsilonOf(Type());
      const double bound =
          6 * scale * (delta + 1e-3 * EpsilonOf(DType::kBF16) * static_cast<double>(batch.width));
      for (int64_t i = 0; i < queries * width; ++i) {
        ASSERT_NEAR(found.d_q[begin * width + i], expected.d_q[i], bound)
            << "sequence " << s << ", element " << i;
      }
      for (int64_t t = 0; t < keys; ++t) {
        for (int64_t i = 0; i < kv; ++i) {
          d_keys[cached.Slot(s, t) * kv + i] += expected.d_k[t * kv + i];
          d_values[cached.Slot(s, t) * kv + i] += expected.d_v[t * kv + i];
        }
      }
    }
    // Every query adds to a key at most what it adds to its own gradient, weighted; few weigh much,
    // so the square root of the number of queries is ample.
    const double rows = static_cast<double>(cached.Rows() * batch.heads / batch.kv_heads);
    const double delta = static_cast<double>(batch.width) * 4 * 4 * EpsilonOf(Type());
    const double bound = 6 * scale * std::sqrt(rows) *
                         (delta + 1e-3 * kEpsilonBF16 * static_cast<double>(batch.width));
    for (size_t i = 0; i < d_keys.size(); ++i) {
      ASSERT_NEAR(found.d_keys[i], d_keys[i], bound) << "d_keys " << i;
      ASSERT_NEAR(found.d_values[i], d_values[i],
                  8 * rows * (static_cast<double>(batch.width) + 40) * kEpsilonF32)
          << "d_values " << i;
    }
  }
}

// The same rows whatever the pages are called, and whichever sequences stand beside them.
TEST_P(AttentionTest, PageNumbersAndNeighboursLeaveTheBitsAlone) {
  for (const Batch& batch : kBatches) {
    const int64_t width = batch.heads * batch.width;
    const CachedBatch cached(Cpu(), batch, Type());
    const std::vector<float> q = Normals(cached.Rows() * width, 1);
    const Forward first = RunForward(Cpu(), batch, cached, q, Type());
    const CachedBatch renumbered(Cpu(), batch, Type(), 77);
    const Forward second = RunForward(Cpu(), batch, renumbered, q, Type());
    ExpectSameBits(first.out, second.out);
    ExpectSameBits(first.logsumexp, second.logsumexp);

    // Each query by itself, as decoding would ask: keys up to its own position.
    const Buffer queries(Cpu(), q);
    for (size_t s = 0; s < batch.sequences.size(); ++s) {
      const auto& [count, keys] = batch.sequences[s];
      for (int64_t t = 0; t < count; ++t) {
        AttentionSequence alone = cached.Sequences()[s];
        const int64_t row = alone.query_begin + t;
        alone.query_begin = 0;
        alone.query_count = 1;
        alone.key_count = keys - count + t + 1;
        const ActBuffer out(Cpu(), 1, width, Type());
        Cpu().Attention({.q = queries.F() + row * width,
                         .cache = cached.Layer(),
                         .shape = cached.Shape(),
                         .sequences = &alone,
                         .sequence_count = 1,
                         .out = out.Data(),
                         .out_act = Type(),
                         .scale = 1 / std::sqrt(static_cast<float>(batch.width)),
                         .rows = 1,
                         .heads = batch.heads});
        ExpectSameBits(out.Values(), std::vector<float>(first.out.begin() + row * width,
                                                        first.out.begin() + (row + 1) * width));
      }
    }
  }
}

TEST_P(AttentionTest, ThreadsLeaveTheBitsAlone) {
  const Batch& batch = kBatches[4];
  const int64_t width = batch.heads * batch.width;
  std::vector<Forward> forwards;
  std::vector<Gradients> gradients;
  for (int64_t threads = 1; threads <= 4; ++threads) {
    const auto backend = MakeBackend(GetParam().isa, threads);
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

TEST_P(AttentionTest, RefusesBrokenShapes) {
  const Batch& batch = kBatches[1];
  const CachedBatch cached(Cpu(), batch, Type());
  const Buffer q(Cpu(), cached.Rows() * batch.heads * batch.width);
  const ActBuffer out(Cpu(), cached.Rows(), batch.heads * batch.width, Type());
  const auto run = [&](AttentionSequence sequence, int64_t heads) {
    Cpu().Attention({.q = q.F(),
                     .cache = cached.Layer(),
                     .shape = cached.Shape(),
                     .sequences = &sequence,
                     .sequence_count = 1,
                     .out = out.Data(),
                     .out_act = Type(),
                     .scale = 1,
                     .rows = cached.Rows(),
                     .heads = heads});
  };
  const AttentionSequence good = cached.Sequences()[0];
  run(good, batch.heads);
  EXPECT_THROW(run(good, batch.heads + 1), CheckFailure);
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

INSTANTIATE_TEST_SUITE_P(Every, AttentionTest, testing::ValuesIn(AllCases()), CaseName);

}  // namespace
}  // namespace ponder::kernels
