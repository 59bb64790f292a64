#pragma once

namespace lamina {

// Measured arithmetic peaks of the machine now, GFLOP/s over `threads` threads; 0 where the unit is missing. About 0.1
// s each.
struct Peak {
  double f32_fma = 0, bf16_dot = 0, bf16_amx = 0, int8_dot = 0;
};
Peak measure_peak(int threads);

}  // namespace lamina
