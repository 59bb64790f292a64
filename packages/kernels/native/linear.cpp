// y = x W^T + bias + (x A_G^T) B_G^T + scale (drop(x) A^T) B^T and its gradients. Hu et al. 2021 (arXiv:2106.09685),
// equation 3.
#include "linear.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "gemm.hpp"
#include "gemv.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

constexpr long kTokenChunk = 24;  // tokens of one task of a thin product
constexpr long kElementChunk = 32768;

Dropout dropout_of(const Linear& op) {
  return {op.seed, static_cast<uint64_t>(std::ceil(op.dropout * 4294967296.0)),
          static_cast<float>(1.0 / (1.0 - op.dropout))};
}

// out (tokens, rank) = scale x a^T
void thin(const float* x, long tokens, long depth, const float* a, long rank, float scale, float* out) {
  const KernelSet& set = *isa().kernels;
  parallel((tokens + kTokenChunk - 1) / kTokenChunk, [&](long task, int) {
    const long first = task * kTokenChunk, count = std::min(kTokenChunk, tokens - first);
    set.dot_rows(x + first * depth, depth, count, a, depth, rank, depth, scale, out + first * rank, rank);
  });
}

// c = scale sum_t a[t] b[t]^T, written (rank, cols) or, turned, (cols, rank).
void token_outer(const float* a, long rank, const float* b, long cols, long tokens, float scale, float* c,
                 bool turned) {
  const KernelSet& set = *isa().kernels;
  const long chunk = 4 * set.lanes;
  parallel((cols + chunk - 1) / chunk, [&](long task, int) {
    const long first = task * chunk, count = std::min(chunk, cols - first);
    if (turned) set.token_sum(a, rank, rank, b + first, cols, count, tokens, scale, c + first * rank, 1, rank);
    else set.token_sum(a, rank, rank, b + first, cols, count, tokens, scale, c + first, cols, 1);
  });
}

// x as the LoRA branch sees it: itself, or a copy with dropped elements in scratch. nullptr: no memory.
const float* branch_input(const Linear& op, const float* x) {
  if (op.dropout <= 0.0) return x;
  const long count = op.tokens * op.weight.cols;
  float* dropped = scratch_floats(Scratch::dropped, static_cast<size_t>(count));
  if (!dropped) return nullptr;
  const Dropout dropout = dropout_of(op);
  parallel((count + kElementChunk - 1) / kElementChunk, [&](long task, int) {
    const long first = task * kElementChunk;
    isa().kernels->drop(x + first, dropped + first, first, std::min(kElementChunk, count - first), dropout);
  });
  return dropped;
}

// Small rows, some hundred to a task.
template <class F>
void by_chunks(long rows, F&& body) {
  constexpr long kRows = 192;
  parallel((rows + kRows - 1) / kRows, [&](long task, int) {
    for (long i = task * kRows; i < std::min(rows, (task + 1) * kRows); i++) body(i);
  });
}

// The term of the global adapter: `first` through its inner factor, then the outer one. It is as frozen as the base and
// its rank may be as large as the layer, so it goes through the family of the base, whose inputs are rounded alike.
Status frozen_term(const GemmFamily& family, const Term& first, const WeightView& outer, long tokens, Term& term) {
  const long rank = first.transposed ? first.w.rows : first.w.cols;
  Product inner(family);
  inner.c = scratch_floats(Scratch::hidden_global, static_cast<size_t>(tokens * rank));
  if (!inner.c) return Status::out_of_memory;
  inner.ldc = inner.cols = rank;
  inner.rows = tokens;
  inner.add(first);
  term = {inner.c, rank, rank, outer, first.transposed};
  return multiply(inner);
}

// b (rows, rank) -> (rank, rows)
void turn(const float* b, long rows, long rank, float* out) {
  by_chunks(rows, [&](long m) {
    for (long r = 0; r < rank; r++) out[r * rows + m] = b[m * rank + r];
  });
}

}  // namespace

Status linear_forward(const Linear& op, const float* x, float* y) {
  if (few_tokens(op)) return linear_few_tokens(op, x, y);
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank, global_rank = op.global.rank;
  Product p(family(op.precision));
  p.c = y;
  p.ldc = p.cols = out;
  p.rows = op.tokens;
  p.bias = op.bias;
  p.add({x, in, in, op.weight, true});
  Term term;
  if (global_rank > 0) {
    const WeightView a = dense_view(op.global.a, global_rank, in), b = dense_view(op.global.b, out, global_rank);
    const Status status = frozen_term(*p.family, {x, in, in, a, true}, b, op.tokens, term);
    if (status != Status::ok) return status;
    p.add(term);
  }
  if (rank > 0) {
    float* hidden = scratch_floats(Scratch::hidden, static_cast<size_t>(op.tokens * rank));
    const float* seen = branch_input(op, x);
    if (!hidden || !seen) return Status::out_of_memory;
    thin(seen, op.tokens, in, op.lora.a, rank, op.scale, hidden);
    p.tail = {hidden, rank, rank, dense_view(op.lora.b, out, rank), true};
  }
  return multiply(p);
}

namespace {

// dx = dy W + (dy B_G) A_G + mask (back A), back = scale dy B (tokens, rank).
Status input_gradient(const Linear& op, const float* dy, const float* back, float* dx) {
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank, global_rank = op.global.rank;
  Product p(family(op.precision));
  p.c = dx;
  p.ldc = p.cols = in;
  p.rows = op.tokens;
  p.add({dy, out, out, op.weight, false});
  Term term;
  if (global_rank > 0) {
    const WeightView a = dense_view(op.global.a, global_rank, in), b = dense_view(op.global.b, out, global_rank);
    const Status status = frozen_term(*p.family, {dy, out, out, b, false}, a, op.tokens, term);
    if (status != Status::ok) return status;
    p.add(term);
  }
  const Term plain{back, rank, rank, dense_view(op.lora.a, rank, in), false};
  if (rank > 0 && op.dropout <= 0.0) p.tail = plain;
  Status status = multiply(p);
  if (status != Status::ok || rank == 0 || op.dropout <= 0.0) return status;

  // The branch's own gradient passes the same mask as its input did.
  const long count = op.tokens * in;
  Product q(isa().kernels->f32);
  q.c = scratch_floats(Scratch::branch, static_cast<size_t>(count));
  if (!q.c) return Status::out_of_memory;
  q.ldc = q.cols = in;
  q.rows = op.tokens;
  q.add(plain);
  status = multiply(q);
  if (status != Status::ok) return status;
  const Dropout dropout = dropout_of(op);
  parallel((count + kElementChunk - 1) / kElementChunk, [&](long task, int) {
    const long first = task * kElementChunk;
    isa().kernels->add_dropped(q.c + first, dx + first, first, std::min(kElementChunk, count - first), dropout);
  });
  return Status::ok;
}

}  // namespace

Status linear_backward(const Linear& op, const float* dy, const float* x, float* dx, float* da, float* db) {
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank;
  float* turned = scratch_floats(Scratch::transposed, static_cast<size_t>(out * rank));
  float* back = scratch_floats(Scratch::grad_hidden, static_cast<size_t>(op.tokens * rank));
  if (!turned || !back) return Status::out_of_memory;
  if (rank > 0) {
    turn(op.lora.b, out, rank, turned);
    thin(dy, op.tokens, out, turned, rank, op.scale, back);
  }
  if (rank > 0 && da) {
    const float* seen = branch_input(op, x);
    float* hidden = scratch_floats(Scratch::hidden, static_cast<size_t>(op.tokens * rank));
    if (!seen || !hidden) return Status::out_of_memory;
    thin(seen, op.tokens, in, op.lora.a, rank, op.scale, hidden);
    token_outer(back, rank, seen, in, op.tokens, 1.0f, da, false);
    token_outer(hidden, rank, dy, out, op.tokens, 1.0f, db, true);
  }
  return dx ? input_gradient(op, dy, back, dx) : Status::ok;
}

}  // namespace lamina
