#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "model/config.h"

namespace ponder {
namespace {

// Angles a position, [E/2]. Rounded to fp32 where transformers rounds: at position 30000 an angle's
// last fp32 digit is 0.002 rad, so the rounding is part of the model.
std::vector<float> Frequencies(const RopeConfig& rope, int64_t head_width) {
  const int64_t half = head_width / 2;
  std::vector<float> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_width);
    frequencies[i] = 1.0f / static_cast<float>(std::pow(rope.theta, static_cast<double>(exponent)));
  }
  return frequencies;
}

// Long waves are stretched by `factor`, short ones kept, those between blended (Llama 3.1).
void ScaleLlama3(const RopeConfig& rope, std::vector<float>& frequencies) {
  const double original = static_cast<double>(rope.original_max_positions);
  const float longest = static_cast<float>(original / rope.low_frequency_factor);
  const float shortest = static_cast<float>(original / rope.high_frequency_factor);
  const float factor = static_cast<float>(rope.factor);
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength > longest) {
      frequency /= factor;
    } else if (wavelength >= shortest) {
      const float smooth =
          (static_cast<float>(original) / wavelength -
           static_cast<float>(rope.low_frequency_factor)) /
          static_cast<float>(rope.high_frequency_factor - rope.low_frequency_factor);
      frequency = (1 - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

// YaRN (Peng et al. 2023): dimensions that turn more than beta_fast times within the original
// context are kept, those that turn less than beta_slow times are stretched, a linear ramp lies
// between.
void ScaleYarn(const RopeConfig& rope, int64_t head_width, std::vector<float>& frequencies) {
  const auto dimension_of = [&](double turns) {
    return static_cast<double>(head_width) *
           std::log(static_cast<double>(rope.original_max_positions) /
                    (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.round_ramp) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_width - 1));
  if (low == high) high += 0.001;
  const float span = static_cast<float>(high - low);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / span, 0.0f, 1.0f);
    const float kept = 1 - ramp;
    const float period = 1.0f / frequencies[i];
    const float stretched = 1.0f / (static_cast<float>(rope.factor) * period);
    frequencies[i] = stretched * (1 - kept) + frequencies[i] * kept;
  }
}

}  // namespace

std::vector<float> RopeTable(const ModelConfig& config, int64_t positions) {
  const RopeConfig& rope = config.rope;
  PONDER_CHECK(positions >= 0 && config.head_width >= 2 && config.head_width % 2 == 0);
  std::vector<float> frequencies = Frequencies(rope, config.head_width);
  float scale = 1;
  switch (rope.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      for (float& frequency : frequencies) frequency /= static_cast<float>(rope.factor);
      break;
    case RopeScaling::kLlama3:
      ScaleLlama3(rope, frequencies);
      break;
    case RopeScaling::kYarn:
      ScaleYarn(rope, config.head_width, frequencies);
      scale = static_cast<float>(rope.attention_factor != 0
                                     ? rope.attention_factor
                                     : 0.1 * std::log(std::max(rope.factor, 1.0)) + 1);
      break;
  }
  const int64_t half = config.head_width / 2;
  std::vector<float> table(static_cast<size_t>(positions * config.head_width));
  for (int64_t position = 0; position < positions; ++position) {
    float* row = table.data() + position * config.head_width;
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * scale;
      row[half + i] = static_cast<float>(std::sin(static_cast<double>(angle))) * scale;
    }
  }
  return table;
}

}  // namespace ponder
