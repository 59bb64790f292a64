// What decoding runs: products with few tokens, and one query against the keys and values of a cache. Both are bound by
// memory, so weights are unpacked where they lie and never packed.

// y[t][row] = sum_k w[row][k] x[t][k] for L / TR rows from `row` on; tokens past `tokens` and rows past the last repeat
// one that is there. The order of additions of an element is the same for every TR.
template <Format F, int TR>
inline void few_tile(const WeightView& w, long row, const float* x, long ldx, long tokens, float* y, long ldy) {
  constexpr int RR = L / TR;
  const float* from[TR];
  for (int t = 0; t < TR; t++) from[t] = x + (t < tokens ? t : 0) * ldx;
  long rows[RR];
  for (int r = 0; r < RR; r++) rows[r] = min_of(row + r, w.rows - 1);
  vf acc[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) acc[i] = vf{};
  const auto step = [&](long k, auto&& read) {
    vf xs[TR];
#pragma GCC unroll 4
    for (int t = 0; t < TR; t++) xs[t] = read(from[t] + k);
#pragma GCC unroll 16
    for (int r = 0; r < RR; r++) {
      const vf ws = dequant<F>(w, rows[r], k);
#pragma GCC unroll 4
      for (int t = 0; t < TR; t++) acc[t * RR + r] += xs[t] * ws;
    }
  };
  long k = 0;
  for (; k + L <= w.cols; k += L) step(k, [](const float* p) { return load(p); });
  if (k < w.cols) step(k, [left = w.cols - k](const float* p) { return load_part(p, left); });
  const vf sums = sums_of(acc);
  const float* sum = reinterpret_cast<const float*>(&sums);
  for (int t = 0; t < tokens && t < TR; t++)
    memcpy(y + t * ldy + row, sum + t * RR, static_cast<size_t>(min_of(RR, w.rows - row)) * sizeof(float));
}

template <Format F, int TR>
inline void few_rows(const WeightView& w, long first, long count, const float* x, long ldx, long tokens, float* y,
                     long ldy) {
  for (long row = first; row < first + count; row += L / TR) few_tile<F, TR>(w, row, x, ldx, tokens, y, ldy);
}

void few_tokens(const WeightView& w, long first, long count, const float* x, long ldx, long tokens, float* y,
                long ldy) {
  with_format(w.format, [&]<Format F>() {
    if (tokens == 1) few_rows<F, 1>(w, first, count, x, ldx, tokens, y, ldy);
    else if (tokens == 2) few_rows<F, 2>(w, first, count, x, ldx, tokens, y, ldy);
    else few_rows<F, 4>(w, first, count, x, ldx, tokens, y, ldy);
  });
}

void attend_cache(const float* q, const float* k, const float* v, long ld, long keys, long head_dim, float scale,
                  float* scores, float* y) {
  for (long key = 0; key < keys; key += L) {
    vf acc[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; i++) acc[i] = vf{};
    for (long d = 0; d < head_dim; d += L) {
      const vf query = load_part(q + d, head_dim - d);
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) acc[i] += query * load_part(k + min_of(key + i, keys - 1) * ld + d, head_dim - d);
    }
    store_part(scores + key, sums_of(acc) * scale, keys - key);
  }
  float largest, sum;
  row_softmax(scores, keys, scores, false, &largest, &sum);
  row_scaled(scores, false, keys, 1.0f / sum, scores);
  constexpr int kVectors = 4;
  for (long d = 0; d < head_dim; d += kVectors * L) {
    vf acc[kVectors] = {};
    for (long key = 0; key < keys; key++)
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; i++)
        acc[i] += load_part(v + key * ld + d + i * L, head_dim - d - i * L) * scores[key];
    for (int i = 0; i < kVectors; i++) store_part(y + d + i * L, acc[i], head_dim - d - i * L);
  }
}
