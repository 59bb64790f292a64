// What the two bf16 families share: inputs rounded to bf16 (to nearest, ties to even), pairs of k beside each other,
// f32 sums.

// B panel: [k / 2][32 columns][2].
template <Format F>
void pack_pairs_rows(const WeightView& w, long n, long k, int depth, uint32_t* out) {
  for (int half = 0; half < 2; half++)
    for (int kk = 0; kk < depth; kk += 32) {
      vf r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) {
        const long at = n + half * L + i;
        r[i] = at < w.rows ? pair_up(dequant<F>(w, at, k + kk), dequant<F>(w, at, k + kk + L)) : vf{};
      }
      transpose(r);
      const long count = min_of(L, (depth - kk + 1) / 2);
      for (long j = 0; j < count; j++) store(reinterpret_cast<float*>(out) + (kk / 2 + j) * NR + half * L, r[j]);
    }
}

template <Format F>
void pack_pairs_cols(const WeightView& w, long n, long k, int depth, uint32_t* out) {
  for (int kk = 0; kk < depth; kk += 2)
    for (int half = 0; half < 2; half++) {
      const long col = n + half * L;
      const vf even = k + kk < w.rows ? dequant<F>(w, k + kk, col) : vf{};
      const vf odd = k + kk + 1 < w.rows ? dequant<F>(w, k + kk + 1, col) : vf{};
      store(reinterpret_cast<float*>(out) + (kk / 2) * NR + half * L, interleave(even, odd));
    }
}

void pack_pairs(const WeightView& w, bool transposed, long n, long k, int depth, void* panel) {
  uint32_t* out = static_cast<uint32_t*>(panel);
  with_format(w.format, [&]<Format F>() {
    if (transposed) pack_pairs_rows<F>(w, n, k, depth, out);
    else pack_pairs_cols<F>(w, n, k, depth, out);
  });
}
