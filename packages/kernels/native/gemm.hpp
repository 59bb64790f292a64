#pragma once
#include "kernels.hpp"
#include "status.hpp"

namespace lamina {

// One term of a sum of products: A (rows, depth) times W, read as B[k][n] = transposed ? W[n][k] : W[k][n].
struct Term {
  const float* a;
  long lda;
  long depth;
  WeightView w;
  bool transposed;
};

// C (rows, cols) = [C +] [bias +] sum of the terms, in the order given. Every element is summed by one thread in one
// order.
struct Product {
  static constexpr int kTermsMax = 3;
  const GemmFamily* family;
  Term term[kTermsMax];
  int terms = 0;
  const float* bias = nullptr;
  float* c = nullptr;
  long ldc = 0;
  long rows = 0;
  long cols = 0;
  bool accumulate = false;

  explicit Product(const GemmFamily& f) : family(&f) {}
  void add(const Term& t) { term[terms++] = t; }
};

// Only Status::ok or out_of_memory.
Status multiply(const Product& product);

}  // namespace lamina
