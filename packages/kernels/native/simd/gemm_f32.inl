// f32 products: C (rows, cols) = sum_k a[k][row] b[k][col] in register tiles of MR x 2 vectors, a and b streamed along
// k.

// a[k * lda + i], i < R; b[k * ldb + j], j < NR; c (R, NR) row-major, which begins as `from`, or zeros. The order of
// additions per element is k = 0, 1,
// ...
template <int R>
inline void tile(long depth, const float* a, long lda, const float* b, long ldb, float* c, long ldc, const float* from,
                 long from_ld) {
  vf left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    left[i] = from ? load(from + i * from_ld) : vf{};
    right[i] = from ? load(from + i * from_ld + L) : vf{};
  }
  for (long k = 0; k < depth; k++, a += lda, b += ldb) {
    const vf b0 = load(b), b1 = load(b + L);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      left[i] += b0 * a[i];
      right[i] += b1 * a[i];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    store(c + i * ldc, left[i]);
    store(c + i * ldc + L, right[i]);
  }
}

typedef void (*TileFn)(long, const float*, long, const float*, long, float*, long, const float*, long);

#if defined(LAMINA_NEON)
constexpr int MR = 12;  // 24 sums, 2 of b and the rest for a, of 32 registers
#else
constexpr int MR = LAMINA_LANES == 16 ? 14 : LAMINA_LANES == 8 ? 6 : 4;
#endif

#if LAMINA_LANES == 16
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>,  tile<3>,  tile<4>,  tile<5>,  tile<6>, tile<7>,
                                   tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};
#elif LAMINA_LANES == 8
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
#elif defined(LAMINA_NEON)
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>, tile<3>,  tile<4>,  tile<5>, tile<6>,
                                   tile<7>, tile<8>, tile<9>, tile<10>, tile<11>, tile<12>};
#else
constexpr TileFn kTiles[MR + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>};
#endif

// Any R <= MR rows and any number of columns <= NR; narrow tiles go through a full one beside C. b must be readable for
// NR columns.
inline void tile_any(int rows, long cols, long depth, const float* a, long lda, const float* b, long ldb, float* c,
                     long ldc, const float* from, long from_ld) {
  if (cols >= NR) {
    kTiles[rows](depth, a, lda, b, ldb, c, ldc, from, from_ld);
    return;
  }
  alignas(64) float part[MR * NR];
  for (int i = 0; i < rows; i++)
    for (long j = 0; j < NR; j++) part[i * NR + j] = from && j < cols ? from[i * from_ld + j] : 0.0f;
  kTiles[rows](depth, a, lda, b, ldb, part, NR, part, NR);
  for (int i = 0; i < rows; i++) memcpy(c + i * ldc, part + i * NR, static_cast<size_t>(cols) * sizeof(float));
}

// Packed as [k][MR]; where MR is not whole vectors each store of L floats overlaps the next k, so a block needs L
// floats of slack.
void pack_a_f32(const float* a, long lda, int rows, long depth, void* block) {
  static_assert(MR <= L || MR % L == 0, "one group of L rows, or whole ones");
  float* out = static_cast<float*>(block);
  for (long k = 0; k < depth; k += L)
    for (int group = 0; group < MR; group += L) {
      vf r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) r[i] = group + i < rows ? load_part(a + (group + i) * lda + k, depth - k) : vf{};
      transpose(r);
      const long count = min_of(L, depth - k);
      for (long j = 0; j < count; j++) store(out + (k + j) * MR + group, r[j]);
    }
}

template <Format F>
void pack_b_rows(const WeightView& w, long n, long k, int depth, float* out) {
  for (int half = 0; half < 2; half++) {
    for (int kk = 0; kk < depth; kk += L) {
      vf r[L];
      const long first = n + half * L;
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) r[i] = first + i < w.rows ? dequant<F>(w, first + i, k + kk) : vf{};
      transpose(r);
      const long count = min_of(L, depth - kk);
      for (long j = 0; j < count; j++) store(out + (kk + j) * NR + half * L, r[j]);
    }
  }
}

template <Format F>
void pack_b_cols(const WeightView& w, long n, long k, int depth, float* out) {
  for (int kk = 0; kk < depth; kk++) {
    store(out + kk * NR, dequant<F>(w, k + kk, n));
    store(out + kk * NR + L, dequant<F>(w, k + kk, n + L));
  }
}

void pack_b_f32(const WeightView& w, bool transposed, long n, long k, int depth, void* panel) {
  float* out = static_cast<float*>(panel);
  with_format(w.format, [&]<Format F>() {
    if (transposed) pack_b_rows<F>(w, n, k, depth, out);
    else pack_b_cols<F>(w, n, k, depth, out);
  });
}

void compute_f32(const GemmFamily::Compute& g) {
  for (long row = 0; row < g.rows; row += MR) {
    const float* a = reinterpret_cast<const float*>(g.a + static_cast<size_t>(row / MR) * g.a_stride);
    const int rows = static_cast<int>(min_of(MR, g.rows - row));
    for (long col = 0; col < g.cols; col += NR) {
      float* c = g.c + row * g.ldc + col;
      tile_any(rows, g.cols - col, g.depth, a, MR,
               reinterpret_cast<const float*>(g.b + static_cast<size_t>(col / NR) * g.b_stride), NR, c, g.ldc,
               g.from ? g.from + row * g.from_ld + col : nullptr, g.from_ld);
      if (g.tail_depth > 0)
        tile_any(rows, g.cols - col, g.tail_depth, g.tail_a + row * g.tail_depth, MR, g.tail_b + col * g.tail_depth, NR,
                 c, g.ldc, c, g.ldc);
    }
  }
}

constexpr GemmFamily f32_family() {
  return {"f32", MR, NR,         1,          384,        MR * sizeof(float), NR * sizeof(float), L * sizeof(float),
          0,     0,  pack_a_f32, pack_b_f32, compute_f32};
}
