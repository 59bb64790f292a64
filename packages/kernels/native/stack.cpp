#include "stack.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "isa.hpp"
#include "kernels.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// Floats of a task: large enough to be worth handing out, small enough that a tile of out_b stays in the second-level
// cache while its columns come in block by block.
constexpr long kTile = 65536;
constexpr long kProbed = 2 * kProbes;

// Rows put together at a time, while the next are fetched: a multiple of what probe_rows takes at once.
constexpr long kGroup = 8;
constexpr long kTaskRows = 64;
constexpr long kPair = 2;   // rows of A at a time
constexpr long kLine = 16;  // floats of a line of the caches

// Where rows wait that are fetched: blocks lie powers of two apart, and would drive each other out of the first level.
constexpr int kSecondLevel = 2;

// From here on what is written past the caches does not cost reading it first: floats of one task that nobody reads
// soon.
constexpr long kStreamed = 16384;

constexpr uint32_t kExponent = 0x7f800000u;

// Infinite or NaN.
uint32_t is_not_finite(uint32_t bits) { return static_cast<uint32_t>((bits & kExponent) == kExponent); }

// Copies past the caches where the processor can; `fence` after the last. True where every value is finite.
bool stream_floats(const float* x, long count, float* y) {
  long i = 0;
  uint32_t any = 0;
  const auto one = [&] {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    any |= is_not_finite(bits);
    memcpy(y + i++, &bits, sizeof bits);
  };
#if defined(__x86_64__)
  const __m128i exponent = _mm_set1_epi32(static_cast<int>(kExponent));
  __m128i wide = _mm_setzero_si128();
  while (i < count && reinterpret_cast<uintptr_t>(y + i) % 16 != 0) one();
  for (; i + 4 <= count; i += 4) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    wide = _mm_or_si128(wide, _mm_cmpeq_epi32(_mm_and_si128(bits, exponent), exponent));
    _mm_stream_si128(reinterpret_cast<__m128i*>(y + i), bits);
  }
  any |= static_cast<uint32_t>(_mm_movemask_epi8(wide));
#endif
  while (i < count) one();
  return any == 0;
}

// What was streamed is there for others.
void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// The same through the caches.
bool copy_near(const float* x, long count, float* y) {
  uint32_t any = 0;
  for (long i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    any |= is_not_finite(bits);
    memcpy(y + i, &bits, sizeof bits);
  }
  return any == 0;
}

bool move_floats(const float* x, long count, float* y, bool far) {
  return far ? stream_floats(x, count, y) : copy_near(x, count, y);
}

bool all_finite(const float* x, long count) {
  uint32_t any = 0;
  for (long i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    any |= is_not_finite(bits);
  }
  return any == 0;
}

// Rows of `width` floats that follow each other, to places `ld` apart. A width known to the compiler is a few moves.
template <long kWidth>
void spread_fixed(const float* x, long rows, float* y, long ld) {
  for (long i = 0; i < rows; i++) memcpy(y + i * ld, x + i * kWidth, kWidth * sizeof(float));
}

void spread_rows(const float* x, long width, long rows, float* y, long ld) {
  switch (width) {
    case 4: return spread_fixed<4>(x, rows, y, ld);
    case 8: return spread_fixed<8>(x, rows, y, ld);
    case 16: return spread_fixed<16>(x, rows, y, ld);
    case 32: return spread_fixed<32>(x, rows, y, ld);
    case 64: return spread_fixed<64>(x, rows, y, ld);
    default:
      for (long i = 0; i < rows; i++) memcpy(y + i * ld, x + i * width, static_cast<size_t>(width) * sizeof(float));
  }
}

// Rows of B a thread puts together at a time: whole groups, some 16 times as many as there are or more.
long rows_of_task(long m, long rank) {
  const long rows = std::clamp<long>(2 * kTile / rank, kTaskRows, std::max(kTaskRows, m / 16));
  return (rows + kGroup - 1) / kGroup * kGroup;
}

// The columns of every B_k to their places, and of the whole the energies where there are signs.
Status place_columns(const StackF32& s, long rank, const float* sums) {
  const F64Set& set = isa().kernels->f64;
  // rows whose energies are added up one after another, whoever computed them: the order of a sum is fixed
  const long tile = std::clamp<long>(kTile / rank, 1, s.m), tiles = (s.m + tile - 1) / tile;
  const long rows_each = rows_of_task(s.m, rank);
  // whole rows are put together in the cache first
  const bool whole = s.total == rank, far = s.m * rank >= kStreamed;
  double* const energies = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(tiles * kProbed));
  float* const products = scratch_floats(Scratch::row_stats, static_cast<size_t>(s.m * kProbed));
  float* const memory = scratch_floats(Scratch::pack_b, whole ? static_cast<size_t>(kGroup * rank * threads()) : 1);
  if (!energies || !products || !memory) return Status::out_of_memory;
  parallel((s.m + rows_each - 1) / rows_each, [&](long task, int slot) {
    const long end = std::min((task + 1) * rows_each, s.m);
    for (long row = task * rows_each; row < end; row += kGroup) {
      const long rows = std::min(kGroup, end - row);
      float* const out = whole ? memory + slot * kGroup * rank : s.out_b + row * s.total + s.at;
      for (long k = 0, column = 0; k < s.blocks; column += s.ranks[k++]) {
        const long width = s.ranks[k];
        const float* const from = s.b + s.m * column + row * width;
        spread_rows(from, width, rows, out + column, s.total);
        if (row + kGroup < end)
          for (long i = 0; i < kGroup * width; i += kLine)
            __builtin_prefetch(from + kGroup * width + i, 0, kSecondLevel);
      }
      if (sums) set.probe_rows(out, s.total, rows, rank, sums, products + row * kProbed);
      if (whole) move_floats(out, rows * rank, s.out_b + row * rank, far);
    }
    fence();
  });
  if (!sums) return Status::ok;
  parallel(tiles, [&](long task, int) {
    double* const energy = energies + task * kProbed;
    std::fill(energy, energy + kProbed, 0.0);
    set.add_squares(products + task * tile * kProbed, std::min(tile, s.m - task * tile), energy);
  });
  std::fill(s.energies, s.energies + kProbed, 0.0);
  for (long i = 0; i < tiles * kProbed; i++) s.energies[i % kProbed] += energies[i];
  return Status::ok;
}

long rank_of(const StackF32& s) {
  long rank = 0;
  for (long k = 0; k < s.blocks; k++) rank += s.ranks[k];
  return rank;
}

}  // namespace

Status stack(const StackF32& s) {
  const F64Set& set = isa().kernels->f64;
  const long rank = rank_of(s);
  if (rank == 0 || s.m == 0 || s.n == 0) return Status::ok;
  const long a_rows = std::max<long>(1, kTile / s.n), a_tasks = (rank + a_rows - 1) / a_rows;
  double* const scale_of = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(rank));
  float* const sums = scratch_floats(Scratch::factor_sums, static_cast<size_t>(rank * kProbed));
  if (!scale_of || !sums) return Status::out_of_memory;
  for (long k = 0, row = 0; k < s.blocks; k++)
    for (long i = 0; i < s.ranks[k]; i++) scale_of[row++] = s.scales[k];
  parallel(a_tasks, [&](long task, int) {
    for (long row = task * a_rows; row < std::min((task + 1) * a_rows, rank); row++)
      set.scaled_rows(scale_of[row], s.a + row * s.n, 1, s.n, s.out_a + (s.at + row) * s.n, s.signs,
                      sums + row * kProbed);
  });
  return place_columns(s, rank, s.signs ? sums : nullptr);
}

namespace {

// How the factors of one module are shared out: whole rows of A and pieces of B in turn, so that one thread copies
// while another computes.
struct Shares {
  explicit Shares(const TakenF32& t)
      : rows_each(std::max<long>(1, kStreamed / std::max<long>(t.n, 1))),
        of_a((t.rank + rows_each - 1) / rows_each),
        of_b((t.m * t.rank + kStreamed - 1) / kStreamed) {}
  long total() const { return of_a + of_b; }
  // The how manieth piece of A a task is; -1: it is one of B.
  long piece_of_a(long task) const {
    const long turns = std::min(of_a, of_b);
    if (task < 2 * turns) return task % 2 == 0 ? task / 2 : -1;
    return of_a > of_b ? task - turns : -1;
  }
  long piece_of_b(long task) const { return task < 2 * std::min(of_a, of_b) ? task / 2 : task - of_a; }
  long rows_each, of_a, of_b;
};

bool take_rows(const TakenF32& t, long from, long to) {
  bool finite = true;
  for (long i = from; i < to; i += kPair) {
    const long rows = std::min(kPair, to - i);
    float sums[kPair * kProbed];
    // not past the caches: there is so much to compute that the writes wait for nothing
    isa().kernels->f64.scaled_rows(t.scale, t.a + i * t.n, rows, t.n, t.out_a + i * t.n, t.signs, sums);
    std::copy_n(sums, rows * kProbed, t.sums + i * kProbed);
    // every value is in the first sum of its row, which one that is not finite makes so too
    for (long r = 0; r < rows; r++)
      finite = finite && (std::isfinite(sums[r * kProbed]) || all_finite(t.a + (i + r) * t.n, t.n));
  }
  return finite;
}

}  // namespace

Status take_factors(const TakenF32* list, long count, int32_t* finite) {
  long tasks = 0;
  for (long k = 0; k < count; k++) tasks += Shares(list[k]).total();
  std::atomic<bool> wrong[kTaken] = {};
  parallel(tasks, [&](long task, int) {
    for (long k = 0; k < count; k++) {
      const TakenF32& t = list[k];
      const Shares shares(t);
      if (task >= shares.total()) {
        task -= shares.total();
        continue;
      }
      bool good;
      if (const long piece = shares.piece_of_a(task); piece >= 0) {
        const long from = piece * shares.rows_each, to = std::min(from + shares.rows_each, t.rank);
        good = take_rows(t, from, to);
      } else {
        const long at = shares.piece_of_b(task) * kStreamed, total = t.m * t.rank;
        good = move_floats(t.b + at, std::min(kStreamed, total - at), t.out_b + at, total >= kStreamed);
        fence();
      }
      if (!good) wrong[k] = true;
      return;
    }
  });
  for (long k = 0; k < count; k++) finite[k] = !wrong[k];
  return Status::ok;
}

Status interleave(const StackF32& s, const double* sums) {
  const long rank = rank_of(s);
  if (rank == 0 || s.m == 0) return Status::ok;
  float* const narrow = scratch_floats(Scratch::factor_sums, static_cast<size_t>(rank * kProbed));
  if (!narrow) return Status::out_of_memory;
  for (long i = 0; i < rank * kProbed; i++) narrow[i] = static_cast<float>(sums[i]);
  return place_columns(s, rank, narrow);
}

long first_not_finite(const float* x, long count) {
  std::atomic<long> first{count};
  parallel((count + kTile - 1) / kTile, [&](long task, int) {
    long at = task * kTile;
    const long end = std::min(at + kTile, count);
    if (all_finite(x + at, end - at)) return;
    while (all_finite(x + at, 1)) at++;
    for (long known = first; at < known && !first.compare_exchange_weak(known, at);) {
    }
  });
  return first < count ? first.load() : -1;
}

void copy_floats(const float* x, long count, float* y) {
  parallel((count + kStreamed - 1) / kStreamed, [&](long task, int) {
    const long first = task * kStreamed;
    move_floats(x + first, std::min(kStreamed, count - first), y + first, count >= kStreamed);
    fence();
  });
}

}  // namespace lamina
