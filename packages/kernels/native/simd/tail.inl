// The tail of a tile on AVX-512: a short product in f32, added to sums that are still in registers.
template <int R, int BLOCK>
inline __attribute__((always_inline)) void add_tail(__m512 (&left)[R], __m512 (&right)[R], const float* a,
                                                    const float* b, int depth) {
  for (int k = 0; k < depth; k++, a += BLOCK, b += NR) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + L);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const __m512 value = _mm512_set1_ps(a[i]);
      left[i] = _mm512_fmadd_ps(value, b0, left[i]);
      right[i] = _mm512_fmadd_ps(value, b1, right[i]);
    }
  }
}
