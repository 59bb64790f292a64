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

// C (rows, cols) = [C +] [bias +] sum of the terms, in the order given, + tail. Every element is summed by one thread
// in one order.
struct Product {
  static constexpr int kTermsMax = 2;
  const GemmFamily* family;
  Term term[kTermsMax];
  int terms = 0;
  Term tail{};  // a short dense f32 term, summed in f32 by every family; depth 0: none; needs a term before it
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
