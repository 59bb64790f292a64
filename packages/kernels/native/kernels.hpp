#pragma once
#include <cstddef>
#include <cstdint>

#include "weight.hpp"

// What each instruction set provides: serial functions on plain pointers, no allocation, no threads, no checks (the
// callers in this folder check and share the work out). Letters as in kernel-args.ts. `ld` is the distance between rows
// in elements.

namespace lamina {

// One way to multiply packed blocks. A (rows, K) is packed in blocks of `mr` rows, B (K, columns) in panels of `nr`
// columns, both in pieces of K of at most `kc`. Sums over k run in one fixed order per output element, whatever the
// block it falls into.
struct GemmFamily {
  const char* name;
  int mr;                // rows of a packed A block
  int nr;                // columns of a packed B panel
  int k_unit;            // K is padded with zeros to a multiple of this
  int kc;                // largest depth of one piece, a multiple of 64
  size_t a_bytes_per_k;  // bytes of one k of an A block
  size_t b_bytes_per_k;  // bytes of one k of a B panel
  size_t a_slack;        // bytes that packing may write past an A block
  size_t a_factors;      // bytes that follow each piece of an A block (scales)
  size_t b_factors;      // the same of a B panel

  // One piece: `depth` is real, the pack is padded.
  void (*pack_a)(const float* a, long lda, int rows, long depth, void* block);
  // transposed: B[k][n] = W[n][k] (forward, n indexes rows of W); else B[k][n] = W[k][n]. n is a multiple of nr, k and
  // the depth of all but the last piece of 32; depth is padded to k_unit and reads zeros past W.
  void (*pack_b)(const WeightView& w, bool transposed, long n, long k, int depth, void* panel);
  // C (rows, cols) = `from` + A block rows x panels + tail; blocks lie a_stride bytes apart, panels b_stride.
  struct Compute {
    const char* a;
    size_t a_stride;
    const char* b;
    size_t b_stride;
    float* c;
    long ldc;
    long rows;
    long cols;
    int depth;
    const float* from;  // rows from_ld apart: C itself, other memory, one row for all (0), or null for zeros
    long from_ld;
    // A short product in f32, whatever the family: blocks [k][mr] and panels [k][nr], one after another.
    const float* tail_a = nullptr;
    const float* tail_b = nullptr;
    int tail_depth = 0;
  };
  void (*compute)(const Compute& args);
};

struct AttentionShape {
  long tokens, heads, kv_heads, head_dim;
  float scale;
  long window = 1l << 40;  // a token sees itself and window - 1 tokens before it
};

// Attention with products of bf16 pairs. Rows are those of one segment and head; `first` counts from the segment's
// first token.
struct AttentionBf16 {
  // One key head of one segment, packed for all queries that read it.
  struct Packed {
    const uint32_t* k_tokens;
    const uint32_t* v_tokens;  // backward only
    const uint32_t* k_dims;    // backward only
    const uint32_t* v_dims;    // forward only
    long room;                 // pairs of tokens
  };
  long block;  // queries of one task
  long chunk;  // tokens are packed from multiples of this
  size_t (*tokens_words)(long tokens, long head_dim);
  size_t (*dims_words)(long tokens, long head_dim);
  void (*pack_tokens)(const float* x, long ldx, long first, long count, long head_dim, uint32_t* out);
  void (*pack_dims)(const float* x, long ldx, long first, long count, long tokens, long head_dim, uint32_t* out);
  size_t (*scratch)(const AttentionShape& shape, long longest);  // floats per running task
  void (*forward)(const AttentionShape& shape, const float* q, const Packed& packed, float* y, long first, long count,
                  float* work);
  // Writes dq, adds into dk and dv (rows of head_dim).
  void (*backward)(const AttentionShape& shape, const float* dy, const float* q, const Packed& packed, float* dq,
                   float* dk, float* dv, long first, long count, float* work);
};

// Words that hold twice as many elements as bf16 (KernelSet::halve).
constexpr long kHalfGroup = 16;

struct Dropout {
  uint32_t seed;
  uint64_t threshold;  // dropped iff hash < threshold, up to 2^32
  float keep;          // factor of what is kept
};

struct AdamwStep {
  float decay, beta1, beta2, step_size, inverse_root_bias2, eps, grad_scale;
};

// Sign vectors that a stack's rounding is estimated with (src/linalg/sign-probes.ts).
constexpr int kProbes = 4;

constexpr long kLineFloats = 16;  // of a line of the caches

// Doubles, for small dense linear algebra. Sums over k or length run in an order that only the lengths decide.
struct F64Set {
  int mr, nr;  // rows and columns of a register tile
  // c (rows, cols) += alpha * a b: a packed as [k][mr], b as [k][nr]; rows <= mr, cols <= nr.
  void (*tile)(int rows, long cols, long depth, const double* a, const double* b, double alpha, double* c, long ldc);
  // out[i][j] += sum_k x[i][k] v[j][k]
  void (*dots)(const double* x, long ldx, long x_rows, const double* v, long ldv, long v_rows, long length, double* out,
               long ldo);
  double (*dot)(const double* x, const double* y, long length);
  void (*axpy)(double s, const double* x, double* y, long length);  // y += s x
  // y += s u + t w; returns y z
  double (*rank2_dot)(double s, const double* u, double t, const double* w, const double* z, double* y, long length);
  // Plane rotations of neighbouring rows from `high` up to `low`, in cols <= nr columns: turns holds (sine, cosine) each.
  void (*rotate)(double* rows, long ld, long cols, const double* turns, long low, long high);
  // y = s x rounded to f32, rows of `length`; where signs (length) of +-1 are not null, the sums (2 kProbes) of each row
  // get its probes' products with y, then those with y - s x. Element j of probe p is signs[j] * kPatterns[p][j % 4].
  // `far`: y past the caches.
  void (*scaled_rows)(double s, const float* x, long rows, long length, float* y, const float* signs, float* sums,
                      bool far);
  // Whole lines of kLineFloats, copied past the caches; y lies at one. Whether a value is infinite or NaN.
  bool (*move_lines)(const float* x, long lines, float* y);
  // products (rows, 2 kProbes) += b (rows, length) * sums (length, 2 kProbes)
  void (*probe_rows)(const float* b, long ldb, long rows, long length, const float* sums, float* products);
  // energies (2 kProbes) += squares of the columns of products (rows, 2 kProbes)
  void (*add_squares)(const float* products, long rows, double* energies);
};

// BLAKE2b-256 of 0x00 and a chunk (blake2b.hpp), of `streams` chunks of one length side by side; null where that is no
// faster than one after another.
struct Blake2bLanes {
  int streams;  // 16 at most
  void (*leaves)(const uint8_t* const* chunks, size_t length, uint8_t* const* hashes);
};

struct KernelSet {
  const char* name;
  int lanes;
  GemmFamily f32;
  F64Set f64;
  Blake2bLanes blake2b;

  // out[t][r] = scale * sum_k x[t][k] a[r][k]
  void (*dot_rows)(const float* x, long ldx, long rows, const float* a, long lda, long r_count, long k, float scale,
                   float* out, long ldo);
  // c (rows, cols) = or += sum_t a[t][i] b[t][j]
  void (*token_sum)(const float* a, long lda, long rows, const float* b, long ldb, long cols, long tokens, float* c,
                    bool accumulate);

  void (*drop)(const float* x, float* y, long first, long count, const Dropout& dropout);
  // y += factor * mask * x
  void (*add_dropped)(const float* x, float* y, long first, long count, const Dropout& dropout);

  void (*rms_norm)(const float* x, const float* weight, float eps, float* y, long rows, long d);
  // Gradients are added to `plus` where it is not null.
  void (*rms_norm_grad)(const float* dy, const float* x, const float* weight, float eps, const float* plus, float* dx,
                        long rows, long d);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y, long rows, long d);
  void (*layer_norm_grad)(const float* dy, const float* x, const float* weight, float eps, const float* plus, float* dx,
                          long rows, long d);
  void (*rope)(const float* x, float* y, long rows, long heads, long head_dim, const int32_t* positions,
               const float* cos, const float* sin, bool inverse);
  void (*swiglu)(const float* gate, const float* up, float* y, long count);
  void (*swiglu_grad)(const float* dy, const float* gate, const float* up, float* dgate, float* dup, long count);
  // `kept` holds gate and up rounded to bf16, up in the high half of each word.
  void (*swiglu_keep)(const float* gate, const float* up, float* y, uint32_t* kept, long count);
  void (*swiglu_of_kept)(const uint32_t* kept, float* y, long count);
  void (*swiglu_grad_of_kept)(const float* dy, const uint32_t* kept, float* dgate, float* dup, long count);
  // x rounded to bf16, two to a word: word kHalfGroup g + j holds element 2 kHalfGroup g + j and, in the high half, the
  // one kHalfGroup behind it.
  void (*halve)(const float* x, uint32_t* halves, long count);
  void (*unhalve)(const uint32_t* halves, float* x, long count);
  void (*gelu)(const float* x, float* y, long count, bool tanh);
  void (*gelu_grad)(const float* dy, const float* x, float* dx, long count, bool tanh);
  void (*add)(const float* a, const float* b, float* y, long count);
  void (*row)(const WeightView& w, long row, float* y);
  void (*adamw)(float* param, const float* grad, float* m, float* v, long count, const AdamwStep& step);

  // The largest of a row of logits and sum exp(x - largest); `kept` gets exp(x - largest) itself, as floats or rounded
  // to bf16, or is null.
  void (*row_softmax)(const float* x, long count, void* kept, bool halves, float* largest, float* sum);
  // y = factor * what row_softmax kept
  void (*row_scaled)(const void* kept, bool halves, long count, float factor, float* y);

  // Key-major copies of k or v: out[(d * ld) + token] for one key head.
  void (*transpose_head)(const float* x, long ldx, long tokens, long head_dim, float* out, long ldo);
  size_t (*attention_scratch)(const AttentionShape& shape, long longest);  // floats per running task
  long attention_block;                                                    // queries of one task
  // y rows of queries first..first+count of one segment and head. kt as transpose_head makes it, at the segment's first
  // token.
  void (*attention)(const AttentionShape& shape, const float* q, const float* kt, long ldt, const float* v, float* y,
                    long first, long count, float* work);
  // The same block backwards: writes dq, adds into dk and dv (rows of head_dim, from the segment's first token).
  void (*attention_grad)(const AttentionShape& shape, const float* dy, const float* q, const float* k, const float* kt,
                         const float* vt, long ldt, float* dq, float* dk, float* dv, long first, long count,
                         float* work);

  // y[t][row] = sum_k w[row][k] x[t][k] of rows first .. first + count - 1, which is W's end or a multiple of 16; one
  // to four tokens.
  void (*few_tokens)(const WeightView& w, long first, long count, const float* x, long ldx, long tokens, float* y,
                     long ldy);
  // y (head_dim) = softmax(scale q k^T) v of one query and `keys` keys and values, rows `ld` apart; scores holds keys
  // floats.
  void (*attend_cache)(const float* q, const float* k, const float* v, long ld, long keys, long head_dim, float scale,
                       float* scores, float* y);
};

}  // namespace lamina
