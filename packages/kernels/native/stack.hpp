#pragma once
#include <cstdint>

#include "status.hpp"

namespace lamina {

// Factors of one module, block after block: a holds the rows of every A_k (r_k, n), b every B_k (m, r_k) whole. They go
// into rows and columns `at` .. at + R - 1 of out_a (total, n) and out_b (m, total), A_k times its scale, rounded once. out_a may be a
// itself where `at` is 0.
// Shared out over threads; the same bits on any number of them.
struct StackF32 {
  long m, n;
  const int32_t* ranks;
  const double* scales;
  long blocks;
  const float *a, *b;
  long at, total;
  float *out_a, *out_b;
  // (kProbes, n) of +-1, or null; then energies (2 kProbes) gets ||B A z||^2 of every z, then ||B E z||^2 with E what
  // rounding did to A.
  const float* signs;
  double* energies;
};
Status stack(const StackF32& stack);

// The first index of x that is infinite or NaN, or -1.
long first_not_finite(const float* x, long count);

void copy_floats(const float* x, long count, float* y);

}  // namespace lamina
