// Causal attention of precision bf16 by AVX512_BF16's pair dot products: the plan of attention.inl (one query per lane,
// scores S^T (keys, 32), softmax down the rows), with every product's inputs rounded to bf16 and everything between the
// products in f32. A pair is two neighbours along the summed index, in one 32-bit word. Products read their left side
// packed in groups of 14 rows, [pair][14]: keys and values are packed once for all queries of all heads that share
// them, by `pack_tokens` (sums over the head's dimensions) and `pack_dims` (sums over tokens).
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include "../kernels.hpp"

#define LAMINA_LANES 16

namespace lamina {
namespace {

#include "vec.inl"

constexpr int MR = 14;
constexpr long kBlock = NR;       // queries of one task
constexpr long kChunk = 10 * MR;  // keys whose scores are held at once going forward: 18 KiB, inside L1

inline long pairs_of(long count) { return (count + 1) / 2; }
inline long groups_of(long rows) { return (rows + MR - 1) / MR; }
// Rows of one group: groups of equal height waste least.
inline long group_height(long rows) { return (rows + groups_of(rows) - 1) / groups_of(rows); }

// lane i: even[i] below odd[i].
inline __m512i interleave(vf even, vf odd) {
  const __m512i e = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)even));
  const __m512i o = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)odd));
  return _mm512_or_si512(e, _mm512_slli_epi32(o, 16));
}
// 2^x for x <= 0 as a bf16 probability needs it: the Taylor polynomial of degree 4 of 2^r on |r| <= 1/2 is off by at
// most (ln2/2)^5 / 5! = 4e-5, a fiftieth of bf16's half unit. 0 from 2^-200 down.
inline vf exp2_of(vf x) {
  const __m512 in = (__m512)maximum(x, splat(-200.0f));
  const __m512 n = _mm512_roundscale_ps(in, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const vf r = (vf)_mm512_sub_ps(in, n);
  vf p = splat(9.61812911e-3f);
  p = p * r + 5.55041087e-2f;
  p = p * r + 2.40226507e-1f;
  p = p * r + 6.93147181e-1f;
  p = p * r + 1.0f;
  return (vf)_mm512_scalef_ps((__m512)p, n);
}
constexpr float kLog2E = 1.44269504088896341f;  // folded into the queries: scores are powers of two

inline void store_pairs(uint32_t* p, __m512i v) { _mm512_storeu_si512(p, v); }

// c (R, 32) = or += sum_p a[p * STEP + i * ROW] . b[p][32]; columns outside the masks are neither read nor written.
template <int R, int STEP, int ROW>
void tile(long pairs, const uint32_t* a, const uint32_t* b, float* c, long ldc, bool accumulate,
          const __mmask16* live) {
  const __mmask16 live0 = live[0], live1 = live[1];
  __m512 left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    left[i] = accumulate ? _mm512_maskz_loadu_ps(live0, c + i * ldc) : _mm512_setzero_ps();
    right[i] = accumulate ? _mm512_maskz_loadu_ps(live1, c + i * ldc + L) : _mm512_setzero_ps();
  }
  for (long p = 0; p < pairs; p++, a += STEP, b += NR) {
    const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + L);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const __m512bh pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i * ROW]));
      left[i] = _mm512_dpbf16_ps(left[i], pair, b0);
      right[i] = _mm512_dpbf16_ps(right[i], pair, b1);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    _mm512_mask_storeu_ps(c + i * ldc, live0, left[i]);
    _mm512_mask_storeu_ps(c + i * ldc + L, live1, right[i]);
  }
}

typedef void (*TileFn)(long, const uint32_t*, const uint32_t*, float*, long, bool, const __mmask16*);
template <int STEP, int ROW>
constexpr TileFn kTiles[MR + 1] = {nullptr,
                                   tile<1, STEP, ROW>,
                                   tile<2, STEP, ROW>,
                                   tile<3, STEP, ROW>,
                                   tile<4, STEP, ROW>,
                                   tile<5, STEP, ROW>,
                                   tile<6, STEP, ROW>,
                                   tile<7, STEP, ROW>,
                                   tile<8, STEP, ROW>,
                                   tile<9, STEP, ROW>,
                                   tile<10, STEP, ROW>,
                                   tile<11, STEP, ROW>,
                                   tile<12, STEP, ROW>,
                                   tile<13, STEP, ROW>,
                                   tile<14, STEP, ROW>};
constexpr __mmask16 kAll[2] = {0xffff, 0xffff};

// c (keys, 32) = a (keys, dims) . b: the group of key k lies at a + k / 14 * pairs * 14. `first` is a multiple of 14.
inline void over_dims(const uint32_t* a, long pairs, long first, long keys, const uint32_t* b, float* c) {
  for (long k = 0; k < keys; k += MR)
    kTiles<MR, 1>[min_of(MR, keys - k)](pairs, a + (first + k)* pairs, b, c + k* NR, NR, false, kAll);
}

// c (dims, 32) = or += a (dims, tokens first .. ) . b over `pairs` pairs of tokens; `room` pairs of tokens in a group.
inline void over_tokens(const uint32_t* a, long dims, long room, long first, long pairs, const uint32_t* b, float* c,
                        bool accumulate) {
  const long height = group_height(dims);
  for (long d = 0; d < dims; d += height)
    kTiles<MR, 1>[min_of(height, dims - d)](pairs, a + (d / height* room + first / 2)* MR, b, c + d* NR, NR, accumulate,
                                            kAll);
}

// c (keys, dims) += a (keys, 32 queries) . b, b in panels of 32 columns [16 pairs][32].
inline void over_queries(const uint32_t* a, long keys, const uint32_t* b, float* c, long dims) {
  for (long k = 0; k < keys; k += MR)
    for (long d = 0; d < dims; d += NR) {
      const long width = min_of(NR, dims - d);
      const __mmask16 live[2] = {static_cast<__mmask16>((1u << min_of(L, width)) - 1),
                                 static_cast<__mmask16>(width > L ? (1u << (width - L)) - 1 : 0)};
      kTiles<1, L>[min_of(MR, keys - k)](L, a + k* L, b + d* L, c + k* dims + d, dims, true, live);
    }
}

size_t tokens_words(long tokens, long head_dim) {
  return static_cast<size_t>(groups_of(tokens) * MR * pairs_of(head_dim));
}
size_t dims_words(long tokens, long head_dim) {
  return static_cast<size_t>(groups_of(head_dim) * MR * pairs_of(tokens));
}

void pack_tokens(const float* x, long ldx, long first, long count, long head_dim, uint32_t* out) {
  const long pairs = pairs_of(head_dim);
  for (long t = first; t < first + count; t++) {
    uint32_t* column = out + t / MR * pairs * MR + t % MR;
    const float* row = x + t * ldx;
    for (long d = 0; d < head_dim; d += 2 * L) {
      alignas(64) uint32_t word[L];
      const vf low = load_part(row + d, head_dim - d), high = load_part(row + d + L, head_dim - d - L);
      _mm512_store_si512(word, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
      const long words = min_of(L, pairs - d / 2);
      for (long j = 0; j < words; j++) column[(d / 2 + j) * MR] = word[j];
    }
  }
}

void pack_dims(const float* x, long ldx, long first, long count, long tokens, long head_dim, uint32_t* out) {
  const long room = pairs_of(tokens), height = group_height(head_dim);
  for (long t = first; t < first + count; t += 2) {
    const float* even = x + t * ldx;
    const bool paired = t + 1 < tokens;  // a last token without a neighbour is paired with zeros
    uint32_t* group = out + t / 2 * MR;
    for (long d = 0; d < head_dim; d += height, group += room * MR) {
      const __mmask16 live = static_cast<__mmask16>((1u << min_of(height, head_dim - d)) - 1);
      const vf low = (vf)_mm512_maskz_loadu_ps(live, even + d);
      const vf high = paired ? (vf)_mm512_maskz_loadu_ps(live, even + ldx + d) : vf{};
      _mm512_mask_storeu_epi32(group, live, interleave(low, high));
    }
  }
}

// (count, ldx) rows -> pairs of dimensions [pair][32 queries] with `factor`; lanes past count are zero.
void pack_queries(const float* x, long ldx, long count, long head_dim, float factor, uint32_t* out) {
  for (int half = 0; half < 2; half++)
    for (long d = 0; d < head_dim; d += L) {
      vf r[L];
      for (int i = 0; i < L; i++) {
        const long q = half * L + i;
        r[i] = q < count ? load_part(x + q * ldx + d, head_dim - d) * factor : vf{};
      }
      transpose(r);
      for (int j = 0; j < L && d + j < head_dim; j += 2)
        store_pairs(out + (d + j) / 2 * NR + half * L, interleave(r[j], r[j + 1]));
    }
}

// The same rows as the right side of sums over queries: panels of 32 columns [16 pairs of queries][32].
void pack_query_rows(const float* x, long ldx, long count, long head_dim, uint32_t* out) {
  for (long d = 0; d < head_dim; d += NR, out += NR * L)
    for (long q = 0; q < NR; q += 2)
      for (int half = 0; half < 2; half++) {
        const long from = d + half * L, left = head_dim - from;
        const vf even = q < count ? load_part(x + q * ldx + from, left) : vf{};
        const vf odd = q + 1 < count ? load_part(x + (q + 1) * ldx + from, left) : vf{};
        store_pairs(out + q / 2 * NR + half * L, interleave(even, odd));
      }
}

// [d][32] -> rows of the first `count` queries, each lane times its factor.
void unpack_queries(const float* in, const vf (&factor)[2], long count, long head_dim, float* x, long ldx) {
  for (int half = 0; half < 2; half++)
    for (long d = 0; d < head_dim; d += L) {
      vf r[L];
      for (int j = 0; j < L; j++) r[j] = d + j < head_dim ? load(in + (d + j) * NR + half * L) * factor[half] : vf{};
      transpose(r);
      for (int i = 0; i < L; i++)
        if (half * L + i < count) store_part(x + (half * L + i) * ldx + d, r[i], head_dim - d);
    }
}

// -infinity where key first_key + row is not seen by query first_query + lane: later than it, or `window` or more
// before it.
void mask(float* s, long first_key, long keys, long first_query, long window) {
  const vi lane = iota();
  const vf gone = splat(-__builtin_inff());
  const auto apply = [&](long i) {
    const vi ahead = splat_i(static_cast<int32_t>(first_key + i - first_query));
    const vi past = splat_i(static_cast<int32_t>(min_of(first_key + i - first_query + window, 1l << 30)));
    for (int half = 0; half < 2; half++) {
      const vi at = lane + half * L;
      float* row = s + i * NR + half * L;
      store(row, select((at < ahead) | (at >= past), gone, load(row)));
    }
  };
  // keys up to the block's first query that the block's last query still sees are seen by all of it
  const long near = first_query - first_key, far = first_query + NR - 1 - window + 1 - first_key;
  for (long i = 0; i < min_of(keys, far); i++) apply(i);
  for (long i = near + 1 > far ? (near + 1 > 0 ? near + 1 : 0) : (far > 0 ? far : 0); i < keys; i++) apply(i);
}

inline float* words_as_floats(uint32_t* p) { return reinterpret_cast<float*>(p); }
inline uint32_t* floats_as_words(float* p) { return reinterpret_cast<uint32_t*>(p); }

size_t scratch(const AttentionShape& shape, long longest) {
  const long dims = shape.head_dim, keys = round_up(longest, kChunk) + 2;
  const long queries = 3 * (pairs_of(dims) + 1) * NR + 2 * round_up(dims, NR) * L + dims * NR;
  return static_cast<size_t>(queries + 2 * keys * NR + 2 * keys * L + pairs_of(keys) * NR);
}

void forward(const AttentionShape& shape, const float* q, const AttentionBf16::Packed& packed, float* y, long first,
             long count, float* work) {
  const long dims = shape.head_dim, ldq = shape.heads * dims, pairs = pairs_of(dims);
  uint32_t* queries = floats_as_words(work);
  float* out = work + pairs * NR;
  float* s = out + dims * NR;
  uint32_t* p16 = floats_as_words(s + (kChunk + 1) * NR);
  pack_queries(q + first * ldq, ldq, count, dims, shape.scale * kLog2E, queries);
  vf top[2] = {splat(-__builtin_inff()), splat(-__builtin_inff())}, total[2] = {vf{}, vf{}};
  const long end = first + count, window = shape.window;
  const long start = first - window + 1 > 0 ? (first - window + 1) / kChunk * kChunk : 0;
  for (long key = start; key < end; key += kChunk) {
    const long keys = min_of(kChunk, end - key);
    over_dims(packed.k_tokens, pairs, key, keys, queries, s);
    mask(s, key, keys, first, window);
    if (keys % 2 == 1)
      for (int half = 0; half < 2; half++) store(s + keys * NR + half * L, splat(-__builtin_inff()));
    for (int half = 0; half < 2; half++) {
      const float* column = s + half * L;
      vf highest = top[half];
      for (long i = 0; i < keys; i++) highest = maximum(load(column + i * NR), highest);
      // a query that sees no key of this chunk (a window may begin later) keeps a finite reference
      const vf reference = maximum(highest, splat(-3e38f));
      const vf shrink = exp2_of(top[half] - reference);
      vf sum{};
      for (long i = 0; i < keys; i += 2) {
        const vf even = exp2_of(load(column + i * NR) - reference),
                 odd = exp2_of(load(column + (i + 1) * NR) - reference);
        sum += even + odd;
        store_pairs(p16 + i / 2 * NR + half * L, interleave(even, odd));
      }
      total[half] = total[half] * shrink + sum;
      if (key > start)
        for (long d = 0; d < dims; d++) store(out + d * NR + half * L, load(out + d * NR + half * L) * shrink);
      top[half] = highest;
    }
    over_tokens(packed.v_dims, dims, packed.room, key, pairs_of(keys), p16, out, key > start);
  }
  const vf factor[2] = {1.0f / total[0], 1.0f / total[1]};
  unpack_queries(out, factor, count, dims, y + first * ldq, ldq);
}

// Scores and d loss / d probability of all keys in `s` and `ds` -> probabilities and d loss / d score as the left sides
// of sums over queries, and the latter as the right side of a sum over keys too.
void softmax_backward(float* s, float* ds, long keys, float scale, uint32_t* p_rows, uint32_t* ds_rows,
                      uint32_t* ds_pairs) {
  vf inverse[2], mean[2];
  for (int half = 0; half < 2; half++) {
    float* sc = s + half * L;
    const float* dc = ds + half * L;
    vf top = splat(-__builtin_inff()), total{}, sum{};
    for (long i = 0; i < keys; i++) top = maximum(load(sc + i * NR), top);
    top = maximum(top, splat(-3e38f));  // lanes without a query may see no key: their probabilities are zeros
    for (long i = 0; i < keys; i++) {
      const vf p = exp2_of(load(sc + i * NR) - top);
      total += p;
      sum += p * load(dc + i * NR);
      store(sc + i * NR, p);
    }
    inverse[half] = 1.0f / maximum(total, splat(1e-37f));
    mean[half] = sum * inverse[half];
  }
  for (long i = 0; i < keys; i += 2) {
    vf d[2][2];
    for (int odd = 0; odd < 2; odd++) {
      const float* sc = s + (i + odd) * NR;
      const float* dc = ds + (i + odd) * NR;
      vf p[2];
      for (int half = 0; half < 2; half++) {
        p[half] = i + odd < keys ? load(sc + half * L) * inverse[half] : vf{};
        d[odd][half] = i + odd < keys ? p[half] * (load(dc + half * L) - mean[half]) * scale : vf{};
      }
      const auto as_row = [](vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); };
      store_pairs(p_rows + (i + odd) * L, as_row(p[0], p[1]));
      store_pairs(ds_rows + (i + odd) * L, as_row(d[odd][0], d[odd][1]));
    }
    for (int half = 0; half < 2; half++)
      store_pairs(ds_pairs + i / 2 * NR + half * L, interleave(d[0][half], d[1][half]));
  }
}

void backward(const AttentionShape& shape, const float* dy, const float* q, const AttentionBf16::Packed& packed,
              float* dq, float* dk, float* dv, long first, long count, float* work) {
  const long dims = shape.head_dim, ldq = shape.heads * dims, pairs = pairs_of(dims), window = shape.window;
  const long start = first - window + 1 > 0 ? (first - window + 1) / kChunk * kChunk : 0;
  const long keys = first + count - start, room = keys + 1;
  uint32_t* queries = floats_as_words(work);
  uint32_t* dout = queries + pairs * NR;
  uint32_t* query_rows = dout + pairs * NR;
  uint32_t* dout_rows = query_rows + round_up(dims, NR) * L;
  float* dqueries = words_as_floats(dout_rows + round_up(dims, NR) * L);
  float* s = dqueries + dims * NR;
  float* ds = s + room * NR;
  uint32_t* p_rows = floats_as_words(ds + room * NR);
  uint32_t* ds_rows = p_rows + room * L;
  uint32_t* ds_pairs = ds_rows + room * L;
  pack_queries(q + first * ldq, ldq, count, dims, shape.scale * kLog2E, queries);
  pack_queries(dy + first * ldq, ldq, count, dims, 1.0f, dout);
  pack_query_rows(q + first * ldq, ldq, count, dims, query_rows);
  pack_query_rows(dy + first * ldq, ldq, count, dims, dout_rows);
  over_dims(packed.k_tokens, pairs, start, keys, queries, s);
  over_dims(packed.v_tokens, pairs, start, keys, dout, ds);
  mask(s, start, keys, first, window);
  softmax_backward(s, ds, keys, shape.scale, p_rows, ds_rows, ds_pairs);
  over_tokens(packed.k_dims, dims, packed.room, start, pairs_of(keys), ds_pairs, dqueries, false);
  const vf one[2] = {splat(1.0f), splat(1.0f)};
  unpack_queries(dqueries, one, count, dims, dq + first * ldq, ldq);
  over_queries(p_rows, keys, dout_rows, dv + start * dims, dims);
  over_queries(ds_rows, keys, query_rows, dk + start * dims, dims);
}

}  // namespace

const AttentionBf16& avx512bf16_attention();
const AttentionBf16& avx512bf16_attention() {
  static constexpr AttentionBf16 table = {kBlock,    kChunk,  tokens_words, dims_words, pack_tokens,
                                          pack_dims, scratch, forward,      backward};
  return table;
}

}  // namespace lamina
