#include "product_f64.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// A strip of B, kDepth x kStrip, is packed once and stays in the second-level cache (256 KiB); a tile of A and a panel
// of B, 14 + 16 KiB, in the first.
constexpr long kDepth = 128, kStrip = 256, kRows = 512;

// Length of one piece of a dot product of rows: a tile's rows of it stay in the first-level cache.
constexpr long kPiece = 256;
// Pieces are summed apart, by other tasks, where the output is small.
constexpr long kSpan = 512, kSpanOutputs = 65536, kDotRows = 32;

// Elements of factors that one thread multiplies out by itself.
constexpr long kSmall = 65536;

// C (m, n) += alpha * A * (scale * B), the factors as in ProductF64 but of f64 or f32.
template <typename T>
struct Product {
  const T* a;
  long a_row, a_col;
  const T* b;
  long ldb;
  double scale;
  double* c;
  long ldc;
  long m, n, k;
  double alpha;
};

template <typename T>
void pack_strip(const Product<T>& p, long nr, long k0, long depth, long first, long cols, double* packed) {
  for (long k = 0; k < depth; k++) {
    const T* row = p.b + (k0 + k) * p.ldb + first;
    for (long j = 0; j < cols; j += nr) {
      double* to = packed + j * depth + k * nr;
      const long count = std::min(nr, cols - j);
      if constexpr (std::is_same_v<T, double>)
        memcpy(to, row + j, static_cast<size_t>(count) * sizeof(double));
      else
        for (long i = 0; i < count; i++) to[i] = p.scale * static_cast<double>(row[j + i]);
      for (long rest = count; rest < nr; rest++) to[rest] = 0;
    }
  }
}

template <typename T>
void pack_rows(const Product<T>& p, long mr, long k0, long depth, long first, long rows, double* packed) {
  // what is written follows itself: to write one row after another would touch every line of the panel mr times
  for (long k = 0; k < depth; k++) {
    const T* from = p.a + first * p.a_row + (k0 + k) * p.a_col;
    for (long i = 0; i < rows; i++) packed[k * mr + i] = static_cast<double>(from[i * p.a_row]);
  }
}

template <typename T>
bool add(const Product<T>& p) {
  if (p.m == 0 || p.n == 0 || p.k == 0) return true;
  const F64Set& set = isa().kernels->f64;
  const long strip_doubles = kDepth * (kStrip + set.nr), per_slot = strip_doubles + kDepth * set.mr;
  double* const memory = scratch_doubles(Scratch::f64_pack, static_cast<size_t>(per_slot * threads()));
  if (!memory) return false;
  const long strips = (p.n + kStrip - 1) / kStrip, blocks = (p.m + kRows - 1) / kRows;
  parallel(strips * blocks, [&](long task, int slot) {
    double* const strip = memory + slot * per_slot;
    double* const rows_packed = strip + strip_doubles;
    const long col = task % strips * kStrip, cols = std::min(kStrip, p.n - col);
    const long row = task / strips * kRows, end = std::min(row + kRows, p.m);
    for (long k0 = 0; k0 < p.k; k0 += kDepth) {
      const long depth = std::min(kDepth, p.k - k0);
      pack_strip(p, set.nr, k0, depth, col, cols, strip);
      for (long i = row; i < end; i += set.mr) {
        const long rows = std::min<long>(set.mr, end - i);
        pack_rows(p, set.mr, k0, depth, i, rows, rows_packed);
        for (long j = 0; j < cols; j += set.nr)
          set.tile(static_cast<int>(rows), std::min<long>(set.nr, cols - j), depth, rows_packed, strip + j * depth,
                   p.alpha, p.c + i * p.ldc + col + j, p.ldc);
      }
    }
  });
  return true;
}

}  // namespace

bool add_product(const ProductF64& p) {
  return add<double>({p.a, p.a_row, p.a_col, p.b, p.ldb, 1, p.c, p.ldc, p.m, p.n, p.k, p.alpha});
}

bool add_factors(const FactorsF64* list, long count) {
  std::atomic<bool> done{true};
  const auto one = [&](const FactorsF64& f) {
    if (!add<float>({f.b, f.k, 1, f.a, f.n, f.scale, f.c, f.n, f.m, f.n, f.k, 1})) done = false;
  };
  // small ones side by side, a large one by all threads
  long small[kFactors], smalls = 0;
  for (long i = 0; i < count; i++)
    if (list[i].k * (list[i].m + list[i].n) <= kSmall) small[smalls++] = i;
    else one(list[i]);
  parallel(smalls, [&](long task, int) { one(list[small[task]]); });
  return done;
}

bool row_dots(const DotsF64& d) {
  const F64Set& set = isa().kernels->f64;
  const long outputs = d.x_rows * d.v_rows;
  const auto clear = [&](double* out, long ldo, long rows) {
    for (long i = 0; i < rows; i++) memset(out + i * ldo, 0, static_cast<size_t>(d.v_rows) * sizeof(double));
  };
  const auto sum = [&](long row, long first, long end, double* out, long ldo) {
    const long rows = std::min(kDotRows, d.x_rows - row);
    clear(out, ldo, rows);
    for (long k = first; k < end; k += kPiece)
      set.dots(d.x + row * d.ldx + k, d.ldx, rows, d.v + k, d.ldv, d.v_rows, std::min(kPiece, end - k), out, ldo);
  };
  const long blocks = (d.x_rows + kDotRows - 1) / kDotRows;
  const long spans = outputs > kSpanOutputs ? 1 : std::max<long>(1, (d.length + kSpan - 1) / kSpan);
  if (spans == 1) {
    parallel(blocks, [&](long block, int) {
      sum(block * kDotRows, 0, d.length, d.out + block * kDotRows * d.ldo, d.ldo);
    });
    return true;
  }
  double* const partial = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(spans * outputs));
  if (!partial) return false;
  parallel(spans * blocks, [&](long task, int) {
    const long span = task / blocks, row = task % blocks * kDotRows, first = span * kSpan;
    sum(row, first, std::min(first + kSpan, d.length), partial + span * outputs + row * d.v_rows, d.v_rows);
  });
  clear(d.out, d.ldo, d.x_rows);
  for (long span = 0; span < spans; span++)
    for (long i = 0; i < d.x_rows; i++)
      set.axpy(1, partial + span * outputs + i * d.v_rows, d.out + i * d.ldo, d.v_rows);
  return true;
}

}  // namespace lamina
