#include "eigen.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "householder.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "product_f64.hpp"

namespace lamina {
namespace {

// Steps allowed per eigenvalue; two are usual.
constexpr int kSteps = 60;
// Plane rotations collected before the eigenvectors get them: 256 KiB.
constexpr size_t kTurns = 16384;
// Rows of one task of the tridiagonal form, and the size below which sharing out costs more than it saves.
constexpr long kRows = 64, kShared = 384;

struct Tridiagonal {
  long size;
  double* d;  // diagonal
  double* e;  // off-diagonal, the last unused
};

// data (size, ld) symmetric -> d, e; row k keeps the vector of reflection k at column k + 1, zeros before it, and
// t[k][k] its beta. A step's rank-2 update u w^T + w u^T waits for the next step, which reads the rows anyway.
bool tridiagonalize(double* data, long ld, const Tridiagonal& out, double* t) {
  const F64Set& set = isa().kernels->f64;
  const long size = out.size, steps = size - 1;
  const Doubles work = doubles(4 * size);
  if (!work) return false;
  double *u = work.get(), *w = u + size, *p = w + size, *next = p + size;
  std::fill(u, next, 0.0);
  for (long k = 0; k < size; k++) {
    double* const row = data + k * ld;
    set.rank2_dot(-u[k], w + k, -w[k], u + k, row + k, row + k, size - k);
    out.d[k] = row[k];
    memset(row, 0, static_cast<size_t>(k + 1) * sizeof(double));
    if (k == steps) break;
    const long first = k + 1, length = size - first;
    const auto [alpha, beta] = make_reflector(row + first, length);
    out.e[k] = alpha;
    t[k * steps + k] = beta;
    memcpy(next + first, row + first, static_cast<size_t>(length) * sizeof(double));
    const auto update = [&](long i) {
      p[i] = set.rank2_dot(-u[i], w + first, -w[i], u + first, next + first, data + i * ld + first, length);
    };
    if (length < kShared)
      for (long i = first; i < size; i++) update(i);
    else
      parallel((length + kRows - 1) / kRows, [&](long task, int) {
        for (long i = first + task * kRows; i < std::min(size, first + (task + 1) * kRows); i++) update(i);
      });
    // w = beta p - (beta^2 (p u) / 2) u: Golub & Van Loan, Matrix Computations, 8.3.1
    const double half = beta * beta * set.dot(p + first, next + first, length) / 2;
    for (long i = first; i < size; i++) w[i] = beta * p[i] - half * next[i];
    std::swap(u, next);
  }
  return true;
}

// Rotations of whole sweeps, and the rows they turn.
class Turns {
 public:
  Turns(double* rows, long ld, long size) : rows_(rows), ld_(ld), size_(size) {
    turns_.reserve(2 * (kTurns + static_cast<size_t>(size)));
  }

  void begin(long high) { sweeps_.push_back({turns_.size(), high, high}); }
  // Of rows `low` and low + 1.
  void add(double sine, double cosine) {
    turns_.push_back(sine);
    turns_.push_back(cosine);
    sweeps_.back().low--;
  }
  void end() {
    if (turns_.size() >= 2 * kTurns) flush();
  }

  // Strips of columns are turned independently: a thread carries one through all sweeps.
  void flush() {
    const F64Set& set = isa().kernels->f64;
    parallel((size_ + set.nr - 1) / set.nr, [&](long task, int) {
      const long first = task * set.nr;
      for (const Sweep& sweep : sweeps_)
        set.rotate(rows_ + first, ld_, std::min<long>(set.nr, size_ - first), turns_.data() + sweep.at, sweep.low,
                   sweep.high);
    });
    turns_.clear();
    sweeps_.clear();
  }

 private:
  struct Sweep {
    size_t at;
    long low, high;
  };
  double* rows_;
  long ld_, size_;
  std::vector<double> turns_;
  std::vector<Sweep> sweeps_;
};

// One implicit QL step on rows low..high, as `sweep` in reference/tridiagonal-eigen.ts.
void sweep(const Tridiagonal& m, Turns& turns, long low, long high) {
  double *const d = m.d, *const e = m.e;
  const double half = (d[low + 1] - d[low]) / (2 * e[low]), root = std::sqrt(half * half + 1);
  double g = d[high] - d[low] + e[low] / (half + (half < 0 ? -root : root));
  double sine = 1, cosine = 1, shift = 0;
  turns.begin(high);
  for (long i = high - 1; i >= low; i--) {
    const double f = sine * e[i], b = cosine * e[i], r = std::sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r == 0) {
      d[i + 1] -= shift;
      e[high] = 0;
      return turns.end();
    }
    sine = f / r;
    cosine = g / r;
    g = d[i + 1] - shift;
    const double t = (d[i] - g) * sine + 2 * cosine * b;
    shift = sine * t;
    d[i + 1] = g + shift;
    g = cosine * t - b;
    turns.add(sine, cosine);
  }
  d[low] -= shift;
  e[low] = g;
  e[high] = 0;
  turns.end();
}

bool diagonalize(const Tridiagonal& m, Turns& turns) {
  double scale = 0;
  for (long i = 0; i < m.size; i++) scale = std::max(scale, std::fabs(m.d[i]) + std::fabs(m.e[i]));
  const double negligible = std::ldexp(scale, -53);
  for (long low = 0; low < m.size; low++) {
    for (int steps = 0;; steps++) {
      long high = low;
      while (high < m.size - 1 && std::fabs(m.e[high]) > negligible) high++;
      if (high == low) break;
      if (steps == kSteps) return false;
      sweep(m, turns, low, high);
    }
    m.e[low] = 0;
  }
  turns.flush();
  return true;
}

// rows (size, ld) = Q^T = I - V^T (T^T V), where the reflections are rows of v.
bool transposed_q(const Reflections& q, double* rows, long ld) {
  const long size = q.length, count = q.count;
  const Doubles turned = doubles(count * size + 1);
  if (!turned) return false;
  std::fill(turned.get(), turned.get() + count * size, 0.0);
  for (long i = 0; i < size; i++) {
    std::fill(rows + i * ld, rows + i * ld + size, 0.0);
    rows[i * ld + i] = 1;
  }
  return add_product({q.t, 1, count, q.v, q.ld, turned.get(), size, count, size, count, 1.0}) &&
         add_product({q.v, 1, q.ld, turned.get(), size, rows, ld, size, size, count, -1.0});
}

Status eigen_of_scaled(long size, double* data, long ld, const Tridiagonal& m, double* rows) {
  const long count = size - 1;
  const Doubles t = doubles(count * count + 1);
  if (!t) return Status::out_of_memory;
  std::fill(t.get(), t.get() + count * count, 0.0);
  if (!tridiagonalize(data, ld, m, t.get())) return Status::out_of_memory;
  const Reflections q{data, ld, count, size, t.get(), 1};
  if (!couple_all(q) || !transposed_q(q, rows, ld)) return Status::out_of_memory;
  Turns turns(rows, ld, size);
  return diagonalize(m, turns) ? Status::ok : Status::no_convergence;
}

}  // namespace

Status symmetric_eigen(long size, const double* matrix, double* values, double* vectors) {
  if (size == 0) return Status::ok;
  const long ld = spread(size);
  const Doubles data = doubles(size * ld), rows = doubles(size * ld), diagonals = doubles(2 * size);
  if (!data || !rows || !diagonals) return Status::out_of_memory;
  double largest = 0;
  for (long i = 0; i < size * size; i++) largest = std::max(largest, std::fabs(matrix[i]));
  // scaled to order 1, so that squares inside neither overflow nor vanish
  const double unit = largest == 0 ? 1 : largest;
  for (long i = 0; i < size; i++)
    for (long j = 0; j < size; j++) data[i * ld + j] = matrix[i * size + j] / unit;
  const Tridiagonal m{size, diagonals.get(), diagonals.get() + size};
  std::fill(m.d, m.d + 2 * size, 0.0);
  const Status status = eigen_of_scaled(size, data.get(), ld, m, rows.get());
  if (status != Status::ok) return status;
  std::vector<long> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](long left, long right) { return m.d[left] > m.d[right]; });
  for (long i = 0; i < size; i++) {
    values[i] = m.d[order[i]] * unit;
    memcpy(vectors + i * size, rows.get() + order[i] * ld, static_cast<size_t>(size) * sizeof(double));
  }
  return Status::ok;
}

}  // namespace lamina
