// precision int8 by AVX512_VNNI: rows of A and columns of B rounded to 8 bits piece by piece, with one f32 scale per
// row or column and piece (dynamic quantization; Dettmers et al. 2022, arXiv:2208.07339, section 2.1, in finer pieces).
// A value q of A is a signed byte, one of B an unsigned byte u = q + 128: sum_k q u = sum_k q (u - 128) + 128 sum_k q,
// and the sum over q is known when A is packed.
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include "../kernels.hpp"

#define LAMINA_LANES 16

namespace lamina {
namespace {

#include "vec.inl"
#include "dequant.inl"
#include "tail.inl"

constexpr int MR = 14;
constexpr int kDepthMax = 576;
constexpr float kLevels = 127.0f;
// Rows below this are zeros: 127 / x must stay finite.
constexpr float kTiny = 1e-30f;

// Factors of one piece of an A block.
struct RowFactors {
  float scale[MR];
  int32_t start[MR];  // -128 sum_k q
};

inline __m512i magnitude(vf v) { return _mm512_and_si512((__m512i)v, _mm512_set1_epi32(0x7fffffff)); }

// The largest magnitude as bits: a NaN or an infinity beats every number, and spoils its row instead of vanishing.
inline float largest(__m512i bits) {
  const int32_t top = static_cast<int32_t>(_mm512_reduce_max_epu32(bits));
  float value;
  memcpy(&value, &top, 4);
  return value;
}
inline float inverse_step(float top) { return top < kTiny ? 0.0f : kLevels / top; }
inline float step_of(float top) { return top < kTiny ? 0.0f : top / kLevels; }

inline __m512i rounded(vf v, vf inverse) { return _mm512_cvtps_epi32((__m512)(v * inverse)); }

// 64 values of one row as bytes. Dword 4 l + m of the result holds values 16 m + 4 l .. + 3.
inline __m512i bytes_of(const vf (&v)[4], vf inverse) {
  const __m512i low = _mm512_packs_epi32(rounded(v[0], inverse), rounded(v[1], inverse));
  const __m512i high = _mm512_packs_epi32(rounded(v[2], inverse), rounded(v[3], inverse));
  return _mm512_packs_epi16(low, high);
}
// Which group of 4 values dword d of bytes_of holds.
constexpr int group_of(int d) { return (d & 3) * 4 + (d >> 2); }

inline void dot(__m512i& sum, __m512i bytes, __m512i signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(signed_bytes));
}

inline __m512i top_of(const float* row, long depth) {
  __m512i even = _mm512_setzero_si512(), odd = even;
  long k = 0;
  for (; k + 2 * L <= depth; k += 2 * L) {
    even = _mm512_max_epu32(even, magnitude(load(row + k)));
    odd = _mm512_max_epu32(odd, magnitude(load(row + k + L)));
  }
  for (; k < depth; k += L) even = _mm512_max_epu32(even, magnitude(load_part(row + k, depth - k)));
  return _mm512_max_epu32(even, odd);
}

// One step of 64 values of 14 rows; `Whole` where all of them are there.
template <bool Whole>
inline void pack_step(const float* a, long lda, int rows, long depth, const float* inverse, __m512i* sums,
                      int32_t* out) {
  const __m512i ones = _mm512_set1_epi8(1);
  vf r[L] = {};
#pragma GCC unroll 14
  for (int i = 0; i < MR; i++) {
    if (!Whole && i >= rows) break;
    const float* row = a + i * lda;
    vf v[4];
    for (int m = 0; m < 4; m++) v[m] = Whole ? load(row + m * L) : load_part(row + m * L, depth - m * L);
    const __m512i bytes = bytes_of(v, splat(inverse[i]));
    dot(sums[i], ones, bytes);
    r[i] = (vf)bytes;
  }
  transpose(r);
#pragma GCC unroll 16
  for (int d = 0; d < L; d++)
    if (Whole || group_of(d) * 4 < depth)
      _mm512_mask_storeu_epi32(out + group_of(d) * MR, (1 << MR) - 1, (__m512i)r[d]);
}

// [k / 4][14][4], then RowFactors.
void pack_a(const float* a, long lda, int rows, long depth, void* block) {
  int32_t* out = static_cast<int32_t*>(block);
  RowFactors factors{};
  float inverse[MR] = {};
  __m512i sums[MR] = {};
  for (int i = 0; i < rows; i++) {
    const float top = largest(top_of(a + i * lda, depth));
    inverse[i] = inverse_step(top);
    factors.scale[i] = step_of(top);
  }
  for (long k = 0; k < depth; k += 64) {
    if (rows == MR && k + 64 <= depth) pack_step<true>(a + k, lda, rows, 64, inverse, sums, out + k / 4 * MR);
    else pack_step<false>(a + k, lda, rows, depth - k, inverse, sums, out + k / 4 * MR);
  }
  for (int i = 0; i < rows; i++) factors.start[i] = -128 * _mm512_reduce_add_epi32(sums[i]);
  memcpy(out + (depth + 3) / 4 * MR, &factors, sizeof factors);
}

// B panel: [k / 4][32 columns][4], then 32 scales.
template <Format F>
void pack_rows(const WeightView& w, long n, long k, int depth, int32_t* out, float* scales) {
  const __m512i offset = _mm512_set1_epi8(-128);
  alignas(64) float values[L][kDepthMax];
  for (int half = 0; half < 2; half++) {
    const long first = n + half * L;
    vf inverse[L];
    const int wide = static_cast<int>(round_up(depth, 64));
    for (int i = 0; i < L; i++) {
      __m512i top = _mm512_setzero_si512();
      for (int kk = 0; kk < wide; kk += L) {
        const vf v = first + i < w.rows && kk < depth ? dequant<F>(w, first + i, k + kk) : vf{};
        store(values[i] + kk, v);
        top = _mm512_max_epu32(top, magnitude(v));
      }
      const float value = largest(top);
      inverse[i] = splat(inverse_step(value));
      scales[half * L + i] = step_of(value);
    }
    for (int kk = 0; kk < depth; kk += 64) {
      vf r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) {
        vf v[4];
        for (int m = 0; m < 4; m++) v[m] = load(values[i] + kk + m * L);
        r[i] = (vf)_mm512_xor_si512(bytes_of(v, inverse[i]), offset);
      }
      transpose(r);
#pragma GCC unroll 16
      for (int d = 0; d < L; d++) {
        const int group = kk / 4 + group_of(d);
        if (group * 4 < depth) store(reinterpret_cast<float*>(out) + group * NR + half * L, r[d]);
      }
    }
  }
}

template <Format F>
void pack_cols(const WeightView& w, long n, long k, int depth, int32_t* out, float* scales) {
  alignas(64) float values[kDepthMax][NR];
  __m512i top[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int kk = 0; kk < depth; kk++)
    for (int half = 0; half < 2; half++) {
      const vf v = k + kk < w.rows ? dequant<F>(w, k + kk, n + half * L) : vf{};
      store(values[kk] + half * L, v);
      top[half] = _mm512_max_epu32(top[half], magnitude(v));
    }
  for (int half = 0; half < 2; half++) {
    const vf highest = (vf)top[half];
    const vi none = (vi)(highest < splat(kTiny));
    const vf inverse = select(none, vf{}, kLevels / highest);
    store(scales + half * L, select(none, vf{}, highest / kLevels));
    for (int kk = 0; kk < depth; kk += 4) {
      vi word = splat_i(static_cast<int32_t>(0x80808080u));
#pragma GCC unroll 4
      for (int m = 0; m < 4; m++) {
        const vi q = (vi)rounded(load(values[kk + m] + half * L), inverse);
        word ^= (vi)((vu)(q & 0xff) << (8 * m));
      }
      store(reinterpret_cast<float*>(out) + (kk / 4) * NR + half * L, (vf)word);
    }
  }
}

void pack_b(const WeightView& w, bool transposed, long n, long k, int depth, void* panel) {
  int32_t* out = static_cast<int32_t*>(panel);
  float* scales = reinterpret_cast<float*>(out + depth / 4 * NR);
  with_format(w.format, [&]<Format F>() {
    if (transposed) pack_rows<F>(w, n, k, depth, out, scales);
    else pack_cols<F>(w, n, k, depth, out, scales);
  });
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
  const long groups = t.depth / 4;
  const char *a = t.a, *b = t.b;
  const RowFactors* rows = reinterpret_cast<const RowFactors*>(a + groups * MR * 4);
  const float* scales = reinterpret_cast<const float*>(b + groups * NR * 4);
  __m512i left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) left[i] = right[i] = _mm512_set1_epi32(rows->start[i]);
  for (long g = 0; g < groups; g++, a += MR * 4, b += NR * 4) {
    const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      int32_t word;
      memcpy(&word, a + i * 4, 4);
      const __m512i four = _mm512_set1_epi32(word);
      dot(left[i], b0, four);
      dot(right[i], b1, four);
    }
  }
  const __m512 s0 = _mm512_loadu_ps(scales), s1 = _mm512_loadu_ps(scales + L);
  __m512 l[R], r[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    const __m512 scale = _mm512_set1_ps(rows->scale[i]);
    l[i] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(left[i]), s0), scale);
    r[i] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(right[i]), s1), scale);
  }
  if (t.from) {
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      l[i] = _mm512_add_ps(l[i], _mm512_loadu_ps(t.from + i * t.from_ld));
      r[i] = _mm512_add_ps(r[i], _mm512_loadu_ps(t.from + i * t.from_ld + L));
    }
  }
  add_tail<R, MR>(l, r, t.tail_a, t.tail_b, t.tail_depth);
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    _mm512_storeu_ps(t.c + i * t.ldc, l[i]);
    _mm512_storeu_ps(t.c + i * t.ldc + L, r[i]);
  }
}

typedef void (*TileFn)(const TileArgs&);
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>,  tile<3>,  tile<4>,  tile<5>,  tile<6>, tile<7>,
                                   tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};

#include "tiles.inl"

}  // namespace

const GemmFamily& avx512vnni_family_table();
const GemmFamily& avx512vnni_family_table() {
  static constexpr GemmFamily family = {
      "int8-vnni", MR, NR, 4, kDepthMax, MR, NR, 0, sizeof(RowFactors), NR * sizeof(float), pack_a, pack_b, compute};
  return family;
}

}  // namespace lamina
