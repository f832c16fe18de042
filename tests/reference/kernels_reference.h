#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/dtype.h"

// Plain twins of the kernels in double precision, on row-major arrays without padding. Shapes are
// named as in kernels/backend.h.
namespace ponder::reference {

using Array = std::vector<double>;

// y [N, O] = x [N, I] w^T + bias, w [O, I]; bias may be empty.
inline Array Linear(const Array& x, const Array& w, const Array& bias, int64_t rows,
                    int64_t outputs, int64_t inputs) {
  Array y(rows * outputs);
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (int64_t i = 0; i < inputs; ++i) sum += x[n * inputs + i] * w[o * inputs + i];
      y[n * outputs + o] = sum;
    }
  }
  return y;
}

// [rows, columns] to [columns, rows].
inline Array Transpose(const Array& a, int64_t rows, int64_t columns) {
  Array t(a.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

inline Array RmsNorm(const Array& x, const Array& weight, double epsilon, int64_t rows) {
  const int64_t width = static_cast<int64_t>(weight.size());
  Array y(x.size());
  for (int64_t n = 0; n < rows; ++n) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += x[n * width + i] * x[n * width + i];
    const double inverse = 1 / std::sqrt(sum / static_cast<double>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) y[n * width + i] = x[n * width + i] * inverse * weight[i];
  }
  return y;
}

inline Array SwiGlu(const Array& gate_up, int64_t rows, int64_t width) {
  Array y(rows * width);
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t i = 0; i < width; ++i) {
      const double gate = gate_up[n * 2 * width + i];
      y[n * width + i] = gate / (1 + std::exp(-gate)) * gate_up[n * 2 * width + width + i];
    }
  }
  return y;
}

// One head [E]: norm where `norm` is not empty, then rotation by the angles of `position`.
inline Array NormRotate(const Array& x, const Array& norm, double epsilon, const Array& cos_sin,
                        int64_t position) {
  const int64_t width = static_cast<int64_t>(x.size());
  const Array n = norm.empty() ? x : RmsNorm(x, norm, epsilon, 1);
  Array y(width);
  for (int64_t i = 0; i < width / 2; ++i) {
    const double cos = cos_sin[position * width + i];
    const double sin = cos_sin[position * width + width / 2 + i];
    y[i] = n[i] * cos - n[width / 2 + i] * sin;
    y[width / 2 + i] = n[width / 2 + i] * cos + n[i] * sin;
  }
  return y;
}

// Attention of one sequence: q [T, H, E] for the last T of S positions; k, v [S, K, E].
struct AttentionResult {
  Array out;        // [T, H, E]
  Array logsumexp;  // [T, H]
};
inline AttentionResult Attention(const Array& q, const Array& k, const Array& v, double scale,
                                 int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads,
                                 int64_t width) {
  AttentionResult result{Array(queries * heads * width), Array(queries * heads)};
  for (int64_t t = 0; t < queries; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = h / (heads / kv_heads);
      const int64_t seen = keys - queries + t + 1;
      Array s(seen);
      double max = -INFINITY;
      for (int64_t j = 0; j < seen; ++j) {
        for (int64_t e = 0; e < width; ++e)
          s[j] += q[(t * heads + h) * width + e] * k[(j * kv_heads + g) * width + e];
        s[j] *= scale;
        max = std::max(max, s[j]);
      }
      double sum = 0;
      for (const double score : s) sum += std::exp(score - max);
      result.logsumexp[t * heads + h] = max + std::log(sum);
      for (int64_t j = 0; j < seen; ++j) {
        const double p = std::exp(s[j] - max) / sum;
        for (int64_t e = 0; e < width; ++e) {
          result.out[(t * heads + h) * width + e] += p * v[(j * kv_heads + g) * width + e];
        }
      }
    }
  }
  return result;
}

// Gradients of sum(out * d_out).
struct AttentionGradients {
  Array d_q, d_k, d_v;
};
inline AttentionGradients AttentionBackward(const Array& q, const Array& k, const Array& v,
                                            const Array& d_out, double scale, int64_t queries,
                                            int64_t keys, int64_t heads, int64_t kv_heads,
                                            int64_t width) {
  const AttentionResult forward = Attention(q, k, v, scale, queries, keys, heads, kv_heads, width);
  AttentionGradients d{Array(q.size()), Array(k.size()), Array(v.size())};
  for (int64_t t = 0; t < queries; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = h / (heads / kv_heads);
      const int64_t row = (t * heads + h) * width;
      double delta = 0;
      for (int64_t e = 0; e < width; ++e) delta += forward.out[row + e] * d_out[row + e];
      for (int64_t j = 0; j < keys - queries + t + 1; ++j) {
        const int64_t at = (j * kv_heads + g) * width;
        double s = 0;
        double dp = 0;
        for (int64_t e = 0; e < width; ++e) {
          s += q[row + e] * k[at + e];
          dp += d_out[row + e] * v[at + e];
        }
        const double p = std::exp(s * scale - forward.logsumexp[t * heads + h]);
        const double ds = p * (dp - delta) * scale;
        for (int64_t e = 0; e < width; ++e) {
          d.d_q[row + e] += ds * k[at + e];
          d.d_k[at + e] += ds * q[row + e];
          d.d_v[at + e] += p * d_out[row + e];
        }
      }
    }
  }
  return d;
}

struct LogProbResult {
  double logprob = 0;
  double entropy = 0;
  double logsumexp = 0;
};
inline LogProbResult LogProb(const Array& logits, double inverse_temperature, int64_t target) {
  double max = -INFINITY;
  for (const double logit : logits) max = std::max(max, logit * inverse_temperature);
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit * inverse_temperature - max);
  LogProbResult result;
  result.logsumexp = max + std::log(sum);
  result.logprob = logits[target] * inverse_temperature - result.logsumexp;
  for (const double logit : logits) {
    const double logp = logit * inverse_temperature - result.logsumexp;
    result.entropy -= std::exp(logp) * logp;
  }
  return result;
}

// Central differences of a scalar function at x.
template <typename Function>
Array FiniteDifferences(Function f, Array x, double step = 1e-5) {
  Array gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = f(x);
    x[i] = at - step;
    const double below = f(x);
    x[i] = at;
    gradient[i] = (above - below) / (2 * step);
  }
  return gradient;
}

}  // namespace ponder::reference
