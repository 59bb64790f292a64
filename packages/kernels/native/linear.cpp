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

constexpr long kElementChunk = 32768;

Dropout dropout_of(const Linear& op) {
  return {op.seed, static_cast<uint64_t>(std::ceil(op.dropout * 4294967296.0)),
          static_cast<float>(1.0 / (1.0 - op.dropout))};
}

// out (tokens, rank) = scale x a^T, some rows of it.
struct Thin {
  const float* x;
  const float* a;
  float* out;
  long depth, rank;
  float scale;

  void rows(long first, long count) const {
    isa().kernels->dot_rows(x + first * depth, depth, count, a, depth, rank, depth, scale, out + first * rank, rank);
  }
};

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

Status linear_forward(const Linear& op, const float* x, const float* plus, float* y) {
  if (few_tokens(op)) return linear_few_tokens(op, x, plus, y);
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank, global_rank = op.global.rank;
  Product p(family(op.precision));
  p.c = y;
  p.ldc = p.cols = out;
  p.rows = op.tokens;
  p.bias = op.bias;
  p.plus = plus;
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
    p.tail = {hidden, rank, rank, dense_view(op.lora.b, out, rank), true};
    const Thin thin{seen, op.lora.a, hidden, in, rank, op.scale};
    p.prepare = {
        Prepare::kBlocks * p.family->mr,
        [](const void* context, long first, long count) { static_cast<const Thin*>(context)->rows(first, count); },
        &thin};
    return multiply(p);
  }
  return multiply(p);
}

namespace {

// back = scale dy B and hidden = scale seen A^T, both (tokens, rank), and the sums da = back^T seen, db = dy^T hidden
// over tokens, in parts of tokens that only the shapes decide and that are added up in order.
class Branch {
 public:
  Branch(const Linear& op, const float* dy, const float* x, bool factors)
      : op_(op), dy_(dy), x_(x), factors_(factors) {}

  // false: no memory
  bool start() {
    constexpr long kParts = 8, kFloats = 4 << 20;  // at most 16 MiB of partial sums
    const long in = op_.weight.cols, out = op_.weight.rows, rank = op_.lora.rank;
    const long parts = std::clamp<long>(kFloats / std::max<long>(1, rank * (in + out)), 1, kParts);
    chunk_ = Prepare::kBlocks * family(op_.precision).mr;
    part_rows_ = std::max<long>(1, (op_.tokens + parts * chunk_ - 1) / (parts * chunk_)) * chunk_;
    const size_t hidden = static_cast<size_t>(op_.tokens * rank);
    turned_ = scratch_floats(Scratch::transposed, static_cast<size_t>(out * rank));
    back_ = scratch_floats(Scratch::grad_hidden, hidden);
    hidden_ = scratch_floats(Scratch::hidden, hidden);
    sums_ = scratch_floats(Scratch::factor_sums, factors_ ? static_cast<size_t>(parts * rank * (in + out)) : 1);
    if (factors_) x_ = branch_input(op_, x_);
    if (!turned_ || !back_ || !hidden_ || !sums_ || !x_) return false;
    turn(op_.lora.b, out, rank, turned_);
    return true;
  }

  const float* back() const { return back_; }

  Prepare prepare() const {
    return {
        part_rows_,
        [](const void* context, long first, long count) { static_cast<const Branch*>(context)->rows(first, count); },
        this};
  }

  void all() const {
    parallel((op_.tokens + part_rows_ - 1) / part_rows_, [&](long part, int) {
      const long end = std::min(op_.tokens, (part + 1) * part_rows_);
      for (long row = part * part_rows_; row < end; row += chunk_) rows(row, std::min(chunk_, end - row));
    });
  }

  // da (rank, in) and db (out, rank) from the parts.
  void finish(float* da, float* db) const {
    const long in = op_.weight.cols, out = op_.weight.rows, rank = op_.lora.rank;
    const long parts = (op_.tokens + part_rows_ - 1) / part_rows_;
    const auto total = [&](long at) {
      float sum = 0.0f;
      for (long p = 0; p < parts; p++) sum += sums_[p * rank * (in + out) + at];
      return sum;
    };
    by_chunks(in, [&](long n) {
      for (long r = 0; r < rank; r++) da[r * in + n] = total(r * in + n);
    });
    by_chunks(out, [&](long m) {
      for (long r = 0; r < rank; r++) db[m * rank + r] = total(rank * in + r * out + m);
    });
  }

 private:
  void rows(long first, long count) const {
    const KernelSet& set = *isa().kernels;
    const long in = op_.weight.cols, out = op_.weight.rows, rank = op_.lora.rank;
    const float *dy = dy_ + first * out, *x = x_ + first * in;
    float *back = back_ + first * rank, *hidden = hidden_ + first * rank;
    Thin{dy_, turned_, back_, out, rank, op_.scale}.rows(first, count);
    if (!factors_) return;
    Thin{x_, op_.lora.a, hidden_, in, rank, op_.scale}.rows(first, count);
    float* sum = sums_ + first / part_rows_ * rank * (in + out);
    const bool more = first % part_rows_ != 0;
    set.token_sum(back, rank, rank, x, in, in, count, sum, more);
    set.token_sum(hidden, rank, rank, dy, out, out, count, sum + rank * in, more);
  }

  const Linear& op_;
  const float *dy_, *x_;
  bool factors_;
  long chunk_ = 0, part_rows_ = 0;
  float *turned_ = nullptr, *back_ = nullptr, *hidden_ = nullptr, *sums_ = nullptr;
};

// dx = plus + dy W + (dy B_G) A_G + mask (back A); runs the branch on the way.
Status input_gradient(const Linear& op, const float* dy, const Branch& branch, const float* plus, float* dx) {
  const long in = op.weight.cols, out = op.weight.rows, rank = op.lora.rank, global_rank = op.global.rank;
  Product p(family(op.precision));
  p.c = dx;
  p.plus = plus;
  p.ldc = p.cols = in;
  p.rows = op.tokens;
  p.add({dy, out, out, op.weight, false});
  if (global_rank > 0) {
    const WeightView a = dense_view(op.global.a, global_rank, in), b = dense_view(op.global.b, out, global_rank);
    Term term;
    const Status status = frozen_term(*p.family, {dy, out, out, b, false}, a, op.tokens, term);
    if (status != Status::ok) return status;
    p.add(term);
  }
  const Term plain{branch.back(), rank, rank, dense_view(op.lora.a, rank, in), false};
  if (rank > 0) p.prepare = branch.prepare();
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

Status linear_backward(const Linear& op, const float* dy, const float* x, const float* plus, float* dx, float* da,
                       float* db) {
  Branch branch(op, dy, x, da != nullptr);
  if (op.lora.rank > 0 && !branch.start()) return Status::out_of_memory;
  if (dx && op.weight.cols > 0) {
    const Status status = input_gradient(op, dy, branch, plus, dx);
    if (status != Status::ok) return status;
  } else if (op.lora.rank > 0) {
    branch.all();
  }
  if (op.lora.rank > 0 && da) branch.finish(da, db);
  return Status::ok;
}

}  // namespace lamina
