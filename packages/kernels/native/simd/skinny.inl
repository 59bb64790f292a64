// Products with a rank-r factor: too thin for packed panels.

// TR tokens x RR ranks with TR * RR == L, so that all sums across lanes are folded together.
template <int TR, int RR>
inline void dot_tile(const float* x, long ldx, const float* a, long lda, long depth, float scale, float* out,
                     long ldo) {
  static_assert(TR * RR == L);
  vf acc[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) acc[i] = vf{};
  const auto step = [&](long k, auto&& read) {
    vf xs[TR];
#pragma GCC unroll 4
    for (int t = 0; t < TR; t++) {
      xs[t] = read(x + t * ldx + k);
      __builtin_prefetch(x + (t + TR) * ldx + k);  // the next rows come from far
    }
#pragma GCC unroll 4
    for (int r = 0; r < RR; r++) {
      const vf as = read(a + r * lda + k);
#pragma GCC unroll 4
      for (int t = 0; t < TR; t++) acc[t * RR + r] += xs[t] * as;
    }
  };
  long k = 0;
  for (; k + L <= depth; k += L) step(k, [](const float* p) { return load(p); });
  if (k < depth) step(k, [left = depth - k](const float* p) { return load_part(p, left); });
  const vf sums = sums_of(acc) * scale;
  for (int t = 0; t < TR; t++)
    memcpy(out + t * ldo, reinterpret_cast<const float*>(&sums) + t * RR, RR * sizeof(float));
}

inline float dot_one(const float* x, const float* a, long depth, float scale) {
  vf acc{};
  for (long k = 0; k < depth; k += L) acc += load_part(x + k, depth - k) * load_part(a + k, depth - k);
  return scale * sum_of(acc);
}

void dot_rows(const float* x, long ldx, long rows, const float* a, long lda, long ranks, long depth, float scale,
              float* out, long ldo) {
  constexpr int TR = 4, RR = L / 4;
  const long whole_rows = rows / TR * TR, whole_ranks = ranks / RR * RR;
  for (long t = 0; t < whole_rows; t += TR)
    for (long r = 0; r < whole_ranks; r += RR)
      dot_tile<TR, RR>(x + t * ldx, ldx, a + r * lda, lda, depth, scale, out + t * ldo + r, ldo);
  for (long t = 0; t < rows; t++)
    for (long r = t < whole_rows ? whole_ranks : 0; r < ranks; r++)
      out[t * ldo + r] = dot_one(x + t * ldx, a + r * lda, depth, scale);
}

void token_sum(const float* a, long lda, long rows, const float* b, long ldb, long cols, long tokens, float* c,
               bool accumulate) {
  // Tiles of equal height: 16 rows are 8 + 8, not 14 + 2.
  const long tiles = (rows + MR - 1) / MR, step = (rows + tiles - 1) / (tiles > 0 ? tiles : 1);
  const long whole = cols / NR * NR;
  for (long i = 0; i < rows; i += step) {
    const int height = static_cast<int>(min_of(step, rows - i));
    for (long j = 0; j < whole; j += NR)
      kTiles[height](tokens, a + i, lda, b + j, ldb, c + i * cols + j, cols, accumulate ? c + i * cols + j : nullptr,
                     cols);
    for (int r = 0; r < height; r++)
      for (long j = whole; j < cols; j++) {
        float sum = accumulate ? c[(i + r) * cols + j] : 0.0f;
        for (long t = 0; t < tokens; t++) sum += a[t * lda + i + r] * b[t * ldb + j];
        c[(i + r) * cols + j] = sum;
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
    store_part(y + i, load_part(y + i, count - i) + load_part(x + i, count - i) * drop_factor(seed, first + i, dropout),
               count - i);
}
