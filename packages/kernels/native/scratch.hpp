#pragma once
#include <cstddef>

namespace lamina {

// One buffer per purpose and calling thread, kept between calls: fresh pages cost more than the work of a small op.
enum class Scratch {
  pack_a,
  pack_b,
  hidden,
  hidden_global,
  grad_hidden,
  factor_sums,
  dropped,
  transposed,
  branch,
  logits,
  softmax,
  shifts,
  row_stats,
  attention,
  attention_partial,
  attention_packed,
  attention_blocks,
  calibration,
  f64_pack,
  f64_partial,
  count
};

// At least `bytes` bytes, 64-byte aligned, contents undefined; valid until the same thread asks for the same purpose
// again. nullptr when the system has no memory.
void* scratch(Scratch purpose, size_t bytes);

inline float* scratch_floats(Scratch purpose, size_t count) {
  return static_cast<float*>(scratch(purpose, count * sizeof(float)));
}

inline double* scratch_doubles(Scratch purpose, size_t count) {
  return static_cast<double*>(scratch(purpose, count * sizeof(double)));
}

}  // namespace lamina
