#pragma once

#include <algorithm>
#include <optional>

#include "kernels/attention_plan.h"
#include "tests/kernels/kernel_test_support.h"

// Batches of attention for tests, with a cache of their own, and what the twin says of them.
namespace ponder::kernels {

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

// The cache of a batch, filled through QkvRope with positions that turn nothing, and its pieces in
// plain order.
class CachedBatch {
 public:
  // `order` chooses the numbering of the pages. What nobody wrote must never be read: it is made
  // of the byte `unused`, by default NaN in both types.
  CachedBatch(Backend& backend, const Batch& batch, DType dtype, uint64_t order = 0,
              int unused = 0xff)
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
    const std::vector<char> filling(keys_->Bytes(), static_cast<char>(unused));
    backend.CopyIn(keys_->As<void>(), filling.data(), keys_->Bytes());
    backend.CopyIn(values_->As<void>(), filling.data(), values_->Bytes());

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
      device_pages_.push_back(Buffer::Ints(backend, pages_[s]));
      sequences_.push_back({begin, sequence.queries, sequence.keys, device_pages_[s].I()});
      begin += sequence.queries;
    }
    device_sequences_.emplace(OnDevice(backend, sequences_));
  }
  static Buffer OnDevice(Backend& backend, const std::vector<AttentionSequence>& sequences) {
    return Buffer(backend, sequences.data(),
                  static_cast<int64_t>(sequences.size() * sizeof(AttentionSequence)));
  }

  KvLayer Layer() const { return {keys_->As<void>(), values_->As<void>()}; }
  const KvShape& Shape() const { return shape_; }
  // Adds the plan that a GPU wants, of `sequences`, which it marks; lives as long as the batch.
  static AttentionArgs Planned(Backend& backend, AttentionArgs args,
                               std::vector<AttentionSequence> sequences,
                               std::vector<Buffer>* keep) {
    const std::vector<AttentionSegment> segments =
        ListSegments(sequences, args.heads / args.shape.kv_heads);
    for (const AttentionSegment& segment : segments) {
      args.max_keys =
          std::max(args.max_keys, sequences[static_cast<size_t>(segment.sequence)].key_count);
    }
    keep->push_back(OnDevice(backend, sequences));
    args.sequences = keep->back().As<AttentionSequence>();
    args.sequence_count = std::ssize(sequences);
    args.segment_count = std::ssize(segments);
    keep->emplace_back(backend, segments.data(),
                       static_cast<int64_t>(segments.size() * sizeof(AttentionSegment)));
    args.segments = keep->back().As<AttentionSegment>();
    return args;
  }

  // In host memory; their page lists are the backend's.
  const std::vector<AttentionSequence>& Sequences() const { return sequences_; }
  const AttentionSequence* DeviceSequences() const {
    return device_sequences_->As<AttentionSequence>();
  }
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
  std::vector<Buffer> device_pages_;
  std::vector<AttentionSequence> sequences_;
  std::optional<Buffer> device_sequences_;
  std::vector<std::vector<float>> k_, v_;
  std::optional<DeviceBuffer> keys_, values_;
  int64_t rows_ = 0;
};

struct Forward {
  std::vector<float> out, logsumexp;
};

// `run` takes the arguments of Attention.
template <typename Run>
Forward RunForwardBy(Run run, Backend& backend, const Batch& batch, const CachedBatch& cached,
                     const std::vector<float>& q, DType dtype) {
  const Buffer queries(backend, q);
  ActBuffer out(backend, cached.Rows(), batch.heads * batch.width, dtype);
  out.Spoil(backend);
  const Buffer logsumexp(backend, cached.Rows() * batch.heads);
  std::vector<Buffer> plan;
  run(CachedBatch::Planned(backend,
                           {.q = queries.F(),
                            .cache = cached.Layer(),
                            .shape = cached.Shape(),
                            .out = out.Data(),
                            .out_act = dtype,
                            .logsumexp = logsumexp.F(),
                            .scale = 1 / std::sqrt(static_cast<float>(batch.width)),
                            .rows = cached.Rows(),
                            .heads = batch.heads},
                           cached.Sequences(), &plan));
  out.ExpectZeroPadding();
  return {out.Values(), logsumexp.Values()};
}

inline Forward RunForward(Backend& backend, const Batch& batch, const CachedBatch& cached,
                          const std::vector<float>& q, DType dtype) {
  return RunForwardBy([&](const AttentionArgs& args) { backend.Attention(args); }, backend, batch,
                      cached, q, dtype);
}

inline Array Slice(const std::vector<float>& values, int64_t begin, int64_t count) {
  return Array(values.begin() + begin, values.begin() + begin + count);
}

struct Gradients {
  std::vector<float> d_q, d_keys, d_values;
};

// `run` takes the arguments of AttentionBackward.
template <typename Run>
Gradients RunBackwardBy(Run run, Backend& backend, const Batch& batch, const CachedBatch& cached,
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
  run(AttentionBackwardArgs{.q = queries.F(),
                            .cache = cached.Layer(),
                            .shape = cached.Shape(),
                            .sequences = cached.DeviceSequences(),
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

inline Gradients RunBackward(Backend& backend, const Batch& batch, const CachedBatch& cached,
                             const std::vector<float>& q, const std::vector<float>& d_out,
                             const Forward& forward, DType dtype) {
  return RunBackwardBy([&](const AttentionBackwardArgs& args) { backend.AttentionBackward(args); },
                       backend, batch, cached, q, d_out, forward, dtype);
}

// The relative error of a weight p of normal numbers in fp32. A score is below 8 sqrt(E) before
// scaling, its error below E + 2 roundings of that; a weight has that error twice over, plus the
// exponential's 2 ulp and the sums' keys + pages roundings.
inline double WeightError(int64_t width, int64_t keys) {
  const double score = 8.0 * static_cast<double>(width + 2) * kEpsilonF32;
  return 2 * score + (6.0 + 2.0 * static_cast<double>(keys)) * kEpsilonF32;
}

// Outputs and logsumexps of a batch against the twin.
inline void ExpectForwardOfTheTwin(const Batch& batch, const CachedBatch& cached,
                                   const std::vector<float>& q, const Forward& found, DType dtype,
                                   bool on_tiles) {
  const int64_t width = batch.heads * batch.width;
  const double scale = 1 / std::sqrt(static_cast<float>(batch.width));
  const std::vector<float> used = Rounded(q, on_tiles ? DType::kBF16 : DType::kF32);
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const auto& [queries, keys] = batch.sequences[s];
    const int64_t begin = cached.Sequences()[s].query_begin;
    const auto twin = [&](const Array& values) {
      return reference::Attention(Slice(used, begin * width, queries * width), Widened(cached.K(s)),
                                  values, scale, queries, keys, batch.heads, batch.kv_heads,
                                  batch.width);
    };
    const auto expected = twin(Widened(cached.V(s)));
    const auto sizes = twin(Absolutes(Widened(cached.V(s))));
    const double weight = WeightError(batch.width, keys);
    // On tiles each weight is rounded once more where it meets its value, but not in their sum.
    const double rounding = on_tiles ? kEpsilonBF16 * 1.01 : 0;
    for (int64_t i = 0; i < queries * width; ++i) {
      const double bound =
          6 * weight + rounding * sizes.out[i] +
          EpsilonOf(dtype) * (std::abs(expected.out[i]) + rounding * sizes.out[i]) * 1.01;
      ASSERT_NEAR(found.out[begin * width + i], expected.out[i], bound)
          << "sequence " << s << ", element " << i;
    }
    for (int64_t i = 0; i < queries * batch.heads; ++i) {
      ASSERT_NEAR(found.logsumexp[begin * batch.heads + i], expected.logsumexp[i],
                  weight + 8 * kEpsilonF32);
    }
  }
}

// Relative errors that a backward starts from.
struct BackwardErrors {
  double weight = 0;   // of p
  double operand = 0;  // of p and ds where they are rounded for a product
  double out = 0;      // of the stored outputs, by the sizes of what they are summed of
  double sum = 0;      // of sums over E
};

// How far off they leave each gradient of the twin, to first order and a little more.
inline reference::AttentionGradients BackwardBounds(const Array& q, const Array& k, const Array& v,
                                                    const Array& d_out, double scale,
                                                    int64_t queries, int64_t keys,
                                                    const Batch& batch,
                                                    const BackwardErrors& errors) {
  const int64_t width = batch.width;
  reference::AttentionGradients bounds{Array(q.size()), Array(k.size()), Array(v.size())};
  for (int64_t row = 0; row < queries * batch.heads; ++row) {
    const int64_t g = row % batch.heads / (batch.heads / batch.kv_heads);
    const int64_t seen = keys - queries + row / batch.heads + 1;
    Array p(seen), d_p(seen), sizes(seen);
    double sum = 0;
    for (int64_t j = 0; j < seen; ++j) {
      const int64_t at = (j * batch.kv_heads + g) * width;
      for (int64_t e = 0; e < width; ++e) {
        p[j] += q[row * width + e] * k[at + e] * scale;
        d_p[j] += d_out[row * width + e] * v[at + e];
        sizes[j] += std::abs(d_out[row * width + e] * v[at + e]);
      }
      p[j] = std::exp(p[j]);
      sum += p[j];
    }
    double delta = 0;
    double delta_size = 0;
    for (int64_t j = 0; j < seen; ++j) {
      p[j] /= sum;
      delta += p[j] * d_p[j];
      delta_size += p[j] * sizes[j];
    }
    const double delta_error = delta_size * (errors.weight + errors.out + errors.sum);
    for (int64_t j = 0; j < seen; ++j) {
      const int64_t at = (j * batch.kv_heads + g) * width;
      const double d_p_error = sizes[j] * errors.sum;
      const double p_error = p[j] * (errors.weight + errors.operand) * 1.02;
      const double ds_error =
          p[j] * scale * 1.02 *
          (std::abs(d_p[j] - delta) * (errors.weight + errors.operand) + d_p_error + delta_error);
      for (int64_t e = 0; e < width; ++e) {
        bounds.d_q[row * width + e] += ds_error * std::abs(k[at + e]);
        bounds.d_k[at + e] += ds_error * std::abs(q[row * width + e]);
        bounds.d_v[at + e] += p_error * std::abs(d_out[row * width + e]);
      }
    }
  }
  return bounds;
}

// Gradients of a batch against the twin; RunBackward's arrays began at 1 and 2.
inline void ExpectBackwardOfTheTwin(const Batch& batch, const CachedBatch& cached,
                                    const std::vector<float>& q, const std::vector<float>& d_out,
                                    const Gradients& found, DType dtype, bool on_tiles) {
  const int64_t width = batch.heads * batch.width;
  const int64_t kv = batch.kv_heads * batch.width;
  const double scale = 1 / std::sqrt(static_cast<float>(batch.width));
  const DType operands = on_tiles ? DType::kBF16 : DType::kF32;
  Array d_keys(found.d_keys.size(), 1.0);
  Array d_values(found.d_values.size(), 2.0);
  Array key_bounds(d_keys.size(), kEpsilonF32);
  Array value_bounds(d_keys.size(), 2 * kEpsilonF32);
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const auto& [queries, keys] = batch.sequences[s];
    const int64_t begin = cached.Sequences()[s].query_begin;
    const Array used_q = Slice(Rounded(q, operands), begin * width, queries * width);
    const Array used_d = Slice(Rounded(d_out, operands), begin * width, queries * width);
    const Array k = Widened(cached.K(s));
    const Array v = Widened(cached.V(s));
    const auto expected = reference::AttentionBackward(used_q, k, v, used_d, scale, queries, keys,
                                                       batch.heads, batch.kv_heads, batch.width);
    // The logsumexp's error joins the weights'; sums over queries and keys are rounded as often as
    // they have terms. On tiles the outputs have the rounding of their weights too.
    BackwardErrors errors;
    errors.weight = 2 * WeightError(batch.width, keys) +
                    static_cast<double>(keys + queries * batch.heads + 20) * kEpsilonF32;
    errors.operand = on_tiles ? kEpsilonBF16 : 0;
    errors.out = EpsilonOf(dtype) + errors.operand;
    errors.sum = static_cast<double>(batch.width + 5) * kEpsilonF32;
    const auto bounds = BackwardBounds(used_q, k, v, used_d, scale, queries, keys, batch, errors);
    for (int64_t i = 0; i < queries * width; ++i) {
      ASSERT_NEAR(found.d_q[begin * width + i], expected.d_q[i], bounds.d_q[i] + 1e-30)
          << "sequence " << s << ", element " << i;
    }
    for (int64_t t = 0; t < keys; ++t) {
      for (int64_t i = 0; i < kv; ++i) {
        const int64_t to = cached.Slot(s, t) * kv + i;
        d_keys[to] += expected.d_k[t * kv + i];
        d_values[to] += expected.d_v[t * kv + i];
        key_bounds[to] += bounds.d_k[t * kv + i] + kEpsilonF32 * std::abs(d_keys[to]);
        value_bounds[to] += bounds.d_v[t * kv + i] + kEpsilonF32 * std::abs(d_values[to]);
      }
    }
  }
  ExpectNear(found.d_keys, d_keys, key_bounds);
  ExpectNear(found.d_values, d_values, value_bounds);
}

}  // namespace ponder::kernels
