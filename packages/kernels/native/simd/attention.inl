// Causal attention of one block of NR queries of one head, Dao et al. 2022 (arXiv:2205.14135), algorithms 1 and 4. The
// block is held with one query per lane: scores S^T (keys, NR), so softmax works down the rows with no sums across
// lanes, and S^T is at once the packed right-hand side of O^T = V^T P^T. Work is kept per block of queries: (keys, NR),
// never (tokens, tokens); keys outside a block's window are skipped.

constexpr long kKeyChunk = 512;  // keys whose scores are held at once going forward: 64 KiB, inside any L2

void transpose_head(const float* x, long ldx, long tokens, long head_dim, float* out, long ldo) {
  for (long t = 0; t < tokens; t += L)
    for (long d = 0; d < head_dim; d += L) {
      vf r[L];
      for (int i = 0; i < L; i++) r[i] = t + i < tokens ? load_part(x + (t + i) * ldx + d, head_dim - d) : vf{};
      transpose(r);
      for (int j = 0; j < L && d + j < head_dim; j++) store_part(out + (d + j) * ldo + t, r[j], tokens - t);
    }
}

// (count, ldx) rows -> [d][NR] with `factor`; lanes past count are zero.
inline void pack_queries(const float* x, long ldx, long count, long head_dim, float factor, float* out) {
  for (int half = 0; half < 2; half++)
    for (long d = 0; d < head_dim; d += L) {
      vf r[L];
      for (int i = 0; i < L; i++) {
        const long q = half * L + i;
        r[i] = q < count ? load_part(x + q * ldx + d, head_dim - d) * factor : vf{};
      }
      transpose(r);
      for (int j = 0; j < L && d + j < head_dim; j++) store(out + (d + j) * NR + half * L, r[j]);
    }
}

// [d][NR] -> rows of the first `count` queries, each lane times its factor.
inline void unpack_queries(const float* in, const vf (&factor)[2], long count, long head_dim, float* x, long ldx) {
  for (int half = 0; half < 2; half++)
    for (long d = 0; d < head_dim; d += L) {
      vf r[L];
      for (int j = 0; j < L; j++) r[j] = d + j < head_dim ? load(in + (d + j) * NR + half * L) * factor[half] : vf{};
      transpose(r);
      for (int i = 0; i < L; i++)
        if (half * L + i < count) store_part(x + (half * L + i) * ldx + d, r[i], head_dim - d);
    }
}

// c (rows, NR) = or += sum_k a[k * lda + i] b[k][NR]
inline void lanes_product(long rows, long depth, const float* a, long lda, const float* b, float* c, bool accumulate) {
  for (long i = 0; i < rows; i += MR)
    kTiles[min_of(MR, rows - i)](depth, a + i, lda, b, NR, c + i * NR, NR, accumulate ? c + i * NR : nullptr, NR);
}

// The first key that a block of queries from `first` on reads.
inline long first_seen(const AttentionShape& shape, long first) {
  return first - shape.window + 1 > 0 ? first - shape.window + 1 : 0;
}

// -infinity where key first_key + row is not seen by query first_query + lane: it lies after it, or `window` or more
// before it. Lanes past `queries` see what the last query sees: no lane is without a key.
inline void mask_unseen(float* s, long first_key, long keys, long first_query, long queries, long window) {
  const vi lane = iota(), last = splat_i(static_cast<int32_t>(queries - 1));
  const vf gone = splat(-__builtin_inff());
  const auto drop = [&](long row, vi ahead, bool future) {
    for (int half = 0; half < 2; half++) {
      const vi own = lane + half * L, query = own < last ? own : last;
      float* at = s + row * NR + half * L;
      store(at, select(future ? query < ahead : ahead < query, gone, load(at)));
    }
  };
  const long near = first_query + 1 - first_key, far = near + NR - 1 - window;
  for (long i = near > 0 ? near : 0; i < keys; i++) drop(i, splat_i(static_cast<int32_t>(i - near + 1)), true);
  for (long i = 0; i < min_of(far, keys); i++) drop(i, splat_i(static_cast<int32_t>(i - near + window)), false);
}

size_t attention_scratch(const AttentionShape& shape, long longest) {
  const long keys = round_up(longest, L) + L;
  const long ld = keys + L;
  return static_cast<size_t>(2 * keys * NR + 2 * NR * ld + 4 * shape.head_dim * NR + NR * round_up(shape.head_dim, NR));
}

void attention(const AttentionShape& shape, const float* q, const float* kt, long ldt, const float* v, float* y,
               long first, long count, float* work) {
  const long hd = shape.head_dim, ldq = shape.heads * hd, ldv = shape.kv_heads * hd;
  float* queries = work;
  float* out = queries + hd * NR;
  float* s = out + hd * NR;
  pack_queries(q + first * ldq, ldq, count, hd, shape.scale, queries);
  vf top[2] = {splat(-__builtin_inff()), splat(-__builtin_inff())}, total[2] = {vf{}, vf{}};
  const long begin = first_seen(shape, first), end = first + count;
  for (long key = begin; key < end; key += kKeyChunk) {
    const long keys = min_of(kKeyChunk, end - key);
    lanes_product(keys, hd, kt + key, ldt, queries, s, false);
    mask_unseen(s, key, keys, first, count, shape.window);
    for (int half = 0; half < 2; half++) {
      float* column = s + half * L;
      vf highest = top[half];
      for (long i = 0; i < keys; i++) highest = maximum(load(column + i * NR), highest);
      const vf shrink = exp_of(top[half] - highest);
      vf sum{};
      for (long i = 0; i < keys; i++) {
        const vf p = exp_of(load(column + i * NR) - highest);
        sum += p;
        store(column + i * NR, p);
      }
      total[half] = total[half] * shrink + sum;
      if (key > begin)
        for (long d = 0; d < hd; d++) store(out + d * NR + half * L, load(out + d * NR + half * L) * shrink);
      top[half] = highest;
    }
    lanes_product(hd, keys, v + key * ldv, ldv, s, out, key > begin);
  }
  const vf factor[2] = {1.0f / total[0], 1.0f / total[1]};
  unpack_queries(out, factor, count, hd, y + first * ldq, ldq);
}

// [key][NR] -> [query][ld], for the sums over queries.
inline void turn_scores(const float* s, long keys, float* out, long ld) {
  for (int half = 0; half < 2; half++)
    for (long key = 0; key < keys; key += L) {
      vf r[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; i++)
        r[i] = load(s + (key + i) * NR + half * L);  // the rows past `keys` are slack of the buffer
      transpose(r);
#pragma GCC unroll 16
      for (int j = 0; j < L; j++) store(out + (half * L + j) * ld + key, r[j]);
    }
}

// c (keys, head_dim) += sum_q a[q][key] b[q][d]
inline void keys_product(long keys, long queries, const float* a, long lda, const float* b, long ldb, float* c,
                         long head_dim) {
  for (long i = 0; i < keys; i += MR) {
    const int rows = static_cast<int>(min_of(MR, keys - i));
    for (long d = 0; d < head_dim; d += NR) {
      float* sums = c + i * head_dim + d;
      tile_any(rows, head_dim - d, queries, a + i, lda, b + d, ldb, sums, head_dim, sums, head_dim);
    }
  }
}

void attention_grad(const AttentionShape& shape, const float* dy, const float* q, const float* k, const float* kt,
                    const float* vt, long ldt, float* dq, float* dk, float* dv, long first, long count, float* work) {
  const long hd = shape.head_dim, ldq = shape.heads * hd, ldk = shape.kv_heads * hd;
  const long begin = first_seen(shape, first), keys = first + count - begin;
  const long room = round_up(keys, L), ld = room + L;
  float* queries = work;
  float* dout = queries + hd * NR;
  float* dqueries = dout + hd * NR;
  float* s = dqueries + hd * NR;
  float* ds = s + room * NR;
  float* turned = ds + room * NR;
  float* rows = turned + NR * ld;
  pack_queries(q + first * ldq, ldq, count, hd, shape.scale, queries);
  pack_queries(dy + first * ldq, ldq, count, hd, 1.0f, dout);
  lanes_product(keys, hd, kt + begin, ldt, queries, s, false);
  mask_unseen(s, begin, keys, first, count, shape.window);
  lanes_product(keys, hd, vt + begin, ldt, dout, ds, false);
  for (int half = 0; half < 2; half++) {
    float* sc = s + half * L;
    float* dc = ds + half * L;
    vf top = splat(-__builtin_inff()), total{}, mean{};
    for (long i = 0; i < keys; i++) top = maximum(load(sc + i * NR), top);
    for (long i = 0; i < keys; i++) {
      const vf p = exp_of(load(sc + i * NR) - top);
      total += p;
      mean += p * load(dc + i * NR);
      store(sc + i * NR, p);
    }
    const vf inverse = 1.0f / total;
    mean *= inverse;
    for (long i = 0; i < keys; i++) {
      const vf p = load(sc + i * NR) * inverse;
      store(sc + i * NR, p);
      store(dc + i * NR, p * (load(dc + i * NR) - mean) * shape.scale);
    }
  }
  lanes_product(hd, keys, k + begin * ldk, ldk, ds, dqueries, false);
  const vf one[2] = {splat(1.0f), splat(1.0f)};
  unpack_queries(dqueries, one, count, hd, dq + first * ldq, ldq);
  // Rows of queries, copied side by side: tiles read NR columns of them.
  const long ldr = round_up(hd, NR);
  const auto gather = [&](const float* from) {
    for (long t = 0; t < count; t++)
      for (long d = 0; d < ldr; d += L) store(rows + t * ldr + d, load_part(from + (first + t) * ldq + d, hd - d));
  };
  gather(dy);
  turn_scores(s, keys, turned, ld);
  keys_product(keys, count, turned, ld, rows, ldr, dv + begin * hd, hd);
  gather(q);
  turn_scores(ds, keys, turned, ld);
  keys_product(keys, count, turned, ld, rows, ldr, dk + begin * hd, hd);
}
