#pragma once
#include <cstdint>

#include "status.hpp"

namespace lamina {

// Factors of one module, block after block: a holds the rows of every A_k (r_k, n), b every B_k (m, r_k) whole. They go
// into rows and columns `at` .. at + R - 1 of out_a (total, n) and out_b (m, total), A_k times its scale, rounded once.
// out_a may be a itself where `at` is 0.
// Shared out over threads; the same bits on any number of them.
struct StackF32 {
  long m, n;
  const int32_t* ranks;
  const double* scales;
  long blocks;
  const float *a, *b;
  long at, total;
  float *out_a, *out_b;
  // (n) of +-1, or null; then energies (2 kProbes) gets ||B A z||^2 of every probe z (kernels.hpp), then ||B E z||^2
  // with E what rounding did to A.
  const float* signs;
  double* energies;
};
Status stack(const StackF32& stack);

constexpr long kTaken = 4;         // modules of one call
constexpr long kTakenBlocks = 16;  // clients of one call

// What some clients sent of one module, which goes behind the `at` ranks that are there: as StackF32, but every A_k and
// B_k lies by itself. The products of B with what the probes make of A and of its rounding, (m, 2 kProbes) each:
// `before` those of the ranks that are there (null: there are none), `after` gets those with the new ranks.
struct TakenF32 {
  long m, n, blocks;
  const int32_t* ranks;
  const double* scales;
  const float* a[kTakenBlocks];
  const float* b[kTakenBlocks];
  long at, total;
  float *out_a, *out_b;
  const float* signs;
  const float* before;
  float* after;
};

// At most kTaken modules side by side; `finite` says of which every value is finite. The others are written all the
// same. The same bits for any grouping of the same clients, in one call or several.
Status take_factors(const TakenF32* list, long count, int32_t* finite);

// The energies of a stack of `rank` from its products (m, 2 kProbes), to the bit what `stack` makes of all at once.
Status product_energies(long m, long rank, const float* products, double* energies);

}  // namespace lamina
