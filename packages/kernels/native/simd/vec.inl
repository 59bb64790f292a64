// Vectors of LAMINA_LANES floats as the compiler's vector extension; one definition per instruction set, each in its
// own namespace (no standard templates here: an inline function compiled for AVX-512 must never be linked into the
// portable path).
constexpr int L = LAMINA_LANES;
constexpr int NR = 2 * L;

typedef float vf __attribute__((vector_size(4 * LAMINA_LANES)));
typedef float vfu __attribute__((vector_size(4 * LAMINA_LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LAMINA_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LAMINA_LANES)));

inline vf load(const float* p) { return *reinterpret_cast<const vfu*>(p); }
inline void store(float* p, vf v) { *reinterpret_cast<vfu*>(p) = v; }
inline vf splat(float s) { return s - vf{}; }
inline vi splat_i(int32_t s) { return s - vi{}; }
inline vu splat_u(uint32_t s) { return s - vu{}; }
inline vf as_f(vi v) { return reinterpret_cast<vf>(v); }
inline vi as_i(vf v) { return reinterpret_cast<vi>(v); }
inline vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
// a > b ? a : b in every lane: b where either is NaN.
inline vf maximum(vf a, vf b) {
#if LAMINA_LANES == 16
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif LAMINA_LANES == 8
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
inline long min_of(long a, long b) { return a < b ? a : b; }
inline long round_up(long value, long unit) { return (value + unit - 1) / unit * unit; }

inline vi iota() {
  vi v;
  for (int i = 0; i < L; i++) v[i] = i;
  return v;
}

inline vf load_part(const float* p, long count) {
  if (count >= L) return load(p);
  vf v{};
  if (count > 0) memcpy(&v, p, sizeof(float) * static_cast<size_t>(count));
  return v;
}
inline void store_part(float* p, vf v, long count) {
  if (count >= L) store(p, v);
  else if (count > 0) memcpy(p, &v, sizeof(float) * static_cast<size_t>(count));
}

// Halves in a fixed order, so that a sum never depends on how it was shared out.
inline float sum_of(vf v) {
  float lane[L];
  memcpy(lane, &v, sizeof v);
  for (int half = L / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}
inline float max_of(vf v) {
  float lane[L];
  memcpy(lane, &v, sizeof v);
  float m = lane[0];
  for (int i = 1; i < L; i++) m = lane[i] > m ? lane[i] : m;
  return m;
}

// e^x within 2 ulp for x in [-87.3, 88.3]; 0 below, e^88.3 above. Cody-Waite reduction by ln 2 in two parts, then the
// Taylor polynomial of degree 7 on |r| <= ln 2 / 2, whose truncation, (ln2/2)^8 / 8! = 5e-9, is below half an ulp
// (6e-8).
inline vf exp_of(vf x) {
  const vf low = splat(-87.3f), high = splat(88.3f),
           magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const vf in = -maximum(-maximum(x, low), -high);
  const vf shifted = in * 1.44269504088896341f + magic;
  const vf n = shifted - magic;
  vf r = in - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const vi exponent = (as_i(shifted) - 0x4B400000) << 23;
  const vf e = as_f(as_i(p) + exponent);
  return x < low ? vf{} : e;
}

inline vf shuffle(vf a, vf b, vi from) {
#if defined(__clang__)
  vf v;
  for (int l = 0; l < L; l++) v[l] = from[l] < L ? a[from[l]] : b[from[l] - L];
  return v;
#else
  return __builtin_shuffle(a, b, from);
#endif
}

// rows -> columns of an L x L block in registers: log2(L) rounds of exchanging halves.
template <int D>
inline void exchange(vf (&r)[L]) {
  vi keep, other;
  for (int l = 0; l < L; l++) {
    keep[l] = (l & D) ? l - D + L : l;
    other[l] = (l & D) ? l + L : l + D;
  }
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) {
    if (i & D) continue;
    const vf a = r[i], b = r[i + D];
    r[i] = shuffle(a, b, keep);
    r[i + D] = shuffle(a, b, other);
  }
}
inline void transpose(vf (&r)[L]) {
  if constexpr (L >= 16) exchange<8>(r);
  if constexpr (L >= 8) exchange<4>(r);
  exchange<2>(r);
  exchange<1>(r);
}

// lane i of the result: the sum of r[i]'s lanes, added in the order of sum_of.
template <int D>
inline void fold(vf (&r)[L]) {
  vi keep, other;
  for (int l = 0; l < L; l++) {
    keep[l] = (l & D) ? l - D + L : l;
    other[l] = (l & D) ? l + L : l + D;
  }
#pragma GCC unroll 16
  for (int i = 0; i < D; i++) r[i] = shuffle(r[i], r[i + D], keep) + shuffle(r[i], r[i + D], other);
}
inline vf sums_of(vf (&r)[L]) {
  if constexpr (L >= 16) fold<8>(r);
  if constexpr (L >= 8) fold<4>(r);
  fold<2>(r);
  fold<1>(r);
  return r[0];
}

inline float half_to_float(uint16_t bits) {
#if defined(__F16C__) || defined(__AVX512F__)
  return _cvtsh_ss(bits);
#elif defined(LAMINA_NEON)
  __fp16 half;
  memcpy(&half, &bits, 2);
  return static_cast<float>(half);
#else
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  float value;
  if (magnitude >= 0x7c00u) {
    const uint32_t word = sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13);
    memcpy(&value, &word, 4);
    return value;
  }
  const uint32_t word = magnitude << 13;  // as if the exponent bias were the same; 2^112 corrects it, subnormals too
  memcpy(&value, &word, 4);
  value *= 5.192296858534828e33f;
  uint32_t out;
  memcpy(&out, &value, 4);
  out |= sign;
  memcpy(&value, &out, 4);
  return value;
#endif
}
