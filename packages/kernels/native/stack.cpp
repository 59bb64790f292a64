#include "stack.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <thread>

#include "isa.hpp"
#include "kernels.hpp"
#include "moves.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

constexpr long kProbed = 2 * kProbes;

// Rows of B put together at a time, while the next are fetched: a multiple of what probe_rows takes at once.
constexpr long kGroup = 8;
constexpr long kTaskRows = 64;
constexpr long kPair = 2;   // rows of A at a time
constexpr long kLine = 16;  // floats of a line of the caches

// Where rows wait that are fetched: blocks lie powers of two apart, and would drive each other out of the first level.
constexpr int kSecondLevel = 2;

long rank_of(const int32_t* ranks, long blocks) {
  long rank = 0;
  for (long k = 0; k < blocks; k++) rank += ranks[k];
  return rank;
}

// Columns of B on their way: those of block k are `widths[k]` wide, and follow each other in rows of `total` floats.
struct Columns {
  long m, blocks, rank, at, total;
  const int32_t* widths;
  float* out;
  const float* sums;  // (rank, 2 kProbes), or null
  const float* before;
  float* after;  // products, with `sums`
  bool far() const { return m * rank >= kStreamed; }
  // Rows a thread puts together at a time: whole groups, some 16 times as many as there are or more.
  long rows_each() const {
    const long rows = std::clamp<long>(2 * kTile / rank, kTaskRows, std::max(kTaskRows, m / 16));
    return (rows + kGroup - 1) / kGroup * kGroup;
  }
  long tasks() const { return (m + rows_each() - 1) / rows_each(); }
};

// Rows `row` .. end - 1 by way of `near` (kGroup, rank), which stays in the cache. True where every value is finite.
template <class Block>
bool place_rows(const Columns& c, Block block, long row, long end, float* near) {
  bool finite = true;
  for (; row < end; row += kGroup) {
    const long rows = std::min(kGroup, end - row);
    for (long k = 0, column = 0; k < c.blocks; column += c.widths[k++]) {
      const long width = c.widths[k];
      const float* const from = block(k, column) + row * width;
      spread_rows(from, width, rows, near + column, c.rank);
      if (row + kGroup < end)
        for (long i = 0; i < kGroup * width; i += kLine) __builtin_prefetch(from + kGroup * width + i, 0, kSecondLevel);
    }
    if (c.sums) {
      float* const products = c.after + row * kProbed;
      if (c.before) std::copy_n(c.before + row * kProbed, rows * kProbed, products);
      else std::fill_n(products, rows * kProbed, 0.0f);
      isa().kernels->f64.probe_rows(near, c.rank, rows, c.rank, c.sums, products);
    }
    float* const out = c.out + row * c.total + c.at;
    const long run = c.rank == c.total ? rows * c.rank : c.rank;
    for (long i = 0; i < rows * c.rank; i += run)
      finite = move_floats(near + i, run, out + i / c.rank * c.total, c.far()) && finite;
  }
  fence();
  return finite;
}

}  // namespace

Status product_energies(long m, long rank, const float* products, double* energies) {
  std::fill(energies, energies + kProbed, 0.0);
  if (rank == 0 || m == 0) return Status::ok;
  // rows whose energies are added up one after another, whoever computed them: the order of a sum is fixed
  const long tile = std::clamp<long>(kTile / rank, 1, m), tiles = (m + tile - 1) / tile;
  double* const parts = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(tiles * kProbed));
  if (!parts) return Status::out_of_memory;
  parallel(tiles, [&](long task, int) {
    double* const energy = parts + task * kProbed;
    std::fill(energy, energy + kProbed, 0.0);
    isa().kernels->f64.add_squares(products + task * tile * kProbed, std::min(tile, m - task * tile), energy);
  });
  for (long i = 0; i < tiles * kProbed; i++) energies[i % kProbed] += parts[i];
  return Status::ok;
}

Status stack(const StackF32& s) {
  const F64Set& set = isa().kernels->f64;
  const long rank = rank_of(s.ranks, s.blocks);
  if (rank == 0 || s.m == 0 || s.n == 0) return Status::ok;
  const long a_rows = std::max<long>(1, kTile / s.n), a_tasks = (rank + a_rows - 1) / a_rows;
  double* const scale_of = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(rank));
  float* const sums = scratch_floats(Scratch::factor_sums, static_cast<size_t>(rank * kProbed));
  float* const products = scratch_floats(Scratch::row_stats, static_cast<size_t>(s.m * kProbed));
  float* const near = scratch_floats(Scratch::pack_b, static_cast<size_t>(kGroup * rank * threads()));
  if (!scale_of || !sums || !products || !near) return Status::out_of_memory;
  for (long k = 0, row = 0; k < s.blocks; k++)
    for (long i = 0; i < s.ranks[k]; i++) scale_of[row++] = s.scales[k];
  // not past the caches: A may be written where it is read
  parallel(a_tasks, [&](long task, int) {
    for (long row = task * a_rows; row < std::min((task + 1) * a_rows, rank); row++)
      set.scaled_rows(scale_of[row], s.a + row * s.n, 1, s.n, s.out_a + (s.at + row) * s.n, s.signs,
                      sums + row * kProbed, false);
  });
  const Columns columns{s.m,     s.blocks, rank,     s.at,    s.total,
                        s.ranks, s.out_b,  s.signs ? sums : nullptr, nullptr, products};
  const long rows = columns.rows_each();
  parallel(columns.tasks(), [&](long task, int slot) {
    const auto block = [&](long, long column) { return s.b + s.m * column; };
    place_rows(columns, block, task * rows, std::min((task + 1) * rows, s.m), near + slot * kGroup * rank);
  });
  return s.signs ? product_energies(s.m, rank, products, s.energies) : Status::ok;
}

namespace {

// One module's share of a call: pieces of its A, block by block, then of its B once all of A is there.
struct Taken {
  const TakenF32& t;
  long rank, rows_each, of_a, of_b;
  bool far;
  float* sums;
  Columns columns;
  std::atomic<long> left_of_a;
  std::atomic<bool> wrong{false};

  Taken(const TakenF32& t, float* sums)
      : t(t),
        rank(rank_of(t.ranks, t.blocks)),
        rows_each(std::max<long>(kPair, kStreamed / std::max<long>(t.n, 1))),
        of_a(0),
        far(rank * t.n >= kStreamed),
        sums(sums),
        columns{t.m, t.blocks, rank, t.at, t.total, t.ranks, t.out_b, sums, t.before, t.after} {
    for (long k = 0; k < t.blocks; k++) of_a += pieces(k);
    of_b = rank > 0 ? columns.tasks() : 0;
    left_of_a = of_a;
  }
  long pieces(long k) const { return (t.ranks[k] + rows_each - 1) / rows_each; }

  void take_a(long piece) {
    long k = 0, row = 0;
    for (; piece >= pieces(k); row += t.ranks[k++]) piece -= pieces(k);
    bool finite = true;
    for (long i = piece * rows_each; i < std::min<long>((piece + 1) * rows_each, t.ranks[k]); i += kPair) {
      const long rows = std::min(kPair, t.ranks[k] - i);
      float* const sum = sums + (row + i) * kProbed;
      const float* const from = t.a[k] + i * t.n;
      isa().kernels->f64.scaled_rows(t.scales[k], from, rows, t.n, t.out_a + (t.at + row + i) * t.n, t.signs, sum,
                                     far);
      // every value is in the first sum of its row, which one that is not finite makes so too
      for (long r = 0; r < rows; r++)
        finite = finite && (std::isfinite(sum[r * kProbed]) || all_finite(from + r * t.n, t.n));
    }
    fence();
    if (!finite) wrong = true;
    left_of_a.fetch_sub(1, std::memory_order_acq_rel);
  }

  void take_b(long task, float* near) {
    // tasks are handed out in order: other threads have what is left of A, and are at it
    while (left_of_a.load(std::memory_order_acquire) > 0) std::this_thread::yield();
    const auto block = [&](long k, long) { return t.b[k]; };
    const long row = task * columns.rows_each();
    if (!place_rows(columns, block, row, std::min(row + columns.rows_each(), t.m), near)) wrong = true;
  }
};

}  // namespace

Status take_factors(const TakenF32* list, long count, int32_t* finite) {
  long ranks = 0, widest = 0;
  for (long i = 0; i < count; i++) {
    const long rank = rank_of(list[i].ranks, list[i].blocks);
    ranks += rank;
    widest = std::max(widest, rank);
  }
  float* sums = scratch_floats(Scratch::factor_sums, static_cast<size_t>(ranks * kProbed));
  float* const near = scratch_floats(Scratch::pack_b, static_cast<size_t>(kGroup * widest * threads()));
  if (!sums || !near) return Status::out_of_memory;
  std::optional<Taken> modules[kTaken];
  long of_a = 0, of_b = 0;
  for (long i = 0; i < count; i++) {
    const Taken& module = modules[i].emplace(list[i], sums);
    sums += module.rank * kProbed;
    of_a += module.of_a;
    of_b += module.of_b;
  }
  parallel(of_a + of_b, [&](long task, int slot) {
    const bool is_a = task < of_a;
    if (!is_a) task -= of_a;
    long i = 0;
    for (long own; task >= (own = is_a ? modules[i]->of_a : modules[i]->of_b); i++) task -= own;
    if (is_a) modules[i]->take_a(task);
    else modules[i]->take_b(task, near + slot * kGroup * widest);
  });
  for (long i = 0; i < count; i++) finite[i] = !modules[i]->wrong;
  return Status::ok;
}

}  // namespace lamina
