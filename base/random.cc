#include "base/random.h"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "base/check.h"

namespace ponder {

uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) {
    hash ^= c;
    hash *= 0x100000001b3u;
  }
  return hash;
}

RandomKey MakeRandomKey(uint64_t seed, std::string_view purpose) {
  return {seed, StableHash(purpose)};
}

uint64_t RandomBits(RandomKey key, uint64_t a, uint64_t b) {
  // The seed is the cipher's key; the stream is folded into the counter's upper half together with
  // `a`, which two rounds of the cipher keep apart: first (a, stream) is mixed under the seed, then
  // the result keys the draw of b.
  using Philox = r123::Philox2x64;
  const Philox::ctr_type mixed = Philox()({{a, key.stream}}, {{key.seed}});
  const Philox::ctr_type drawn = Philox()({{b, mixed[1]}}, {{mixed[0]}});
  return drawn[0];
}

double RandomUniform(RandomKey key, uint64_t a, uint64_t b) {
  return static_cast<double>(RandomBits(key, a, b) >> 11) * 0x1.0p-53;
}

double SamplingUniform(uint64_t run_seed, std::string_view task_id, int64_t sample_index,
                       int64_t position) {
  const RandomKey key{run_seed, StableHash(task_id)};
  return RandomUniform(key, static_cast<uint64_t>(sample_index), static_cast<uint64_t>(position));
}

int64_t RandomStream::Between(int64_t low, int64_t high) {
  PONDER_CHECK(low <= high);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (range == 0) return static_cast<int64_t>(Bits());
  // Multiply-shift: the bias is below range / 2^64.
  const auto wide = static_cast<unsigned __int128>(Bits()) * range;
  return static_cast<int64_t>(static_cast<uint64_t>(low) + static_cast<uint64_t>(wide >> 64));
}

double RandomStream::Normal() {
  const double u = 1.0 - Uniform();  // in (0, 1]
  const double v = Uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<int64_t> RandomPermutation(RandomKey key, uint64_t a, int64_t n) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  RandomStream stream(key, a);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[stream.Between(0, i)]);
  return order;
}

}  // namespace ponder
