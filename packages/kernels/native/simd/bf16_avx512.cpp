// precision bf16 by AVX512_BF16's pair dot products.
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include "../kernels.hpp"

#define LAMINA_LANES 16

namespace lamina {
namespace {

#include "vec.inl"
#include "dequant.inl"

// 16 + 16 consecutive floats -> 16 pairs of bf16.
inline vf pair_up(vf low, vf high) { return (vf)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

// lane i: even[i] below odd[i].
inline vf interleave(vf even, vf odd) {
  const __m512i e = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)even));
  const __m512i o = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)odd));
  return (vf)_mm512_or_si512(e, _mm512_slli_epi32(o, 16));
}

#include "bf16.inl"

constexpr int MR = 14;

// [k / 2][14] pairs.
void pack_a(const float* a, long lda, int rows, long depth, void* block) {
  float* out = static_cast<float*>(block);
  for (long k = 0; k < depth; k += 32) {
    vf r[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; i++)
      r[i] = i < rows ? pair_up(load_part(a + i * lda + k, depth - k), load_part(a + i * lda + k + L, depth - k - L))
                      : vf{};
    transpose(r);
    const long pairs = min_of(L, (depth - k + 1) / 2);
    for (long j = 0; j < pairs; j++) store(out + (k / 2 + j) * MR, r[j]);
  }
}

template <int R>
void tile(long pairs, const float* a, const float* b, float* c, long ldc, bool accumulate) {
  __m512 left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    left[i] = accumulate ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
    right[i] = accumulate ? _mm512_loadu_ps(c + i * ldc + L) : _mm512_setzero_ps();
  }
  for (long k = 0; k < pairs; k++, a += MR, b += NR) {
    const __m512bh b0 = (__m512bh)_mm512_loadu_ps(b), b1 = (__m512bh)_mm512_loadu_ps(b + L);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const __m512bh pair = (__m512bh)_mm512_set1_ps(a[i]);
      left[i] = _mm512_dpbf16_ps(left[i], pair, b0);
      right[i] = _mm512_dpbf16_ps(right[i], pair, b1);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    _mm512_storeu_ps(c + i * ldc, left[i]);
    _mm512_storeu_ps(c + i * ldc + L, right[i]);
  }
}

typedef void (*TileFn)(long, const float*, const float*, float*, long, bool);
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>,  tile<3>,  tile<4>,  tile<5>,  tile<6>, tile<7>,
                                   tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};

void compute(const GemmFamily::Compute& g) {
  const long pairs = (g.depth + 1) / 2;
  for (long row = 0; row < g.rows; row += MR) {
    const float* a = reinterpret_cast<const float*>(g.a + static_cast<size_t>(row / MR) * g.a_stride);
    const long rows = min_of(MR, g.rows - row);
    for (long col = 0; col < g.cols; col += NR) {
      const float* b = reinterpret_cast<const float*>(g.b + static_cast<size_t>(col / NR) * g.b_stride);
      float* c = g.c + row * g.ldc + col;
      if (g.cols - col >= NR) {
        kTiles[rows](pairs, a, b, c, g.ldc, g.accumulate);
        continue;
      }
      alignas(64) float part[MR * NR];
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < NR; j++) part[i * NR + j] = g.accumulate && col + j < g.cols ? c[i * g.ldc + j] : 0.0f;
      kTiles[rows](pairs, a, b, part, NR, g.accumulate);
      for (long i = 0; i < rows; i++)
        memcpy(c + i * g.ldc, part + i * NR, static_cast<size_t>(g.cols - col) * sizeof(float));
    }
  }
}

}  // namespace

const GemmFamily& avx512bf16_family_table();
const GemmFamily& avx512bf16_family_table() {
  static constexpr GemmFamily family = {"bf16-dot", MR, NR, 2, 512, MR * 2, NR * 2, 64, pack_a, pack_pairs, compute};
  return family;
}

}  // namespace lamina
