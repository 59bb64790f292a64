#pragma once
#include <memory>
#include <new>

namespace lamina {

// Dense products in f64, shared out over threads; sums run in an order that only the shapes decide. Both answer false
// when the system has no memory, and the output is undefined then.

// C (m, n) += alpha * A (m, k) * B (k, n), B and C row-major; element (i, k) of A lies at a[i * a_row + k * a_col], so
// that A may be a transpose.
struct ProductF64 {
  const double* a;
  long a_row, a_col;
  const double* b;
  long ldb;
  double* c;
  long ldc;
  long m, n, k;
  double alpha;
};
bool add_product(const ProductF64& product);

// C (m, n) += B (m, k) * (scale * A (k, n)), all row-major: what add_product makes of the factors in f64. Each C comes
// once in a list.
struct FactorsF64 {
  const float *a, *b;
  double* c;
  long m, n, k;
  double scale;
};
constexpr long kFactors = 24;  // in a list
bool add_factors(const FactorsF64* list, long count);

// out (x_rows, v_rows) = X (x_rows, length) * V (v_rows, length)^T, all row-major.
struct DotsF64 {
  const double* x;
  long ldx, x_rows;
  const double* v;
  long ldv, v_rows;
  long length;
  double* out;
  long ldo;
};
bool row_dots(const DotsF64& dots);

// Working memory of one call, contents undefined; null when the system has none.
using Doubles = std::unique_ptr<double[]>;
inline Doubles doubles(long count) { return Doubles(new (std::nothrow) double[static_cast<size_t>(count)]); }

// A distance between rows of `cols` doubles at which rows spread over the sets of a cache: 33 lines of 64 bytes past a
// multiple of 4 KiB, where a row of 4096 doubles would meet all others in the same sets.
inline long spread(long cols) { return cols < 512 ? (cols + 7) / 8 * 8 : (cols + 511) / 512 * 512 + 264; }

}  // namespace lamina
