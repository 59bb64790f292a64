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
#elif defined(LAMINA_NEON)
  uint32_t four;
  memcpy(&four, p, 4);
  return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))))));
#else
  vf v;
  for (int i = 0; i < L; i++) v[i] = static_cast<float>(p[i]);
  return v;
#endif
}

inline vi widened(const uint8_t* p) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vi>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vi>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#elif defined(LAMINA_NEON)
  uint32_t four;
  memcpy(&four, p, 4);
  return (vi)vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
#else
  vi v;
  for (int i = 0; i < L; i++) v[i] = p[i];
  return v;
#endif
}

// The low or high four bits of L bytes.
inline vi nibbles(const uint8_t* p, int shift) {
#if LAMINA_LANES == 16
  const __m512i wide = reinterpret_cast<__m512i>(widened(p));
  return reinterpret_cast<vi>(
      _mm512_and_si512(_mm512_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(15)));
#elif LAMINA_LANES == 8
  const __m256i wide = reinterpret_cast<__m256i>(widened(p));
  return reinterpret_cast<vi>(
      _mm256_and_si256(_mm256_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(15)));
#else
  return (widened(p) >> shift) & 15;
#endif
}

inline vf to_float(vi v) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(v)));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vf>(_mm256_cvtepi32_ps(reinterpret_cast<__m256i>(v)));
#else
  return __builtin_convertvector(v, vf);
#endif
}

// NF4_LEVELS of src/nf4.ts.
alignas(64) constexpr float kNf4Levels[16] = {-1.0f,
                                              -0.6961928009986877f,
                                              -0.5250730514526367f,
                                              -0.39491748809814453f,
                                              -0.28444138169288635f,
                                              -0.18477343022823334f,
                                              -0.09105003625154495f,
                                              0.0f,
                                              0.07958029955625534f,
                                              0.16093020141124725f,
                                              0.24611230194568634f,
                                              0.33791524171829224f,
                                              0.44070982933044434f,
                                              0.5626170039176941f,
                                              0.7229568362236023f,
                                              1.0f};

inline vf nf4_levels(vi codes) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(_mm512_permutexvar_ps(reinterpret_cast<__m512i>(codes), _mm512_load_ps(kNf4Levels)));
#elif LAMINA_LANES == 8
  const __m256i index = reinterpret_cast<__m256i>(codes);
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(kNf4Levels), index),
               high = _mm256_permutevar8x32_ps(_mm256_load_ps(kNf4Levels + 8), index);
  return reinterpret_cast<vf>(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28))));
#elif defined(LAMINA_NEON)
  // Byte b of lane i comes from byte 4 code + b of the table.
  const uint8_t* table = reinterpret_cast<const uint8_t*>(kNf4Levels);
  const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100u), (uint32x4_t)codes, 0x04040404u);
  return (vf)vqtbl4q_u8(vld1q_u8_x4(table), vreinterpretq_u8_u32(bytes));
#else
  vf v;
  for (int i = 0; i < L; i++) v[i] = kNf4Levels[codes[i]];
  return v;
#endif
}

inline vf halves_to_float(const uint16_t* p) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vf>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(LAMINA_NEON)
  return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  vf v;
  for (int i = 0; i < L; i++) v[i] = half_to_float(p[i]);
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
#elif defined(LAMINA_NEON)
  return (vf)vshll_n_u16(vld1_u16(p), 16);
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

// L codes from column `col` on, zeros past the end of the row; `part` is where the last ones of a row are put.
template <class Code>
inline const Code* codes_at(const WeightView& w, long row, long col, Code (&part)[L]) {
  const Code* p = static_cast<const Code*>(w.codes) + row * w.cols + col;
  if (col + L <= w.cols) return p;
  for (int i = 0; i < L; i++) part[i] = Code{};
  if (w.cols > col) memcpy(part, p, static_cast<size_t>(w.cols - col) * sizeof(Code));
  return part;
}

template <>
inline vf dequant<Format::bf16>(const WeightView& w, long row, long col) {
  uint16_t part[L];
  return bf16_to_float(codes_at(w, row, col, part));
}

template <>
inline vf dequant<Format::f16>(const WeightView& w, long row, long col) {
  uint16_t part[L];
  return halves_to_float(codes_at(w, row, col, part));
}

inline float half_at(const void* halves, long index) {
  return half_to_float(static_cast<const uint16_t*>(halves)[index]);
}

template <>
inline vf dequant<Format::q8>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  int8_t part[L];
  return bytes_to_float(codes_at(w, row, col, part)) * half_at(w.scales, row * w.blocks() + col / kQuantBlock);
}

// Nibbles of L columns of a row in units of 32 columns.
inline vi nibbles_at(const WeightView& w, long unit, long col) {
  const long inside = col % kQuantBlock;
  return nibbles(static_cast<const uint8_t*>(w.codes) + unit * 16 + inside % 16, inside < 16 ? 0 : 4);
}

template <>
inline vf dequant<Format::q4>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long block = row * w.blocks() + col / kQuantBlock;
  const vf value = to_float(nibbles_at(w, block, col)) * half_at(w.scales, block) + half_at(w.mins, block);
  return keep_first(value, w.cols - col);
}

template <>
inline vf dequant<Format::q5>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long block = row * w.blocks() + col / kQuantBlock;
  uint8_t part[L];
  const vf codes = to_float(widened(codes_at(w, row, col, part)));
  return keep_first(codes * half_at(w.scales, block) + half_at(w.mins, block), w.cols - col);
}

// Rows are whole superblocks: no part of one is left over.
inline vf two_levels(const WeightView& w, long block, vf codes) {
  constexpr long kBlocks = kSuperBlock / kQuantBlock;
  const float scale = half_at(w.super_scales, block / kBlocks) * static_cast<const uint8_t*>(w.scales)[block];
  const float min = half_to_float(w.super_mins[block / kBlocks]) * static_cast<const uint8_t*>(w.mins)[block];
  return codes * scale - min;
}

template <>
inline vf dequant<Format::q4k>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long block = row * w.blocks() + col / kQuantBlock;
  return two_levels(w, block, to_float(nibbles_at(w, block, col)));
}

template <>
inline vf dequant<Format::q5k>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const vf codes = to_float(widened(static_cast<const uint8_t*>(w.codes) + row * w.cols + col));
  return two_levels(w, row * w.blocks() + col / kQuantBlock, codes);
}

template <>
inline vf dequant<Format::q6k>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long at = row * w.cols + col;
  const float scale = half_at(w.super_scales, at / kSuperBlock) * static_cast<const int8_t*>(w.scales)[at / 16];
  return bytes_to_float(static_cast<const int8_t*>(w.codes) + at) * scale;
}

template <>
inline vf dequant<Format::nf4>(const WeightView& w, long row, long col) {
  if (col >= w.cols) return vf{};
  const long block = row * w.nf4_blocks() + col / kNf4Block;
  const long group = (w.first_row * w.nf4_blocks() + block) / kNf4Group;
  // In double the product is exact, so that the sum rounds alike with and without fused multiply-add.
  const float scale = static_cast<float>(static_cast<double>(static_cast<const float*>(w.super_scales)[group]) *
                                             static_cast<const int8_t*>(w.scales)[block] +
                                         static_cast<double>(*w.offset));
  const vf levels = nf4_levels(nibbles_at(w, block * 2 + col % kNf4Block / kQuantBlock, col));
  return keep_first(levels * scale, w.cols - col);
}

// body.operator()<F>() for the format at hand.
template <class Body>
inline void with_format(Format format, Body&& body) {
  switch (format) {
    case Format::f32: return body.template operator()<Format::f32>();
    case Format::bf16: return body.template operator()<Format::bf16>();
    case Format::f16: return body.template operator()<Format::f16>();
    case Format::q8: return body.template operator()<Format::q8>();
    case Format::q4: return body.template operator()<Format::q4>();
    case Format::q5: return body.template operator()<Format::q5>();
    case Format::q4k: return body.template operator()<Format::q4k>();
    case Format::q5k: return body.template operator()<Format::q5k>();
    case Format::q6k: return body.template operator()<Format::q6k>();
    case Format::nf4: return body.template operator()<Format::nf4>();
  }
}
