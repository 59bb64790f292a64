// The frozen linear map of one to four tokens, as decoding runs it: a dot product per output, weights unpacked where
// they lie.
#include "gemv.hpp"

#include <algorithm>

#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

constexpr long kTokensMax = 4;
constexpr long kTaskElements = 65536;  // of W in one task, some 10 us
constexpr long kRowUnit = 16;          // the most rows that one tile takes

// y (tokens, rows of W) = x W^T
void product(const WeightView& w, const float* x, long tokens, float* y) {
  const long rows = std::max(kRowUnit, kTaskElements / std::max<long>(1, w.cols) / kRowUnit * kRowUnit);
  parallel((w.rows + rows - 1) / rows, [&](long task, int) {
    const long first = task * rows;
    isa().kernels->few_tokens(w, first, std::min(rows, w.rows - first), x, w.cols, tokens, y, w.rows);
  });
}

// y += scale (x a^T) b^T
Status add_factors(const Factors& factors, float scale, const Linear& op, const float* x, float* y) {
  if (factors.rank == 0) return Status::ok;
  const KernelSet& set = *isa().kernels;
  const long count = op.tokens * op.weight.rows;
  float* hidden = scratch_floats(Scratch::hidden, static_cast<size_t>(op.tokens * factors.rank));
  float* term = scratch_floats(Scratch::branch, static_cast<size_t>(count));
  if (!hidden || !term) return Status::out_of_memory;
  set.dot_rows(x, op.weight.cols, op.tokens, factors.a, op.weight.cols, factors.rank, op.weight.cols, scale, hidden,
               factors.rank);
  product(dense_view(factors.b, op.weight.rows, factors.rank), hidden, op.tokens, term);
  set.add(y, term, y, count);
  return Status::ok;
}

}  // namespace

bool few_tokens(const Linear& op) {
  return op.tokens >= 1 && op.tokens <= kTokensMax && op.weight.cols > 0 && (op.lora.rank == 0 || op.dropout <= 0.0);
}

Status linear_few_tokens(const Linear& op, const float* x, const float* plus, float* y) {
  product(op.weight, x, op.tokens, y);
  if (plus) isa().kernels->add(y, plus, y, op.tokens * op.weight.rows);
  if (op.bias)
    for (long t = 0; t < op.tokens; t++)
      isa().kernels->add(y + t * op.weight.rows, op.bias, y + t * op.weight.rows, op.weight.rows);
  const Status status = add_factors(op.global, 1.0f, op, x, y);
  return status == Status::ok ? add_factors(op.lora, op.scale, op, x, y) : status;
}

}  // namespace lamina
