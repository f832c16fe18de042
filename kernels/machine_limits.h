#pragma once

namespace ponder::kernels {

// What the hardware can do at most, at this moment: the limits beside which a benchmark's figures
// stand. Machines that others use too change from minute to minute, so probe beside each figure.
struct MachineLimits {
  double f32_flops = 0;   // multiply-adds count twice; all threads, a second
  double bf16_flops = 0;  // of bf16 products summed in fp32, with the backend's instructions
  double read_bytes = 0;  // from memory beyond the caches, a second
};

}  // namespace ponder::kernels
