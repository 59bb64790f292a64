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

// What one client sent of one module, and where it goes: its rows of A times the scale, rounded once, and its B as it
// is. `sums` (rank, 2 kProbes) gets of every row what its probes come to, for `interleave`.
struct TakenF32 {
  long m, n, rank;
  double scale;
  const float *a, *b;
  float *out_a, *out_b;
  double* sums;
  const float* signs;  // (kProbes, n) of +-1
};

constexpr long kTaken = 4;

// At most kTaken of them side by side; `finite` says of which every value of A and B is finite. The others are written
// all the same.
Status take_factors(const TakenF32* list, long count, int32_t* finite);

// The columns alone of a stack whose A is in place: b into out_b (m, R), with the energies from the `sums` of all rows.
Status interleave(const StackF32& stack, const double* sums);

// The first index of x that is infinite or NaN, or -1.
long first_not_finite(const float* x, long count);

void copy_floats(const float* x, long count, float* y);

}  // namespace lamina
