// Householder's QR by halves: a block of vectors is factored in two halves, the first applied to the second as one
// product (Elmroth & Gustavson 2000, "Applying recursion to serial and parallel QR factorization leads to better
// performance"). It is as stable as one reflection after another, and all but the last few vectors' work is products
// of matrices. Vectors are rows, because rows are contiguous.
#include "householder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "isa.hpp"
#include "product_f64.hpp"

namespace lamina {
namespace {

// Vectors factored one by one: 8 of 4096 doubles lie in the second-level cache.
constexpr long kPanel = 8;

long half(long count) { return (count / 2 + kPanel - 1) / kPanel * kPanel; }

// T of rows first..last-1 in the panel, from its diagonal: column j is -beta_j T (V u_j).
void couple_panel(const Reflections& q, long first, long last) {
  const F64Set& set = isa().kernels->f64;
  for (long j = first; j < last; j++) {
    const long from = q.lead + j;
    double dots[kPanel];
    for (long i = first; i < j; i++)
      dots[i - first] = set.dot(q.v + i * q.ld + from, q.v + j * q.ld + from, q.length - from);
    const double beta = q.t[j * q.count + j];
    for (long i = first; i < j; i++) {
      double sum = 0;
      for (long k = i; k < j; k++) sum += q.t[i * q.count + k] * dots[k - first];
      q.t[i * q.count + j] = -beta * sum;
    }
  }
}

// The corner of T between two halves that have theirs: -T_1 (V_1 V_2^T) T_2.
bool couple_halves(const Reflections& q, long first, long mid, long last, double* work) {
  const long upper = mid - first, lower = last - mid, from = q.lead + mid, n = q.count;
  double* const crossed = work;
  double* const turned = work + upper * lower;
  if (!row_dots({q.v + first * q.ld + from, q.ld, upper, q.v + mid * q.ld + from, q.ld, lower, q.length - from, crossed,
                 lower}))
    return false;
  memset(turned, 0, static_cast<size_t>(upper * lower) * sizeof(double));
  double* const corner = q.t + first * n + mid;
  for (long i = 0; i < upper; i++) memset(corner + i * n, 0, static_cast<size_t>(lower) * sizeof(double));
  return add_product({crossed, lower, 1, q.t + mid * n + mid, n, turned, lower, upper, lower, lower, 1.0}) &&
         add_product({q.t + first * n + first, n, 1, turned, lower, corner, n, upper, lower, upper, -1.0});
}

bool couple(const Reflections& q, long first, long last, double* work) {
  if (last - first <= kPanel) {
    couple_panel(q, first, last);
    return true;
  }
  const long mid = first + half(last - first);
  return couple(q, first, mid, work) && couple(q, mid, last, work) && couple_halves(q, first, mid, last, work);
}

struct Factoring {
  Reflections q;
  long count;  // vectors
  double* triangle;
  double* work;
};

void clear_t(const Reflections& q) {
  memset(q.t, 0, static_cast<size_t>(q.count * q.count) * sizeof(double));
}

// Moves what row i of v holds at columns first..mid-1, finished entries of the triangle, out of it.
void move_to_triangle(const Factoring& f, long i, long first, long mid) {
  double* const row = f.q.v + i * f.q.ld;
  for (long j = first; j < mid; j++) f.triangle[j * f.count + i] = row[j];
  memset(row + first, 0, static_cast<size_t>(mid - first) * sizeof(double));
}

void factor_panel(const Factoring& f, long first, long last) {
  const F64Set& set = isa().kernels->f64;
  const Reflections& q = f.q;
  for (long j = first; j < last; j++) {
    double* const u = q.v + j * q.ld + j;
    const auto [alpha, beta] = make_reflector(u, q.length - j);
    f.triangle[j * f.count + j] = alpha;
    q.t[j * q.count + j] = beta;
    for (long i = j + 1; i < last; i++) {
      double* const x = q.v + i * q.ld + j;
      if (beta != 0) set.axpy(-beta * set.dot(x, u, q.length - j), u, x, q.length - j);
      move_to_triangle(f, i, j, j + 1);
    }
  }
  couple_panel(q, first, last);
}

// Rows from..to-1 of v, each x, become Q^T x for the reflections first..mid-1: x - (x V) T V^T.
bool apply_transposed(const Factoring& f, long first, long mid, long from, long to) {
  const Reflections& q = f.q;
  const long rows = to - from, width = mid - first, length = q.length - first;
  double* const x = q.v + from * q.ld + first;
  double* const v = q.v + first * q.ld + first;
  double* const dots = f.work;
  double* const turned = f.work + rows * width;
  if (!row_dots({x, q.ld, rows, v, q.ld, width, length, dots, width})) return false;
  memset(turned, 0, static_cast<size_t>(rows * width) * sizeof(double));
  if (!add_product(
          {dots, width, 1, q.t + first * q.count + first, q.count, turned, width, rows, width, width, 1.0}) ||
      !add_product({turned, width, 1, v, q.ld, x, q.ld, rows, length, width, -1.0}))
    return false;
  for (long i = from; i < to; i++) move_to_triangle(f, i, first, mid);
  return true;
}

bool factor(const Factoring& f, long first, long last) {
  if (last - first <= kPanel) {
    factor_panel(f, first, last);
    return true;
  }
  const long mid = first + half(last - first);
  return factor(f, first, mid) && apply_transposed(f, first, mid, mid, last) && factor(f, mid, last) &&
         couple_halves(f.q, first, mid, last, f.work);
}

}  // namespace

Reflector make_reflector(double* x, long length) {
  const double tail = isa().kernels->f64.dot(x + 1, x + 1, length - 1), first = x[0];
  if (tail == 0) return {first, 0};
  const double norm = std::sqrt(first * first + tail);
  const double alpha = first > 0 ? -norm : norm;
  x[0] = first - alpha;
  return {alpha, 2 / (x[0] * x[0] + tail)};
}

bool couple_all(const Reflections& q) {
  const Doubles work = doubles(q.count * q.count / 2 + kPanel * q.count);
  return work && couple(q, 0, q.count, work.get());
}

Status qr_of_rows(const QrF64& qr) {
  const long core = std::min(qr.count, qr.length), rest = qr.count - core;
  const Doubles work = doubles(std::max(core * core / 2 + 2 * kPanel * core, 2 * rest * core) + 1);
  if (!work) return Status::out_of_memory;
  for (long i = 0; i < qr.count; i++)
    memcpy(qr.v + i * qr.ld, qr.vectors + i * qr.length, static_cast<size_t>(qr.length) * sizeof(double));
  memset(qr.triangle, 0, static_cast<size_t>(core * qr.count) * sizeof(double));
  const Factoring f{{qr.v, qr.ld, core, qr.length, qr.t}, qr.count, qr.triangle, work.get()};
  clear_t(f.q);
  const bool done = factor(f, 0, core) && (rest == 0 || apply_transposed(f, 0, core, core, qr.count));
  return done ? Status::ok : Status::out_of_memory;
}

Status apply_q(const Reflections& q, const double* coordinates, long rows, double* out) {
  const long core = q.count;
  const Doubles dots = doubles(rows * core + 1), turned = doubles(rows * core + 1);
  if (!dots || !turned) return Status::out_of_memory;
  for (long i = 0; i < rows; i++) {
    memcpy(out + i * q.length, coordinates + i * core, static_cast<size_t>(core) * sizeof(double));
    memset(out + i * q.length + core, 0, static_cast<size_t>(q.length - core) * sizeof(double));
  }
  // x - ((x V) T^T) V^T
  const bool done =
      row_dots({coordinates, core, rows, q.v, q.ld, core, core, dots.get(), core}) &&
      row_dots({dots.get(), core, rows, q.t, core, core, core, turned.get(), core}) &&
      add_product({turned.get(), core, 1, q.v, q.ld, out, q.length, rows, q.length, core, -1.0});
  return done ? Status::ok : Status::out_of_memory;
}

}  // namespace lamina
