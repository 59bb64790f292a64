// Row-wise and element-wise ops.

inline float sum_of_squares(const float* x, long d) {
  vf s0{}, s1{};
  long i = 0;
  for (; i + 2 * L <= d; i += 2 * L) {
    const vf a = load(x + i), b = load(x + i + L);
    s0 += a * a;
    s1 += b * b;
  }
  for (; i < d; i += L) {
    const vf a = load_part(x + i, d - i);
    s0 += a * a;
  }
  return sum_of(s0 + s1);
}

void rms_norm(const float* x, const float* weight, float eps, float* y, long rows, long d) {
  for (long t = 0; t < rows; t++, x += d, y += d) {
    const float factor = 1.0f / __builtin_sqrtf(sum_of_squares(x, d) / static_cast<float>(d) + eps);
    for (long i = 0; i < d; i += L)
      store_part(y + i, load_part(x + i, d - i) * factor * load_part(weight + i, d - i), d - i);
  }
}

// `count` of plus where there is any; rows of it follow dx.
inline vf load_plus(const float* plus, long at, long count) { return plus ? load_part(plus + at, count) : vf{}; }

// dx = plus + f w dy - x f^3 mean(dy w x), f = 1 / sqrt(mean(x^2) + eps).
void rms_norm_grad(const float* dy, const float* x, const float* weight, float eps, const float* plus, float* dx,
                   long rows, long d) {
  for (long t = 0; t < rows; t++, dy += d, x += d, dx += d) {
    const float factor = 1.0f / __builtin_sqrtf(sum_of_squares(x, d) / static_cast<float>(d) + eps);
    vf dot{};
    for (long i = 0; i < d; i += L)
      dot += load_part(dy + i, d - i) * load_part(weight + i, d - i) * load_part(x + i, d - i);
    const float pull = sum_of(dot) / static_cast<float>(d) * factor * factor * factor;
    for (long i = 0; i < d; i += L)
      store_part(dx + i,
                 load_plus(plus, t * d + i, d - i) + (load_part(dy + i, d - i) * load_part(weight + i, d - i) * factor -
                                                      load_part(x + i, d - i) * pull),
                 d - i);
  }
}

struct RowMoments {
  float mean, inverse;  // 1 / sqrt(variance + eps)
};

inline RowMoments moments(const float* x, long d, float eps) {
  vf total{};
  for (long i = 0; i < d; i += L) total += load_part(x + i, d - i);
  const float mean = sum_of(total) / static_cast<float>(d);
  vf squares{};
  for (long i = 0; i < d; i += L) {
    vf off = load_part(x + i, d - i) - mean;
    if (d - i < L) off = keep_first(off, d - i);
    squares += off * off;
  }
  return {mean, 1.0f / __builtin_sqrtf(sum_of(squares) / static_cast<float>(d) + eps)};
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, long rows, long d) {
  for (long t = 0; t < rows; t++, x += d, y += d) {
    const RowMoments m = moments(x, d, eps);
    for (long i = 0; i < d; i += L) {
      const long left = d - i;
      const vf normed = (load_part(x + i, left) - m.mean) * m.inverse;
      store_part(y + i, normed * load_part(weight + i, left) + load_part(bias + i, left), left);
    }
  }
}

// dx = plus + inverse (g - mean(g) - n mean(g n)), g = dy w, n = (x - mean) inverse.
void layer_norm_grad(const float* dy, const float* x, const float* weight, float eps, const float* plus, float* dx,
                     long rows, long d) {
  for (long t = 0; t < rows; t++, dy += d, x += d, dx += d) {
    const RowMoments m = moments(x, d, eps);
    vf sum{}, dot{};
    for (long i = 0; i < d; i += L) {
      const long left = d - i;
      const vf g = load_part(dy + i, left) * load_part(weight + i, left);
      sum += g;
      dot += g * ((load_part(x + i, left) - m.mean) * m.inverse);
    }
    const float shift = sum_of(sum) / static_cast<float>(d), pull = sum_of(dot) / static_cast<float>(d);
    for (long i = 0; i < d; i += L) {
      const long left = d - i;
      const vf g = load_part(dy + i, left) * load_part(weight + i, left);
      const vf n = (load_part(x + i, left) - m.mean) * m.inverse;
      store_part(dx + i, load_plus(plus, t * d + i, left) + (g - shift - n * pull) * m.inverse, left);
    }
  }
}

void rope(const float* x, float* y, long rows, long heads, long head_dim, const int32_t* positions, const float* cos,
          const float* sin, bool inverse) {
  const long half = head_dim / 2;
  const float sign = inverse ? -1.0f : 1.0f;
  for (long t = 0; t < rows; t++) {
    const float* c = cos + positions[t] * half;
    const float* s = sin + positions[t] * half;
    for (long h = 0; h < heads; h++, x += head_dim, y += head_dim)
      for (long i = 0; i < half; i += L) {
        const long left = half - i;
        const vf a = load_part(x + i, left), b = load_part(x + half + i, left);
        const vf ci = load_part(c + i, left), si = load_part(s + i, left) * sign;
        store_part(y + i, a * ci - b * si, left);
        store_part(y + half + i, b * ci + a * si, left);
      }
  }
}

inline vf sigmoid(vf g) { return 1.0f / (1.0f + exp_of(-g)); }

void swiglu(const float* gate, const float* up, float* y, long count) {
  for (long i = 0; i < count; i += L) {
    const vf g = load_part(gate + i, count - i);
    store_part(y + i, g * sigmoid(g) * load_part(up + i, count - i), count - i);
  }
}

// d silu(g) / dg = s (1 + g (1 - s)), s = sigmoid(g).
inline void store_swiglu_grad(vf d, vf g, vf u, float* dgate, float* dup, long count) {
  const vf s = sigmoid(g);
  store_part(dgate, d * u * (s * (1.0f + g * (1.0f - s))), count);
  store_part(dup, d * (g * s), count);
}

void swiglu_grad(const float* dy, const float* gate, const float* up, float* dgate, float* dup, long count) {
  for (long i = 0; i < count; i += L) {
    const long left = count - i;
    store_swiglu_grad(load_part(dy + i, left), load_part(gate + i, left), load_part(up + i, left), dgate + i, dup + i,
                      left);
  }
}

// The bits of a float rounded to bf16, in the high half; the low half holds rubbish.
inline vu high_half(vf v) {
  const vu bits = reinterpret_cast<vu>(v);
  return bits + 0x7fffu + ((bits >> 16) & 1u);
}

// Two floats rounded to bf16 in a word. Words pass through vectors of floats, which keep any bits.
struct Pair {
  vf low, high;
};

inline Pair load_pair(const uint32_t* words, long count) {
  const vu word = reinterpret_cast<vu>(load_part(reinterpret_cast<const float*>(words), count));
  return {reinterpret_cast<vf>(word << 16), reinterpret_cast<vf>(word & 0xffff0000u)};
}
inline void store_pair(uint32_t* words, vf low, vf high, long count) {
  const vu word = (high_half(low) >> 16) | (high_half(high) & 0xffff0000u);
  store_part(reinterpret_cast<float*>(words), reinterpret_cast<vf>(word), count);
}

void halve(const float* x, uint32_t* halves, long count) {
  for (long i = 0; i < count; i += 2 * kHalfGroup, halves += kHalfGroup)
    for (long j = 0; j < kHalfGroup; j += L) {
      const long low = count - i - j, high = low - kHalfGroup;
      store_pair(halves + j, low > 0 ? load_part(x + i + j, low) : vf{},
                 high > 0 ? load_part(x + i + kHalfGroup + j, high) : vf{}, L);
    }
}

void unhalve(const uint32_t* halves, float* x, long count) {
  for (long i = 0; i < count; i += 2 * kHalfGroup, halves += kHalfGroup)
    for (long j = 0; j < kHalfGroup; j += L) {
      const Pair pair = load_pair(halves + j, L);
      const long low = count - i - j, high = low - kHalfGroup;
      if (low > 0) store_part(x + i + j, pair.low, low);
      if (high > 0) store_part(x + i + kHalfGroup + j, pair.high, high);
    }
}

void swiglu_keep(const float* gate, const float* up, float* y, uint32_t* kept, long count) {
  for (long i = 0; i < count; i += L) {
    const long left = count - i;
    const vf g = load_part(gate + i, left), u = load_part(up + i, left);
    store_part(y + i, g * sigmoid(g) * u, left);
    store_pair(kept + i, g, u, left);
  }
}

void swiglu_of_kept(const uint32_t* kept, float* y, long count) {
  for (long i = 0; i < count; i += L) {
    const Pair pair = load_pair(kept + i, count - i);
    store_part(y + i, pair.low * sigmoid(pair.low) * pair.high, count - i);
  }
}

void swiglu_grad_of_kept(const float* dy, const uint32_t* kept, float* dgate, float* dup, long count) {
  for (long i = 0; i < count; i += L) {
    const long left = count - i;
    const Pair pair = load_pair(kept + i, left);
    store_swiglu_grad(load_part(dy + i, left), pair.low, pair.high, dgate + i, dup + i, left);
  }
}

// 1/2 (1 + erf(x / sqrt 2)): Abramowitz and Stegun 7.1.26, off by at most 1.5e-7.
inline vf normal_share(vf x) {
  const vf z = maximum(x, -x) * 0.70710678f;
  const vf t = 1.0f / (1.0f + 0.3275911f * z);
  const vf poly =
      t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const vf tail = 0.5f * poly * exp_of(-z * z);
  return x < 0.0f ? tail : 1.0f - tail;
}

constexpr float GELU_SLOPE = 1.5957691f;  // 2 sqrt(2 / pi)
constexpr float GELU_CUBE = 0.044715f;

// x Phi(x), or with tanh x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
void gelu(const float* x, float* y, long count, bool tanh) {
  for (long i = 0; i < count; i += L) {
    const vf v = load_part(x + i, count - i);
    const vf share = tanh ? sigmoid(GELU_SLOPE * (v + GELU_CUBE * v * v * v)) : normal_share(v);
    store_part(y + i, v * share, count - i);
  }
}

void gelu_grad(const float* dy, const float* x, float* dx, long count, bool tanh) {
  for (long i = 0; i < count; i += L) {
    const long left = count - i;
    const vf v = load_part(x + i, left);
    vf slope;
    if (tanh) {
      const vf s = sigmoid(GELU_SLOPE * (v + GELU_CUBE * v * v * v));
      slope = s + v * s * (1.0f - s) * (GELU_SLOPE * (1.0f + 3.0f * GELU_CUBE * v * v));
    } else {
      slope = normal_share(v) + v * 0.39894228f * exp_of(-0.5f * v * v);
    }
    store_part(dx + i, load_part(dy + i, left) * slope, left);
  }
}

void add(const float* a, const float* b, float* y, long count) {
  for (long i = 0; i < count; i += L)
    store_part(y + i, load_part(a + i, count - i) + load_part(b + i, count - i), count - i);
}

inline vf root(vf v) {
#if LAMINA_LANES == 16
  return reinterpret_cast<vf>(_mm512_sqrt_ps(reinterpret_cast<__m512>(v)));
#elif LAMINA_LANES == 8
  return reinterpret_cast<vf>(_mm256_sqrt_ps(reinterpret_cast<__m256>(v)));
#else
  for (int i = 0; i < L; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

void adamw(float* param, const float* grad, float* m, float* v, long count, const AdamwStep& step) {
  for (long i = 0; i < count; i += L) {
    const long left = count - i;
    const vf g = load_part(grad + i, left) * step.grad_scale;
    const vf mi = load_part(m + i, left) * step.beta1 + g * (1.0f - step.beta1);
    const vf vi_ = load_part(v + i, left) * step.beta2 + g * g * (1.0f - step.beta2);
    const vf denominator = root(vi_) * step.inverse_root_bias2 + step.eps;
    store_part(m + i, mi, left);
    store_part(v + i, vi_, left);
    store_part(param + i, load_part(param + i, left) * step.decay - step.step_size * mi / denominator, left);
  }
}

inline void store_bf16(uint16_t* p, vf v, long count) {
  typedef uint16_t half_vector __attribute__((vector_size(2 * LAMINA_LANES)));
  const half_vector h = __builtin_convertvector(high_half(v) >> 16, half_vector);
  memcpy(p, &h, sizeof(uint16_t) * static_cast<size_t>(min_of(L, count)));
}

template <bool HALVES>
inline float exp_row(const float* x, long count, void* kept, float largest) {
  vf total{};
  for (long i = 0; i < count; i += L) {
    vf e = exp_of(load_part(x + i, count - i) - largest);
    if (count - i < L) e = keep_first(e, count - i);
    total += e;
    if constexpr (HALVES) {
      if (count - i >= L) store_bf16(static_cast<uint16_t*>(kept) + i, e, L);
      else store_bf16(static_cast<uint16_t*>(kept) + i, e, count - i);
    } else if (kept) {
      store_part(static_cast<float*>(kept) + i, e, count - i);
    }
  }
  return sum_of(total);
}

void row_softmax(const float* x, long count, void* kept, bool halves, float* largest, float* sum) {
  vf top = splat(-3.4028235e38f);
  long i = 0;
  for (; i + L <= count; i += L) top = maximum(load(x + i), top);
  float m = max_of(top);
  for (; i < count; i++) m = x[i] > m ? x[i] : m;
  *largest = m;
  *sum = kept && halves ? exp_row<true>(x, count, kept, m) : exp_row<false>(x, count, kept, m);
}

void row_scaled(const void* kept, bool halves, long count, float factor, float* y) {
  for (long i = 0; i < count; i += L) {
    vf v;
    if (!halves) v = load_part(static_cast<const float*>(kept) + i, count - i);
    else if (count - i >= L) v = bf16_to_float(static_cast<const uint16_t*>(kept) + i);
    else {
      uint16_t part[L] = {};
      memcpy(part, static_cast<const uint16_t*>(kept) + i, static_cast<size_t>(count - i) * 2);
      v = bf16_to_float(part);
    }
    store_part(y + i, v * factor, count - i);
  }
}

template <Format F>
void dequant_row(const WeightView& w, long row, float* y) {
  for (long col = 0; col < w.cols; col += L) store_part(y + col, dequant<F>(w, row, col), w.cols - col);
}

void row(const WeightView& w, long index, float* y) {
  with_format(w.format, [&]<Format F>() { dequant_row<F>(w, index, y); });
}
