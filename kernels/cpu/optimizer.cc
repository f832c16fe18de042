#include "kernels/cpu/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace ponder::kernels::cpu {
namespace {

constexpr int64_t kNormRun = 1 << 16;  // elements whose squares are summed by themselves

}  // namespace

void AdamW(const CpuContext& context, const AdamWArgs& args) {
  PONDER_CHECK(args.rows >= 0 && args.columns >= 0 && args.step >= 1);
  if (args.rows == 0 || args.columns == 0) return;
  const bool is_8bit = args.first_codes != nullptr;
  PONDER_CHECK(args.master != nullptr && args.gradient != nullptr);
  PONDER_CHECK(is_8bit ? args.second_codes != nullptr && args.first_scales != nullptr &&
                             args.second_scales != nullptr
                       : args.first_moment != nullptr && args.second_moment != nullptr);
  if (args.working.data != nullptr) {
    PONDER_CHECK(args.working.outputs == args.rows && args.working.inputs == args.columns);
  }
  const double step = static_cast<double>(args.step);
  const AdamWFactors factors = {
      .first_correction =
          static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta1), step))),
      .second_correction =
          static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(args.beta2), step)))};
  if (is_8bit) return AdamW8Bit(context, args, factors);
  ParallelRuns(context.pool, args.rows, kPanelOutputs, [&](int64_t begin, int64_t end) {
    context.primitives.adamw(args, factors, begin, end);
  });
}

void Pack(const CpuContext& context, const float* source, const PackedMatrix& target) {
  PONDER_CHECK(source != nullptr && target.data != nullptr && target.outputs > 0 &&
               target.inputs > 0);
  context.pool.ParallelFor(Panels(target.outputs), [&](int64_t panel) {
    context.primitives.pack_panel(source, target, panel);
  });
}

void Unpack(const CpuContext& context, const PackedMatrix& source, float* target) {
  PONDER_CHECK(target != nullptr && source.data != nullptr && source.outputs > 0 &&
               source.inputs > 0);
  context.pool.ParallelFor(Panels(source.outputs), [&](int64_t panel) {
    context.primitives.unpack_panel(source, target, panel);
  });
}

double SquaredNorm(const CpuContext& context, const float* values, int64_t count) {
  PONDER_CHECK(count >= 0 && (count == 0 || values != nullptr));
  std::vector<double> sums((count + kNormRun - 1) / kNormRun);
  context.pool.ParallelFor(static_cast<int64_t>(sums.size()), [&](int64_t i) {
    sums[i] = context.primitives.squared_norm(values + i * kNormRun,
                                              std::min(kNormRun, count - i * kNormRun));
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace ponder::kernels::cpu
