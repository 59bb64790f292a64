// Doubles, for native/product_f64.cpp, householder.cpp, eigen.cpp and stack.cpp: LD to a vector, register tiles as in
// gemm_f32.inl. Sums over k run in one order that only the lengths decide.
constexpr int LD = L / 2;
constexpr int NRD = 2 * LD;
constexpr int MRD = MR;

typedef double vd __attribute__((vector_size(4 * LAMINA_LANES)));
typedef double vdu __attribute__((vector_size(4 * LAMINA_LANES), aligned(8), may_alias));

inline vd load_f64(const double* p) { return *reinterpret_cast<const vdu*>(p); }
inline void store_f64(double* p, vd v) { *reinterpret_cast<vdu*>(p) = v; }
inline vd load_f64_part(const double* p, long count) {
  vd v{};
  memcpy(&v, p, sizeof(double) * static_cast<size_t>(count));
  return v;
}

inline double sum_of_f64(vd v) {
  double lane[LD];
  memcpy(lane, &v, sizeof v);
  for (int half = LD / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}

// c (R, NRD) += alpha * a b, with a packed as [k][MRD] and b as [k][NRD].
template <int R>
void tile_f64(long depth, const double* a, const double* b, double alpha, double* c, long ldc) {
  vd left[R], right[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) left[i] = right[i] = vd{};
  for (long k = 0; k < depth; k++, a += MRD, b += NRD) {
    const vd b0 = load_f64(b), b1 = load_f64(b + LD);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      left[i] += b0 * a[i];
      right[i] += b1 * a[i];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    double* row = c + i * ldc;
    store_f64(row, load_f64(row) + left[i] * alpha);
    store_f64(row + LD, load_f64(row + LD) + right[i] * alpha);
  }
}

typedef void (*TileF64)(long, const double*, const double*, double, double*, long);

template <int R>
inline TileF64 tile_f64_of(int rows) {
  if constexpr (R > 1)
    if (rows < R) return tile_f64_of<R - 1>(rows);
  return tile_f64<R>;
}

// rows <= MRD, any number of columns <= NRD.
void tile_f64_any(int rows, long cols, long depth, const double* a, const double* b, double alpha, double* c,
                  long ldc) {
  const TileF64 tile = tile_f64_of<MRD>(rows);
  if (cols >= NRD) {
    tile(depth, a, b, alpha, c, ldc);
    return;
  }
  alignas(64) double part[MRD * NRD] = {};
  for (int i = 0; i < rows; i++) memcpy(part + i * NRD, c + i * ldc, static_cast<size_t>(cols) * sizeof(double));
  tile(depth, a, b, alpha, part, NRD);
  for (int i = 0; i < rows; i++) memcpy(c + i * ldc, part + i * NRD, static_cast<size_t>(cols) * sizeof(double));
}

// Rows of x and v whose products one tile of `dots_f64` sums in registers.
constexpr int DX = L == 16 ? 4 : 3;
constexpr int DV = L == 16 ? 6 : 3;

// out[i][j] += sum_k x[i][k] v[j][k], both row-major; rows past the end are the last one once more, and not kept.
void dots_f64(const double* x, long ldx, long x_rows, const double* v, long ldv, long v_rows, long length, double* out,
              long ldo) {
  for (long i0 = 0; i0 < x_rows; i0 += DX)
    for (long j0 = 0; j0 < v_rows; j0 += DV) {
      const double *xs[DX], *vs[DV];
      vd sums[DX][DV];
#pragma GCC unroll 8
      for (int i = 0; i < DX; i++) xs[i] = x + min_of(i0 + i, x_rows - 1) * ldx;
#pragma GCC unroll 8
      for (int j = 0; j < DV; j++) vs[j] = v + min_of(j0 + j, v_rows - 1) * ldv;
#pragma GCC unroll 8
      for (int i = 0; i < DX; i++)
#pragma GCC unroll 8
        for (int j = 0; j < DV; j++) sums[i][j] = vd{};
      const auto step = [&](auto read, long k) {
        vd row[DX];
#pragma GCC unroll 8
        for (int i = 0; i < DX; i++) row[i] = read(xs[i] + k);
#pragma GCC unroll 8
        for (int j = 0; j < DV; j++) {
          const vd other = read(vs[j] + k);
#pragma GCC unroll 8
          for (int i = 0; i < DX; i++) sums[i][j] += row[i] * other;
        }
      };
      long k = 0;
      for (; k + LD <= length; k += LD) step(load_f64, k);
      if (k < length) step([&](const double* p) { return load_f64_part(p, length - k); }, k);
#pragma GCC unroll 8
      for (int i = 0; i < DX; i++)
#pragma GCC unroll 8
        for (int j = 0; j < DV; j++)
          if (i0 + i < x_rows && j0 + j < v_rows) out[(i0 + i) * ldo + j0 + j] += sum_of_f64(sums[i][j]);
    }
}

double dot_f64(const double* x, const double* y, long length) {
  vd sums[4] = {};
  long k = 0;
  for (; k + 4 * LD <= length; k += 4 * LD)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) sums[i] += load_f64(x + k + i * LD) * load_f64(y + k + i * LD);
  double total = sum_of_f64((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; k < length; k++) total += x[k] * y[k];
  return total;
}

// y += s x
void axpy_f64(double s, const double* x, double* y, long length) {
  long k = 0;
  for (; k + LD <= length; k += LD) store_f64(y + k, load_f64(y + k) + load_f64(x + k) * s);
  for (; k < length; k++) y[k] += s * x[k];
}

// y += s u + t w; returns y z.
double rank2_dot_f64(double s, const double* u, double t, const double* w, const double* z, double* y, long length) {
  vd sums[2] = {};
  long k = 0;
  for (; k + 2 * LD <= length; k += 2 * LD)
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
      const long at = k + i * LD;
      const vd value = load_f64(y + at) + load_f64(u + at) * s + load_f64(w + at) * t;
      store_f64(y + at, value);
      sums[i] += value * load_f64(z + at);
    }
  double total = sum_of_f64(sums[0] + sums[1]);
  for (; k < length; k++) {
    y[k] += s * u[k] + t * w[k];
    total += y[k] * z[k];
  }
  return total;
}

// Plane rotations chase from row `high` up to row `low` through `cols` <= NRD columns; `turns` holds (sine, cosine) of
// rows high - 1 and high, then of high - 2 and high - 1, ... A row is written once, in registers until then.
void rotate_f64(double* rows, long ld, long cols, const double* turns, long low, long high) {
  if (cols == NRD) {
    double* row = rows + high * ld;
    vd b0 = load_f64(row), b1 = load_f64(row + LD);
    for (long i = high; i > low; i--, turns += 2) {
      const double sine = turns[0], cosine = turns[1];
      double* above = row - ld;
      const vd a0 = load_f64(above), a1 = load_f64(above + LD);
      store_f64(row, a0 * sine + b0 * cosine);
      store_f64(row + LD, a1 * sine + b1 * cosine);
      b0 = a0 * cosine - b0 * sine;
      b1 = a1 * cosine - b1 * sine;
      row = above;
    }
    store_f64(row, b0);
    store_f64(row + LD, b1);
    return;
  }
  for (long i = high; i > low; i--, turns += 2)
    for (long k = 0; k < cols; k++) {
      const double below = rows[i * ld + k], above = rows[(i - 1) * ld + k];
      rows[i * ld + k] = turns[0] * above + turns[1] * below;
      rows[(i - 1) * ld + k] = turns[1] * above - turns[0] * below;
    }
}

// Half a vector of floats: as many as there are doubles in one.
typedef float vh __attribute__((vector_size(2 * LAMINA_LANES)));
typedef float vhu __attribute__((vector_size(2 * LAMINA_LANES), aligned(4), may_alias));

// Where a product and a sum are rounded once, what rounding did to a product is known in f32.
#if LAMINA_LANES == 16
constexpr bool kFused = true;
inline vh fused(vh a, vh b, vh c) { return (vh)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
inline void store_far(float* p, vh v) { _mm256_stream_ps(p, (__m256)v); }
#elif LAMINA_LANES == 8
constexpr bool kFused = true;
inline vh fused(vh a, vh b, vh c) { return (vh)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c); }
inline void store_far(float* p, vh v) { _mm_stream_ps(p, (__m128)v); }
#else
constexpr bool kFused = false;
inline vh fused(vh a, vh b, vh c) { return a * b + c; }
inline void store_far(float* p, vh v) { *reinterpret_cast<vhu*>(p) = v; }
#endif

typedef int32_t vbits __attribute__((vector_size(4 * LAMINA_LANES)));
typedef int32_t vbitsu __attribute__((vector_size(4 * LAMINA_LANES), aligned(4), may_alias));
#if LAMINA_LANES == 16
inline void store_bits_far(float* p, vbits v) { _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v); }
#elif LAMINA_LANES == 8
inline void store_bits_far(float* p, vbits v) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v); }
#elif defined(__x86_64__)
inline void store_bits_far(float* p, vbits v) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v); }
#else
inline void store_bits_far(float* p, vbits v) { *reinterpret_cast<vbitsu*>(p) = v; }
#endif

bool move_lines(const float* x, long lines, float* y) {
  constexpr int32_t kExponent = 0x7f800000;
  vbits wrong{};
  for (long i = 0; i < lines * kLineFloats; i += LAMINA_LANES) {
    const vbits bits = *reinterpret_cast<const vbitsu*>(x + i);
    wrong |= (bits & kExponent) == kExponent;
    store_bits_far(y + i, bits);
  }
  int32_t any = 0;
  for (int i = 0; i < LAMINA_LANES; i++) any |= wrong[i];
  return any != 0;
}

// What x is multiplied by: in f64, and as a sum of two f32 where that is as good as exact.
struct Scale {
  double whole;
  float high, low;
  bool split;
  explicit Scale(double s) : whole(s), high(static_cast<float>(s)), low(static_cast<float>(s - high)) {
    const double size = s < 0 ? -s : s;
    split = kFused && size > 0x1p-60 && size < 0x1p60;
  }
};

// What a row comes to, in L partial sums, and what its rounding does.
struct RowSums {
  vh size[2], rounding[2];
};

// y = s x, x (LD). `kFar`: y is aligned, and nobody reads it soon.
template <bool kSplit, bool kFar>
inline void scale_half(const Scale& s, const float* x, float* y, const float* sign, vh& size, vh& rounding) {
  const vh from = *reinterpret_cast<const vhu*>(x), turn = *reinterpret_cast<const vhu*>(sign);
  const vd exact = __builtin_convertvector(from, vd) * s.whole;
  const vh rounded = __builtin_convertvector(exact, vh);
  if constexpr (kFar) store_far(y, rounded);
  else *reinterpret_cast<vhu*>(y) = rounded;
  vh error;
  if constexpr (kSplit) error = -fused(from, s.low - vh{}, fused(from, s.high - vh{}, -rounded));
  else error = __builtin_convertvector(__builtin_convertvector(rounded, vd) - exact, vh);
  size += rounded * turn;
  rounding += error * turn;
}

// Element j of probe p is signs[j] times this one of j mod 4 (a Hadamard matrix): four sums give all four probes.
constexpr float kPatterns[kProbes][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};

// What is left of a row from `k` on; then the sums of all its parts by j mod 4, put together to probes.
inline void end_row(const RowSums& row, const Scale& s, const float* x, float* y, const float* signs, long k,
                    long length, float* sums) {
  float of_class[2][4] = {};
  for (int l = 0; l < L; l++) {
    of_class[0][l % 4] += row.size[l / LD][l % LD];
    of_class[1][l % 4] += row.rounding[l / LD][l % LD];
  }
  for (; k < length; k++) {
    const double exact = s.whole * static_cast<double>(x[k]);
    y[k] = static_cast<float>(exact);
    of_class[0][k % 4] += y[k] * signs[k];
    of_class[1][k % 4] += static_cast<float>(static_cast<double>(y[k]) - exact) * signs[k];
  }
  for (int kind = 0; kind < 2; kind++)
    for (int p = 0; p < kProbes; p++) {
      float sum = 0;
      for (int c = 0; c < 4; c++) sum += of_class[kind][c] * kPatterns[p][c];
      sums[kind * kProbes + p] = sum;
    }
}

// R rows of y = s x side by side, so that the signs are read once for all of them.
template <int R, bool kSplit, bool kFar>
void scaled_rows_of(const Scale& s, const float* x, long length, float* y, const float* signs, float* sums) {
  RowSums rows[R] = {};
  long k = 0;
  for (; k + L <= length; k += L)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        const long at = k + half * LD;
        scale_half<kSplit, kFar>(s, x + r * length + at, y + r * length + at, signs + at, rows[r].size[half],
                                 rows[r].rounding[half]);
      }
  for (int r = 0; r < R; r++)
    end_row(rows[r], s, x + r * length, y + r * length, signs, k, length, sums + r * 2 * kProbes);
}

template <int R>
void scaled_rows_some(const Scale& s, const float* x, long length, float* y, const float* signs, float* sums,
                      bool far) {
  if (s.split) {
    if (far) scaled_rows_of<R, true, true>(s, x, length, y, signs, sums);
    else scaled_rows_of<R, true, false>(s, x, length, y, signs, sums);
  } else {
    scaled_rows_of<R, false, false>(s, x, length, y, signs, sums);
  }
}

// y = s x rounded to f32, in rows that follow each other. Where there are signs (length) of +-1, sums[p] of a row gets
// the dot product of probe p with y, and sums[kProbes + p] that with what rounding did to s x. In f32: an estimate
// needs no more. `far`: past the caches where the processor can.
void scaled_rows(double scale, const float* x, long rows, long length, float* y, const float* signs, float* sums,
                 bool far) {
  if (!signs) {
    for (long k = 0; k < rows * length; k++) y[k] = static_cast<float>(scale * static_cast<double>(x[k]));
    return;
  }
  constexpr int R = L == 16 ? 2 : 1;
  const Scale s(scale);
  far = far && reinterpret_cast<uintptr_t>(y) % sizeof(vh) == 0 && length % LD == 0;
  for (long i = 0; i < rows;) {
    const bool side_by_side = i + R <= rows;
    const auto some = side_by_side ? scaled_rows_some<R> : scaled_rows_some<1>;
    some(s, x + i * length, length, y + i * length, signs, sums + i * 2 * kProbes, far);
    i += side_by_side ? R : 1;
  }
}

// A vector for every probe, twice, in each of R rows: their products with one row of b each. Also in f32.
template <int R>
void probe_rows_of(const float* b, long ldb, long length, const float* sums, float* products) {
  constexpr int V = 2 * kProbes / LD;
  vh product[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) product[i][v] = *reinterpret_cast<vhu*>(products + i * 2 * kProbes + v * LD);
  for (long k = 0; k < length; k++, sums += 2 * kProbes) {
    vh of_probe[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) of_probe[v] = *reinterpret_cast<const vhu*>(sums + v * LD);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) product[i][v] += of_probe[v] * b[i * ldb + k];
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) *reinterpret_cast<vhu*>(products + i * 2 * kProbes + v * LD) = product[i][v];
}

// products (rows, 2 kProbes) += b * sums
void probe_rows(const float* b, long ldb, long rows, long length, const float* sums, float* products) {
  constexpr int R = L == 16 ? 8 : L == 8 ? 4 : 2;
  long i = 0;
  for (; i + R <= rows; i += R) probe_rows_of<R>(b + i * ldb, ldb, length, sums, products + i * 2 * kProbes);
  for (; i < rows; i++) probe_rows_of<1>(b + i * ldb, ldb, length, sums, products + i * 2 * kProbes);
}

// energies += squares of products, row after row
void add_squares(const float* products, long rows, double* energies) {
  constexpr int V = 2 * kProbes / LD;
  vd sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) sum[v] = load_f64(energies + v * LD);
  for (long i = 0; i < rows; i++, products += 2 * kProbes)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      const vh product = *reinterpret_cast<const vhu*>(products + v * LD);
      const vd wide = __builtin_convertvector(product, vd);
      sum[v] += wide * wide;
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) store_f64(energies + v * LD, sum[v]);
}

constexpr F64Set f64_set() {
  return {MRD, NRD, tile_f64_any, dots_f64, dot_f64, axpy_f64, rank2_dot_f64, rotate_f64, scaled_rows, move_lines,
          probe_rows, add_squares};
}
