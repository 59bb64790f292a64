// y = x W^T + bias + (x A_G^T) B_G^T + scale (drop(x) A^T) B^T and its gradients. Hu et al. 2021 (arXiv:2106.09685), equation 3.
#include "linear.hpp"

#include <algorithm>
#include <cmath>

#include "gemm.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

constexpr long kTokenChunk = 24;     // tokens of one task of a thin product
constexpr long kElementChunk = 32768;

Dropout dropout_of(const Linear& op) {
  return {op.seed, static_cast<uint64_t>(std::ceil(op.dropout * 4294967296.0)), static_cast<float>(1.0 / (1.0 - op.dropout))};
}

const GemmFamily& main_family(const Linear& op) { return op.bf16 ? *isa().bf16 : isa().kernels->f32; }

// out (tokens, rank) = scale x a^T
void thin(const float* x, long tokens, long depth, const float* a, long rank, float scale, float* out) {
  const KernelSet& set = *isa().kernels;
  parallel((tokens + kTokenChunk - 1) / kTokenChunk, [&](long task, int) {
    const long first = task * kTokenChunk, count = std::min(kTokenChunk, tokens - first);
    set.dot_rows(x + first * depth, depth, count, a, depth, rank, depth, scale, out + first * rank, rank);
  });
}

// c = scale sum_t a[t] b[t]^T, written (rank, cols) or, turned, (cols, rank).
void token_outer(const float* a, long rank, const float* b, long cols, long tokens, float scale, float* c, bool turned) {
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

// b (rows, rank) -> (rank, rows) in scratch, at `offset` floats.
void turn(const float* b, long rows, long rank, float* out) {
  for (long m = 0; m < rows; m++)
    for (long r = 0; r < rank; r++) out[r * rows + m] = b[m * rank + r];
}

}  // namespace

Status linear_forward(const Linear& op, const float* x, float* y) {
  const long in = op.weight.cols, out = op.weight.rows;
  const GemmFamily& main = main_family(op);
  const GemmFamily& thin_family = companion(main);
  Product p;
  p.c = y;
  p.ldc = p.cols = out;
  p.rows = op.tokens;
  p.bias = op.bias;
  p.add({&main, x, in, in, op.weight, true});
  if (op.global.rank > 0) {
    float* hidden = scratch_floats(Scratch::hidden_global, static_cast<size_t>(op.tokens * op.global.rank));
    if (!hidden) return Status::out_of_memory;
    thin(x, op.tokens, in, op.global.a, op.global.rank, 1.0f, hidden);
    p.add({&thin_family, hidden, op.global.rank, op.global.rank, dense_view(op.global.b, out, op.global.rank), true});
  }
  if (op.lora.rank > 0) {
    float* hidden = scratch_floats(Scratch::hidden, static_cast<size_t>(op.tokens * op.lora.rank));
    const float* seen = branch_input(op, x);
    if (!hidden || !seen) return Status::out_of_memory;
    thin(seen, op.tokens, in, op.lora.a, op.lora.rank, op.scale, hidden);
    p.add({&thin_family, hidden, op.lora.rank, op.lora.rank, dense_view(op.lora.b, out, op.lora.rank), true});
  }
  return multiply(p);
}

Status linear_backward(const Linear& op, const float* dy, const float* x, float* dx, float* da, float* db) {
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank, global_rank = op.global.rank;
  const GemmFamily& main = main_family(op);
  const GemmFamily& thin_family = companion(main);
  float* turned = scratch_floats(Scratch::transposed, static_cast<size_t>(out * std::max(rank, global_rank)));
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
  if (!dx) return Status::ok;

  Product p;
  p.c = dx;
  p.ldc = p.cols = in;
  p.rows = op.tokens;
  p.add({&main, dy, out, out, op.weight, false});
  if (global_rank > 0) {
    float* hidden = scratch_floats(Scratch::grad_hidden_global, static_cast<size_t>(op.tokens * global_rank));
    if (!hidden) return Status::out_of_memory;
    turn(op.global.b, out, global_rank, turned);
    thin(dy, op.tokens, out, turned, global_rank, 1.0f, hidden);
    p.add({&thin_family, hidden, global_rank, global_rank, dense_view(op.global.a, global_rank, in), false});
  }
  const Term low_rank{&thin_family, back, rank, rank, dense_view(op.lora.a, rank, in), false};
  if (rank > 0 && op.dropout <= 0.0) p.add(low_rank);
  const Status status = multiply(p);
  if (status != Status::ok || rank == 0 || op.dropout <= 0.0) return status;

  // The branch's own gradient passes the same mask as its input did.
  const long count = op.tokens * in;
  float* branch = scratch_floats(Scratch::branch, static_cast<size_t>(count));
  if (!branch) return Status::out_of_memory;
  Product q = p;
  q.terms = 0;
  q.c = branch;
  q.add(low_rank);
  const Status again = multiply(q);
  if (again != Status::ok) return again;
  const Dropout dropout = dropout_of(op);
  parallel((count + kElementChunk - 1) / kElementChunk, [&](long task, int) {
    const long first = task * kElementChunk;
    isa().kernels->add_dropped(branch + first, dx + first, first, std::min(kElementChunk, count - first), dropout);
  });
  return Status::ok;
}

}  // namespace lamina
