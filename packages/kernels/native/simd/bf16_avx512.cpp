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
#include "tail.inl"

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

struct TileArgs {
  const char* a;
  const char* b;
  const float* tail_a;
  const float* tail_b;
  float* c;
  long ldc;
  const float* from;  // null: zeros
  long from_ld;
  int depth;
  int tail_depth;
};

template <int R>
void tile(const TileArgs& t) {
  __m512 left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    left[i] = t.from ? _mm512_loadu_ps(t.from + i * t.from_ld) : _mm512_setzero_ps();
    right[i] = t.from ? _mm512_loadu_ps(t.from + i * t.from_ld + L) : _mm512_setzero_ps();
  }
  const float* a = reinterpret_cast<const float*>(t.a);
  const float* b = reinterpret_cast<const float*>(t.b);
  for (long pair = 0; pair < t.depth / 2; pair++, a += MR, b += NR) {
    const __m512bh b0 = (__m512bh)_mm512_loadu_ps(b), b1 = (__m512bh)_mm512_loadu_ps(b + L);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const __m512bh two = (__m512bh)_mm512_set1_ps(a[i]);
      left[i] = _mm512_dpbf16_ps(left[i], two, b0);
      right[i] = _mm512_dpbf16_ps(right[i], two, b1);
    }
  }
  add_tail<R, MR>(left, right, t.tail_a, t.tail_b, t.tail_depth);
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    _mm512_storeu_ps(t.c + i * t.ldc, left[i]);
    _mm512_storeu_ps(t.c + i * t.ldc + L, right[i]);
  }
}

typedef void (*TileFn)(const TileArgs&);
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>,  tile<3>,  tile<4>,  tile<5>,  tile<6>, tile<7>,
                                   tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};

#include "tiles.inl"

}  // namespace

const GemmFamily& avx512bf16_family_table();
const GemmFamily& avx512bf16_family_table() {
  static constexpr GemmFamily family = {"bf16-dot", MR, NR, 2,      512,        MR * 2, NR * 2,
                                        64,         0,  0,  pack_a, pack_pairs, compute};
  return family;
}

}  // namespace lamina
