#include "lm_head.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "gemm.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// exp(logit - largest) of one chunk of tokens is kept for the gradient; where the product rounds its inputs anyway, as
// bf16. W is dequantized once per chunk and direction, so a chunk must be long enough to hide it; what is kept grows
// with the batch, as the activations do.
constexpr size_t kKeptMin = 28 << 20, kKeptPerToken = 28 << 10;
constexpr long kChunkMin = 32, kChunkMax = 1024;
// Columns of one slab of logits, which is used again for the next.
constexpr long kSlab = 2048;
// Between rows of a slab, 64 bytes off a power of two: rows a power of two apart fall into the same few cache lines.
constexpr long kGap = 16;

struct RowStats {
  float target;        // logit of it
  float largest, sum;  // of exp(logit - largest)
};

struct Chunk {
  const GemmFamily* family;
  WeightView w;
  const int32_t* targets;
  long rows;
  float* slab;    // (rows, kSlab), rows kSlab + kGap apart
  char* kept;     // (rows, V), nullptr where no gradient is wanted
  bool halves;    // of bf16
  float* shifts;  // (slabs, rows): the largest logit of a row in each slab
  RowStats* stats;

  long width(long first) const { return std::min(kSlab, w.rows - first); }
  float* row(long t) const { return slab + t * (kSlab + kGap); }
  void* kept_at(long t, long column) const {
    return kept ? kept + static_cast<size_t>(t * w.rows + column) * (halves ? 2 : 4) : nullptr;
  }
  float& shift(long t, long column) const { return shifts[column / kSlab * rows + t]; }

  template <class F>
  void each_target(F&& body) const {
    parallel((rows + 7) / 8, [&](long task, int) {
      for (long t = task * 8; t < std::min(rows, task * 8 + 8); t++) body(t);
    });
  }
};

// Takes one slab of a row into its running maximum and sum (the online softmax of Milakov & Gimelshein 2018,
// arXiv:1805.02867).
void take_slab(const Chunk& c, long t, long first) {
  const long width = c.width(first), target = c.targets[t] - first;
  RowStats& stats = c.stats[t];
  float& largest = c.shift(t, first);
  float sum;
  isa().kernels->row_softmax(c.row(t), width, c.kept_at(t, first), c.halves, &largest, &sum);
  if (largest > stats.largest) {
    stats.sum = stats.sum * std::exp(stats.largest - largest) + sum;
    stats.largest = largest;
  } else {
    stats.sum += sum * std::exp(largest - stats.largest);
  }
  if (target >= 0 && target < width) stats.target = c.row(t)[target];
}

Status forward(const Chunk& c, const float* x) {
  for (long t = 0; t < c.rows; t++) c.stats[t] = {0.0f, -INFINITY, 0.0f};
  for (long v = 0; v < c.w.rows; v += kSlab) {
    Product p(*c.family);
    p.add({x, c.w.cols, c.w.cols, rows_of(c.w, v, c.width(v)), true});
    p.c = c.slab;
    p.ldc = kSlab + kGap;
    p.cols = c.width(v);
    p.rows = c.rows;
    const Status status = multiply(p);
    if (status != Status::ok) return status;
    c.each_target([&](long t) {
      if (c.targets[t] >= 0) take_slab(c, t, v);
    });
  }
  return Status::ok;
}

// Slab by slab (softmax - one-hot) * weight, rows without a target 0, and dx = that times W.
Status backward(const Chunk& c, float weight, float* dx) {
  for (long v = 0; v < c.w.rows; v += kSlab) {
    const long width = c.width(v);
    c.each_target([&](long t) {
      const long target = c.targets[t] - v;
      if (c.targets[t] < 0) {
        memset(c.row(t), 0, static_cast<size_t>(width) * sizeof(float));
        return;
      }
      const float factor = weight / c.stats[t].sum * std::exp(c.shift(t, v) - c.stats[t].largest);
      isa().kernels->row_scaled(c.kept_at(t, v), c.halves, width, factor, c.row(t));
      if (target >= 0 && target < width) c.row(t)[target] -= weight;
    });
    Product p(*c.family);
    p.add({c.slab, kSlab + kGap, width, rows_of(c.w, v, width), false});
    p.c = dx;
    p.ldc = p.cols = c.w.cols;
    p.rows = c.rows;
    p.accumulate = v > 0;
    const Status status = multiply(p);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

}  // namespace

Status lm_head(const WeightView& w, const float* x, const int32_t* targets, long tokens, Precision precision,
               float* scores, float* dx) {
  long counted = 0;
  for (long t = 0; t < tokens; t++) {
    if (targets[t] < -1 || targets[t] >= w.rows) return Status::bad_value;
    counted += targets[t] >= 0;
  }
  scores[0] = scores[1] = 0.0f;
  if (counted == 0) {
    if (dx) memset(dx, 0, static_cast<size_t>(tokens * w.cols) * sizeof(float));
    return Status::ok;
  }
  const float weight = static_cast<float>(1.0 / static_cast<double>(counted));
  const GemmFamily& chosen = family(precision);
  const bool halves = &chosen != &isa().kernels->f32;
  const size_t bytes = halves ? 2 : 4;
  const size_t most = std::max(kKeptMin, kKeptPerToken * static_cast<size_t>(tokens));
  const long fit = std::clamp(static_cast<long>(most / (static_cast<size_t>(w.rows) * bytes)), kChunkMin, kChunkMax);
  const long chunks = (tokens + fit - 1) / fit;  // of equal length
  const long chunk = (tokens + chunks - 1) / chunks;
  const size_t rows = static_cast<size_t>(chunk), slabs = static_cast<size_t>((w.rows + kSlab - 1) / kSlab);
  float* slab = scratch_floats(Scratch::logits, rows * (kSlab + kGap));
  char* kept = dx ? static_cast<char*>(scratch(Scratch::softmax, rows * static_cast<size_t>(w.rows) * bytes)) : nullptr;
  float* shifts = scratch_floats(Scratch::shifts, rows * slabs);
  RowStats* stats = static_cast<RowStats*>(scratch(Scratch::row_stats, sizeof(RowStats) * rows));
  if (!slab || !shifts || !stats || (dx && !kept)) return Status::out_of_memory;
  double total = 0.0;
  long right = 0;
  for (long first = 0; first < tokens; first += chunk) {
    const Chunk c{&chosen, w, targets + first, std::min(chunk, tokens - first), slab, kept, halves, shifts, stats};
    Status status = forward(c, x + first * w.cols);
    if (status == Status::ok && dx) status = backward(c, weight, dx + first * w.cols);
    if (status != Status::ok) return status;
    for (long t = 0; t < c.rows; t++) {
      if (c.targets[t] < 0) continue;
      const RowStats& row = stats[t];
      total += static_cast<double>(row.largest) - static_cast<double>(row.target) + std::log(static_cast<double>(row.sum));
      right += row.target >= row.largest;
    }
  }
  scores[0] = static_cast<float>(total / static_cast<double>(counted));
  scores[1] = static_cast<float>(static_cast<double>(right) / static_cast<double>(counted));
  return Status::ok;
}

}  // namespace lamina
