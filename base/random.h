#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ponder {

// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a value is a pure function of
// its key and counter, so any sample can be drawn again in any order. Two streams with different
// names never meet.

// The key of a stream: a run seed and what the numbers are for.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
};

// FNV-1a, 64 bit; stable over builds and machines.
uint64_t StableHash(std::string_view text);

RandomKey MakeRandomKey(uint64_t seed, std::string_view purpose);

// 64 random bits for (key, a, b).
uint64_t RandomBits(RandomKey key, uint64_t a, uint64_t b = 0);

// Uniform in [0, 1), 53 bits.
double RandomUniform(RandomKey key, uint64_t a, uint64_t b = 0);

// The number that picks token `position` of sample `sample_index` of a task; DESIGN promise
// "Replayable".
double SamplingUniform(uint64_t run_seed, std::string_view task_id, int64_t sample_index,
                       int64_t position);

// A sequence of draws from one key: for generators that need "the next" number. Not thread-safe.
class RandomStream {
 public:
  explicit RandomStream(RandomKey key, uint64_t a = 0) : key_(key), a_(a) {}
  uint64_t Bits() { return RandomBits(key_, a_, counter_++); }
  double Uniform() { return RandomUniform(key_, a_, counter_++); }
  // Uniform in [low, high], both included; requires low <= high.
  int64_t Between(int64_t low, int64_t high);
  // Standard normal (Box-Muller).
  double Normal();

 private:
  RandomKey key_;
  uint64_t a_;
  uint64_t counter_ = 0;
};

// A permutation of 0 ... n-1 (Fisher-Yates).
std::vector<int64_t> RandomPermutation(RandomKey key, uint64_t a, int64_t n);

}  // namespace ponder
