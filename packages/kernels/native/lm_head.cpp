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

// Logits of one chunk of tokens exist at once, 48 MiB of them. W is dequantized once per chunk and direction, so a
// chunk must be long enough to hide it.
constexpr long kLogits = 12l << 20;
constexpr long kChunkMin = 32, kChunkMax = 256;
// Columns of one slab of logits: 256 x 2048 floats are worked on while they are still in L2.
constexpr long kSlab = 2048;
// Between rows of a slab, 64 bytes off a power of two: rows a power of two apart fall into the same few cache lines.
constexpr long kGap = 16;

struct RowStats {
  double loss;
  float largest, sum;  // of exp(logit - largest)
};

// Takes one slab of a row into its running maximum and sum (the online softmax of Milakov & Gimelshein 2018,
// arXiv:1805.02867).
void take_slab(const float* logits, long count, long target, RowStats& stats) {
  float largest, sum;
  isa().kernels->row_max_sum(logits, count, &largest, &sum);
  if (largest > stats.largest) {
    stats.sum = stats.sum * std::exp(stats.largest - largest) + sum;
    stats.largest = largest;
  } else {
    stats.sum += sum * std::exp(largest - stats.largest);
  }
  if (target >= 0 && target < count) stats.loss = -static_cast<double>(logits[target]);
}

struct Chunk {
  const GemmFamily* family;
  WeightView w;
  const int32_t* targets;
  long rows;
  float* logits;  // slab by slab, each (rows, width) with rows ld(first) apart
  RowStats* stats;

  float* slab(long first) const { return logits + (first + first / kSlab * kGap) * rows; }
  long ld(long first) const { return width(first) + kGap; }
  long width(long first) const { return std::min(kSlab, w.rows - first); }
};

Status forward(const Chunk& c, const float* x) {
  for (long t = 0; t < c.rows; t++) c.stats[t] = {0.0, -INFINITY, 0.0f};
  for (long v = 0; v < c.w.rows; v += kSlab) {
    const long width = c.width(v);
    Product p(*c.family);
    p.add({x, c.w.cols, c.w.cols, rows_of(c.w, v, width), true});
    p.c = c.slab(v);
    p.ldc = c.ld(v);
    p.cols = width;
    p.rows = c.rows;
    const Status status = multiply(p);
    if (status != Status::ok) return status;
    parallel((c.rows + 7) / 8, [&](long task, int) {
      for (long t = task * 8; t < std::min(c.rows, task * 8 + 8); t++)
        if (c.targets[t] >= 0) take_slab(c.slab(v) + t * c.ld(v), width, c.targets[t] - v, c.stats[t]);
    });
  }
  return Status::ok;
}

// Logits -> (softmax - one-hot) * weight, rows without a target -> 0, and dx = that times W.
Status backward(const Chunk& c, float weight, float* dx) {
  for (long v = 0; v < c.w.rows; v += kSlab) {
    const long width = c.width(v);
    parallel((c.rows + 7) / 8, [&](long task, int) {
      for (long t = task * 8; t < std::min(c.rows, task * 8 + 8); t++) {
        float* row = c.slab(v) + t * c.ld(v);
        const long target = c.targets[t] - v;
        if (c.targets[t] < 0) memset(row, 0, static_cast<size_t>(width) * sizeof(float));
        else isa().kernels->exp_scaled(row, width, c.stats[t].largest, weight / c.stats[t].sum);
        if (c.targets[t] >= 0 && target >= 0 && target < width) row[target] -= weight;
      }
    });
    Product p(*c.family);
    p.add({c.slab(v), c.ld(v), width, rows_of(c.w, v, width), false});
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
               float* loss, float* dx) {
  long counted = 0;
  for (long t = 0; t < tokens; t++) {
    if (targets[t] < -1 || targets[t] >= w.rows) return Status::bad_value;
    counted += targets[t] >= 0;
  }
  *loss = 0.0f;
  if (counted == 0) {
    if (dx) memset(dx, 0, static_cast<size_t>(tokens * w.cols) * sizeof(float));
    return Status::ok;
  }
  const float weight = static_cast<float>(1.0 / static_cast<double>(counted));
  const long chunk = std::min(tokens, std::clamp(kLogits / w.rows / 32 * 32, kChunkMin, kChunkMax));
  float* logits =
      scratch_floats(Scratch::logits, static_cast<size_t>(chunk * (w.rows + (w.rows + kSlab - 1) / kSlab * kGap)));
  RowStats* stats = static_cast<RowStats*>(scratch(Scratch::row_stats, sizeof(RowStats) * static_cast<size_t>(chunk)));
  if (!logits || !stats) return Status::out_of_memory;
  double total = 0.0;
  for (long first = 0; first < tokens; first += chunk) {
    const Chunk c{&family(precision), w, targets + first, std::min(chunk, tokens - first), logits, stats};
    Status status = forward(c, x + first * w.cols);
    if (status == Status::ok && dx) status = backward(c, weight, dx + first * w.cols);
    if (status != Status::ok) return status;
    for (long t = 0; t < c.rows; t++)
      if (c.targets[t] >= 0)
        total += stats[t].loss + static_cast<double>(stats[t].largest) + std::log(static_cast<double>(stats[t].sum));
  }
  *loss = static_cast<float>(total / static_cast<double>(counted));
  return Status::ok;
}

}  // namespace lamina
