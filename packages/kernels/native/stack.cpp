#include "stack.hpp"

#include <algorithm>
#include <atomic>
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

// From here on what is written past the caches does not cost reading it first: floats of one task that nobody reads soon.
constexpr long kStreamed = 16384;

// Copies past the caches where the processor can and it is worth it.
void stream_floats(const float* x, long count, float* y) {
  long i = 0;
#if defined(__x86_64__)
  if (count >= kStreamed) {
    for (; reinterpret_cast<uintptr_t>(y + i) % 64 != 0; i++) y[i] = x[i];
    for (; i + 16 <= count; i += 16)
      for (long j = 0; j < 16; j += 4) _mm_stream_ps(y + i + j, _mm_loadu_ps(x + i + j));
    _mm_sfence();
  }
#endif
  memcpy(y + i, x + i, static_cast<size_t>(count - i) * sizeof(float));
}

}  // namespace

Status stack(const StackF32& s) {
  const F64Set& set = isa().kernels->f64;
  long rank = 0;
  for (long k = 0; k < s.blocks; k++) rank += s.ranks[k];
  if (rank == 0 || s.m == 0 || s.n == 0) return Status::ok;
  const long tile = std::clamp<long>(kTile / rank, 1, s.m), tiles = (s.m + tile - 1) / tile;
  const long a_rows = std::max<long>(1, kTile / s.n), a_tasks = (rank + a_rows - 1) / a_rows;
  double* const energies = scratch_doubles(Scratch::f64_partial, static_cast<size_t>(tiles * kProbed + rank));
  float* const sums = scratch_floats(Scratch::factor_sums, static_cast<size_t>(rank * kProbed));
  // a tile of whole rows is put together in the cache first
  const bool whole = s.total == rank;
  float* const tiles_memory = scratch_floats(Scratch::pack_b, whole ? static_cast<size_t>(tile * rank * threads()) : 1);
  if (!energies || !sums || !tiles_memory) return Status::out_of_memory;
  double* const scale_of = energies + tiles * kProbed;
  for (long k = 0, row = 0; k < s.blocks; k++)
    for (long i = 0; i < s.ranks[k]; i++) scale_of[row++] = s.scales[k];
  parallel(a_tasks, [&](long task, int) {
    for (long row = task * a_rows; row < std::min((task + 1) * a_rows, rank); row++)
      set.scaled_row(scale_of[row], s.a + row * s.n, s.n, s.out_a + (s.at + row) * s.n, s.signs, sums + row * kProbed);
  });
  parallel(tiles, [&](long task, int slot) {
    const long first = task * tile, rows = std::min(tile, s.m - first);
    float* const out = whole ? tiles_memory + slot * tile * rank : s.out_b + first * s.total + s.at;
    for (long k = 0, column = 0; k < s.blocks; column += s.ranks[k++]) {
      const long width = s.ranks[k];
      const float* from = s.b + s.m * column + first * width;
      for (long i = 0; i < rows; i++)
        memcpy(out + i * s.total + column, from + i * width, static_cast<size_t>(width) * sizeof(float));
    }
    if (whole) stream_floats(out, rows * rank, s.out_b + first * rank);
    if (!s.signs) return;
    double* const energy = energies + task * kProbed;
    std::fill(energy, energy + kProbed, 0.0);
    set.probe_rows(out, s.total, rows, rank, sums, energy);
  });
  if (s.signs) {
    std::fill(s.energies, s.energies + kProbed, 0.0);
    for (long i = 0; i < tiles * kProbed; i++) s.energies[i % kProbed] += energies[i];
  }
  return Status::ok;
}

long first_not_finite(const float* x, long count) {
  std::atomic<long> first{count};
  parallel((count + kTile - 1) / kTile, [&](long task, int) {
    const long end = std::min((task + 1) * kTile, count);
    uint32_t any = 0;
    for (long i = task * kTile; i < end; i++) {
      uint32_t bits;
      memcpy(&bits, x + i, sizeof bits);
      any |= static_cast<uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
    }
    if (!any) return;
    long at = task * kTile;
    for (uint32_t bits = 0; at < end; at++) {
      memcpy(&bits, x + at, sizeof bits);
      if ((bits & 0x7f800000u) == 0x7f800000u) break;
    }
    for (long known = first; at < known && !first.compare_exchange_weak(known, at);) {
    }
  });
  return first < count ? first.load() : -1;
}

void copy_floats(const float* x, long count, float* y) {
  parallel((count + kStreamed - 1) / kStreamed, [&](long task, int) {
    const long first = task * kStreamed;
    stream_floats(x + first, std::min(kStreamed, count - first), y + first);
  });
}

}  // namespace lamina
