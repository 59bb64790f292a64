// L consecutive weights of one row as floats, straight from the packed format.

// `col` is a multiple of L; columns past the end read as zero.
template <Format F>
inline vf dequant(const WeightView& w, long row, long col);

inline vf bytes_to_float(const int8_t* p) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(
      _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vf>(
      _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))));
#else
  vf v;
  for (int i = 0; i < L; i++) v[i] = static_cast<float>(p[i]);
  return v;
#endif
}

// The low or high four bits of L bytes.
inline vf nibbles_to_float(const uint8_t* p, int shift) {
#if LAMINA_LANES == 16
  const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i code = _mm512_and_si512(_mm512_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(15));
  return reinterpret_cast<vf>(_mm512_cvtepi32_ps(code));
#elif LAMINA_LANES == 8
  const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i code = _mm256_and_si256(_mm256_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(15));
  return reinterpret_cast<vf>(_mm256_cvtepi32_ps(code));
#else
  vf v;
  for (int i = 0; i < L; i++) v[i] = static_cast<float>((p[i] >> shift) & 15);
  return v;
#endif
}

inline vf bf16_to_float(const uint16_t* p) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vf>(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
#else
  vi v;
  for (int i = 0; i < L; i++) v[i] = static_cast<int32_t>(static_cast<uint32_t>(p[i]) << 16);
  return as_f(v);
#endif
}

inline vf keep_first(vf v, long count) {
  return count >= L ? v : select(iota() < splat_i(static_cast<int32_t>(count)), v, vf{});
}

template <>
inline vf dequant<Format::f32>(const WeightView& w, long row, long col) {
  return load_part(static_cast<const float*>(w.codes) + row * w.cols + col, w.cols - col);
}

template <>
inline vf dequant<Format::bf16>(const WeightView& w, long row, long col) {
  const uint16_t* p = static_cast<const uint16_t*>(w.codes) + row * w.cols + col;
  if (col + L <= w.cols) return bf16_to_float(p);
  uint16_t part[L] = {};
  if (w.cols > col) memcpy(part, p, static_cast<size_t>(w.cols - col) * 2);
  return bf16_to_float(part);
}

template <>
inline vf dequant<Format::q8>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const int8_t* p = static_cast<const int8_t*>(w.codes) + row * w.cols + col;
  const float scale = half_to_float(w.scales[row * w.blocks() + col / kQuantBlock]);
  if (col + L <= w.cols) return bytes_to_float(p) * scale;
  int8_t part[L] = {};
  memcpy(part, p, static_cast<size_t>(w.cols - col));
  return bytes_to_float(part) * scale;
}

template <>
inline vf dequant<Format::q4>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long block = row * w.blocks() + col / kQuantBlock;
  const long inside = col % kQuantBlock;
  const uint8_t* p = static_cast<const uint8_t*>(w.codes) + block * 16 + inside % 16;
  const vf value =
      nibbles_to_float(p, inside < 16 ? 0 : 4) * half_to_float(w.scales[block]) + half_to_float(w.mins[block]);
  return keep_first(value, w.cols - col);
}
