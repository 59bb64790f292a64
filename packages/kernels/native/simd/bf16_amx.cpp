// precision bf16 by AMX tiles: C 32 x 32 in four tiles, A and B two tiles of 32 k each.
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include "../kernels.hpp"

#define LAMINA_LANES 16

namespace lamina {
namespace {

#include "vec.inl"
#include "dequant.inl"

inline vf pair_up(vf low, vf high) { return (vf)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

inline vf interleave(vf even, vf odd) {
  const __m512i e = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)even));
  const __m512i o = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)odd));
  return (vf)_mm512_or_si512(e, _mm512_slli_epi32(o, 16));
}

#include "bf16.inl"

constexpr int MR = 32;

// [k / 32][32 rows][32 bf16]: 2 KiB per step, loaded as two tiles.
void pack_a(const float* a, long lda, int rows, long depth, void* block) {
  float* out = static_cast<float*>(block);
  for (int i = 0; i < MR; i++)
    for (long k = 0; k < depth; k += 32)
      store(out + (k / 32) * MR * L + i * L,
            i < rows ? pair_up(load_part(a + i * lda + k, depth - k), load_part(a + i * lda + k + L, depth - k - L))
                     : vf{});
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr TileConfig kTileConfig;

inline void block_32x32(int steps, const char* a, const char* b, float* c, long ldc, const float* from, long from_ld) {
  const long c_bytes = ldc * 4, from_bytes = from_ld * 4;
  float* low = c + 16 * ldc;
  if (from) {
    _tile_loadd(0, from, from_bytes);
    _tile_loadd(1, from + 16, from_bytes);
    _tile_loadd(2, from + 16 * from_ld, from_bytes);
    _tile_loadd(3, from + 16 * from_ld + 16, from_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int s = 0; s < steps; s++, a += 2048, b += 2048) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 128);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + 64, 128);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 1024, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, low, c_bytes);
  _tile_stored(3, low + 16, c_bytes);
}

// c (MR, NR) += tail, row by row: tiles leave their sums in memory.
void add_tail_rows(const float* a, const float* b, int depth, float* c, long ldc) {
  for (int i = 0; depth > 0 && i < MR; i++) {
    vf left = load(c + i * ldc), right = load(c + i * ldc + L);
    for (int k = 0; k < depth; k++) {
      left += load(b + k * NR) * a[k * MR + i];
      right += load(b + k * NR + L) * a[k * MR + i];
    }
    store(c + i * ldc, left);
    store(c + i * ldc + L, right);
  }
}

void compute(const GemmFamily::Compute& g) {
  _tile_loadconfig(&kTileConfig);
  const int steps = (g.depth + 31) / 32;
  for (long row = 0; row < g.rows; row += MR) {
    const char* a = g.a + static_cast<size_t>(row / MR) * g.a_stride;
    const long rows = min_of(MR, g.rows - row);
    for (long col = 0; col < g.cols; col += NR) {
      const char* b = g.b + static_cast<size_t>(col / NR) * g.b_stride;
      const long cols = min_of(NR, g.cols - col);
      float* c = g.c + row * g.ldc + col;
      const float *tail_a = g.tail_a + row * g.tail_depth, *tail_b = g.tail_b + col * g.tail_depth;
      const float* from = g.from ? g.from + row * g.from_ld + col : nullptr;
      if (rows == MR && cols == NR) {
        block_32x32(steps, a, b, c, g.ldc, from, g.from_ld);
        add_tail_rows(tail_a, tail_b, g.tail_depth, c, g.ldc);
        continue;
      }
      alignas(64) float part[MR * NR];
      if (from)
        for (long i = 0; i < rows; i++)
          memcpy(part + i * NR, from + i * g.from_ld, static_cast<size_t>(cols) * sizeof(float));
      block_32x32(steps, a, b, part, NR, from ? part : nullptr, NR);
      add_tail_rows(tail_a, tail_b, g.tail_depth, part, NR);
      for (long i = 0; i < rows; i++) memcpy(c + i * g.ldc, part + i * NR, static_cast<size_t>(cols) * sizeof(float));
    }
  }
  _tile_release();
}

}  // namespace

const GemmFamily& amx_family_table();
const GemmFamily& amx_family_table() {
  static constexpr GemmFamily family = {"bf16-amx", MR, NR, 32, 1024, 64, NR * 2, 0, 0, 0, pack_a, pack_pairs, compute};
  return family;
}

}  // namespace lamina
