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

// Tokens whose logits exist at once. W is dequantized once per chunk and direction, so a chunk must be long enough to hide it.
constexpr long kChunk = 256;
// Depth of one product of the gradient: bounds the packed copy of the probabilities.
constexpr long kSlab = 4096;

// Logits -> their gradient, (softmax - one-hot) / counted; rows without a target become zero. Fills each row's loss.
void softmax_rows(float* logits, long vocabulary, const int32_t* targets, long rows, float weight, bool gradient, double* losses) {
  const KernelSet& set = *isa().kernels;
  parallel(rows, [&](long t, int) {
    float* row = logits + t * vocabulary;
    losses[t] = 0.0;
    if (targets[t] < 0) {
      if (gradient) memset(row, 0, static_cast<size_t>(vocabulary) * sizeof(float));
      return;
    }
    float largest, sum;
    set.row_max_sum(row, vocabulary, &largest, &sum);
    losses[t] = static_cast<double>(largest) + std::log(static_cast<double>(sum)) - static_cast<double>(row[targets[t]]);
    if (!gradient) return;
    set.exp_scaled(row, vocabulary, largest, weight / sum);
    row[targets[t]] -= weight;
  });
}

Status gradient_of(const WeightView& w, const GemmFamily& family, const float* logits, long rows, float* dx) {
  Product p;
  p.c = dx;
  p.ldc = p.cols = w.cols;
  p.rows = rows;
  for (long v = 0; v < w.rows; v += kSlab) {
    const long depth = std::min(kSlab, w.rows - v);
    WeightView slab = w;
    slab.rows = depth;
    const long blocks = w.blocks();
    switch (w.format) {
      case Format::f32: slab.codes = static_cast<const float*>(w.codes) + v * w.cols; break;
      case Format::bf16: slab.codes = static_cast<const uint16_t*>(w.codes) + v * w.cols; break;
      case Format::q8: slab.codes = static_cast<const int8_t*>(w.codes) + v * w.cols; break;
      case Format::q4: slab.codes = static_cast<const uint8_t*>(w.codes) + v * blocks * 16; break;
    }
    if (w.scales) slab.scales = w.scales + v * blocks;
    if (w.mins) slab.mins = w.mins + v * blocks;
    p.terms = 0;
    p.add({&family, logits + v, w.rows, depth, slab, false});
    p.accumulate = v > 0;
    const Status status = multiply(p);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

}  // namespace

Status lm_head(const WeightView& w, const float* x, const int32_t* targets, long tokens, bool bf16, float* loss, float* dx) {
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
  const GemmFamily& family = bf16 ? *isa().bf16 : isa().kernels->f32;
  const float weight = static_cast<float>(1.0 / static_cast<double>(counted));
  float* logits = scratch_floats(Scratch::logits, static_cast<size_t>(std::min(kChunk, tokens) * w.rows));
  double* losses = static_cast<double*>(scratch(Scratch::row_stats, sizeof(double) * kChunk));
  if (!logits || !losses) return Status::out_of_memory;
  double total = 0.0;
  for (long first = 0; first < tokens; first += kChunk) {
    const long rows = std::min(kChunk, tokens - first);
    Product p;
    p.add({&family, x + first * w.cols, w.cols, w.cols, w, true});
    p.c = logits;
    p.ldc = p.cols = w.rows;
    p.rows = rows;
    Status status = multiply(p);
    if (status != Status::ok) return status;
    softmax_rows(logits, w.rows, targets + first, rows, weight, dx != nullptr, losses);
    for (long t = 0; t < rows; t++) total += losses[t];
    if (dx) status = gradient_of(w, family, logits, rows, dx + first * w.cols);
    if (status != Status::ok) return status;
  }
  *loss = static_cast<float>(total / static_cast<double>(counted));
  return Status::ok;
}

}  // namespace lamina
