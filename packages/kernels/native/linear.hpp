#pragma once
#include <cstdint>

#include "precision.hpp"
#include "status.hpp"
#include "weight.hpp"

namespace lamina {

// Low-rank factors a (rank, cols of W) and b (rows of W, rank); rank 0: none.
struct Factors {
  long rank = 0;
  const float* a = nullptr;
  const float* b = nullptr;
};

// The frozen linear map with its adapter: LinearAttrs of kernel-args.ts.
struct Linear {
  WeightView weight;
  const float* bias = nullptr;
  Factors global;  // scale 1, frozen
  Factors lora;
  float scale = 1.0f;
  double dropout = 0.0;
  uint32_t seed = 0;
  Precision precision = Precision::f32;
  long tokens = 0;
};

// y = plus + what the map gives; plus (tokens, rows of W) may be null.
Status linear_forward(const Linear& op, const float* x, const float* plus, float* y);
// dx = plus + the gradient; dx and plus may be null; da and db are both null or both not.
Status linear_backward(const Linear& op, const float* dy, const float* x, const float* plus, float* dx, float* da,
                       float* db);

}  // namespace lamina
