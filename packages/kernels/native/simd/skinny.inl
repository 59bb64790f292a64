// Products with a rank-r factor: too thin for packed panels.

template <int TR, int RR>
inline void dot_tile(const float* x, long ldx, const float* a, long lda, long depth, float scale, float* out, long ldo) {
  vf acc[TR][RR];
#pragma GCC unroll 8
  for (int t = 0; t < TR; t++)
#pragma GCC unroll 8
    for (int r = 0; r < RR; r++) acc[t][r] = vf{};
  long k = 0;
  for (; k + L <= depth; k += L) {
    vf xs[TR];
#pragma GCC unroll 8
    for (int t = 0; t < TR; t++) xs[t] = load(x + t * ldx + k);
#pragma GCC unroll 8
    for (int r = 0; r < RR; r++) {
      const vf as = load(a + r * lda + k);
#pragma GCC unroll 8
      for (int t = 0; t < TR; t++) acc[t][r] += xs[t] * as;
    }
  }
  if (k < depth)
    for (int r = 0; r < RR; r++) {
      const vf as = load_part(a + r * lda + k, depth - k);
      for (int t = 0; t < TR; t++) acc[t][r] += load_part(x + t * ldx + k, depth - k) * as;
    }
  for (int t = 0; t < TR; t++)
    for (int r = 0; r < RR; r++) out[t * ldo + r] = scale * sum_of(acc[t][r]);
}

template <int TR>
inline void dot_strip(const float* x, long ldx, const float* a, long lda, long ranks, long depth, float scale, float* out, long ldo) {
  constexpr int RR = L >= 16 ? 8 : 4;
  long r = 0;
  for (; r + RR <= ranks; r += RR) dot_tile<TR, RR>(x, ldx, a + r * lda, lda, depth, scale, out + r, ldo);
  for (; r < ranks; r++) dot_tile<TR, 1>(x, ldx, a + r * lda, lda, depth, scale, out + r, ldo);
}

void dot_rows(const float* x, long ldx, long rows, const float* a, long lda, long ranks, long depth, float scale, float* out, long ldo) {
  constexpr int TR = L >= 16 ? 3 : 2;
  long t = 0;
  for (; t + TR <= rows; t += TR) dot_strip<TR>(x + t * ldx, ldx, a, lda, ranks, depth, scale, out + t * ldo, ldo);
  for (; t < rows; t++) dot_strip<1>(x + t * ldx, ldx, a, lda, ranks, depth, scale, out + t * ldo, ldo);
}

void token_sum(const float* a, long lda, long rows, const float* b, long ldb, long cols, long tokens, float scale, float* c, long ldi, long ldj) {
  alignas(64) float part[MR * NR];
  for (long j = 0; j < cols; j += NR) {
    const long width = min_of(NR, cols - j);
    for (long i = 0; i < rows; i += MR) {
      const int height = static_cast<int>(min_of(MR, rows - i));
      if (width == NR) kTiles[height](tokens, a + i, lda, b + j, ldb, part, NR, false);
      else {
        for (int r = 0; r < height; r++)
          for (long q = 0; q < NR; q++) part[r * NR + q] = 0.0f;
        for (long t = 0; t < tokens; t++)
          for (int r = 0; r < height; r++)
            for (long q = 0; q < width; q++) part[r * NR + q] += a[t * lda + i + r] * b[t * ldb + j + q];
      }
      for (int r = 0; r < height; r++)
        for (long q = 0; q < width; q++) c[(i + r) * ldi + (j + q) * ldj] = scale * part[r * NR + q];
    }
  }
}

inline vu mix(vu x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// Factors of elements first .. first + L - 1; the same bits as src/drop-hash.ts.
inline vf drop_factor(vu seed_mixed, long first, const Dropout& dropout) {
  if (dropout.threshold > 0xffffffffull) return vf{};
  const vu index = splat_u(static_cast<uint32_t>(first)) + reinterpret_cast<vu>(iota());
  const vu hash = mix(mix(index + 0x9e3779b9u) ^ seed_mixed);
  return (hash < splat_u(static_cast<uint32_t>(dropout.threshold))) ? vf{} : splat(dropout.keep);
}

void drop(const float* x, float* y, long first, long count, const Dropout& dropout) {
  const vu seed = mix(splat_u(dropout.seed ^ 0x85ebca6bu));
  for (long i = 0; i < count; i += L)
    store_part(y + i, load_part(x + i, count - i) * drop_factor(seed, first + i, dropout), count - i);
}

void add_dropped(const float* x, float* y, long first, long count, const Dropout& dropout) {
  const vu seed = mix(splat_u(dropout.seed ^ 0x85ebca6bu));
  for (long i = 0; i < count; i += L)
    store_part(y + i, load_part(y + i, count - i) + load_part(x + i, count - i) * drop_factor(seed, first + i, dropout), count - i);
}
