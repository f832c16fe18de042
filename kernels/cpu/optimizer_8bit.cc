#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/optimizer.h"
#include "kernels/moment_codes.h"

namespace ponder::kernels::cpu {
namespace {

// Finds the code that is nearest to a magnitude in [0, 1]: by the leading bits of the float, of
// which no value but the last is told apart from its neighbour, then by one comparison.
class NearestMagnitude {
 public:
  explicit NearestMagnitude(MomentSign sign) : zero_(ZeroMoment(sign)) {
    const MomentMap map = MakeMomentMap(sign);
    const int count = kMomentCodes - zero_;
    std::ranges::fill(boundaries_, std::numeric_limits<float>::infinity());
    for (int i = 0; i + 1 < count; ++i)
      boundaries_[i] = (map.values[zero_ + i] + map.values[zero_ + i + 1]) / 2;
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
      const float least = bucket == 0 ? 0 : std::bit_cast<float>((kFirst + bucket) << kDropped);
      starts_[bucket] = static_cast<uint8_t>(
          std::lower_bound(boundaries_, boundaries_ + count - 1, least) - boundaries_);
    }
  }

  // The code's distance from the code of 0.
  int operator()(float magnitude) const {
    const uint32_t bits = std::bit_cast<uint32_t>(magnitude) >> kDropped;
    const uint32_t bucket = bits < kFirst ? 0 : std::min(bits - kFirst, kBuckets - 1);
    const int start = starts_[bucket];
    return start + (magnitude > boundaries_[start]);
  }

 private:
  static constexpr int kDropped = 16;                  // bits, which leaves seven of the fraction
  static constexpr uint32_t kFirst = 103 << 7;         // 2^-24, below all boundaries
  static constexpr uint32_t kBuckets = (24 << 7) + 1;  // up to 1

  int zero_;
  float boundaries_[kMomentCodes];
  uint8_t starts_[kBuckets];
};

// Moments of up to a block, as floats.
struct Block {
  float first[kMomentBlock];
  float second[kMomentBlock];
};

// What a block's moments are shares of; NaN where one of them is not finite.
float ScaleOf(const float* values, int64_t count) {
  float most = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    most = std::max(most, std::abs(values[i]));
    finite = finite && std::isfinite(values[i]);
  }
  return finite ? most : std::numeric_limits<float>::quiet_NaN();
}

void Encode(const Block& block, int64_t count, const AdamWArgs& args, int64_t at) {
  static const NearestMagnitude first_codes(MomentSign::kEither);
  static const NearestMagnitude second_codes(MomentSign::kPositive);
  constexpr int kZero = ZeroMoment(MomentSign::kEither);
  const float first_scale = ScaleOf(block.first, count);
  const float second_scale = ScaleOf(block.second, count);
  args.first_scales[at / kMomentBlock] = first_scale;
  args.second_scales[at / kMomentBlock] = second_scale;
  for (int64_t i = 0; i < count; ++i) {
    const float m = first_scale == 0 ? 0 : block.first[i] / first_scale;
    // There is no -1.
    args.first_codes[at + i] = static_cast<uint8_t>(
        std::signbit(m) ? kZero - std::min(first_codes(-m), kZero) : kZero + first_codes(m));
    const float v = second_scale == 0 ? 0 : block.second[i] / second_scale;
    // Else an element whose next gradient is tiny would go far by its first moment.
    args.second_codes[at + i] =
        static_cast<uint8_t>(std::max<int>(second_codes(v), block.second[i] > 0));
  }
}

void UpdateBlock(const AdamWArgs& args, const AdamWFactors& factors, int64_t at, int64_t count) {
  static const MomentMap first_map = MakeMomentMap(MomentSign::kEither);
  static const MomentMap second_map = MakeMomentMap(MomentSign::kPositive);
  const float first_scale = args.first_scales[at / kMomentBlock];
  const float second_scale = args.second_scales[at / kMomentBlock];
  Block block;
  for (int64_t i = 0; i < count; ++i) {
    block.first[i] = first_map.values[args.first_codes[at + i]] * first_scale;
    block.second[i] = second_map.values[args.second_codes[at + i]] * second_scale;
  }
  for (int64_t i = 0; i < count; ++i) {
    const float g = args.gradient[at + i] * args.gradient_scale;
    const float m = args.beta1 * block.first[i] + (1.0f - args.beta1) * g;
    const float v = args.beta2 * block.second[i] + (1.0f - args.beta2) * g * g;
    const float master = args.master[at + i];
    const float update =
        m * factors.first_correction / (std::sqrt(v * factors.second_correction) + args.epsilon) +
        args.weight_decay * master;
    args.master[at + i] = master - args.learning_rate * update;
    block.first[i] = m;
    block.second[i] = v;
  }
  Encode(block, count, args, at);
}

}  // namespace

void AdamW8Bit(const CpuContext& context, const AdamWArgs& args, const AdamWFactors& factors) {
  const int64_t count = args.rows * args.columns;
  constexpr int64_t kRun = 64 * kMomentBlock;  // elements between two looks for work
  context.pool.ParallelFor((count + kRun - 1) / kRun, [&](int64_t run) {
    const int64_t end = std::min((run + 1) * kRun, count);
    for (int64_t at = run * kRun; at < end; at += kMomentBlock)
      UpdateBlock(args, factors, at, std::min(kMomentBlock, end - at));
  });
  if (args.working.data != nullptr) Pack(context, args.master, args.working);
}

}  // namespace ponder::kernels::cpu
