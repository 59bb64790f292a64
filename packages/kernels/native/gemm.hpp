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

// What is to be done with some rows of the inputs before they are packed, while they are in the cache.
struct Prepare {
  static constexpr long kBlocks = 3;  // A blocks at a time: 42 rows of x and dy beside each other in L2
  long rows = 0;                      // of one task, a multiple of kBlocks A blocks; 0: nothing to do
  void (*run)(const void* context, long first, long count) = nullptr;  // first .. of a task come in order
  const void* context = nullptr;
};

// C (rows, cols) = [C +] [bias +] [plus +] sum of the terms, in the order given, + tail. Every element is summed by one
// thread in one order.
struct Product {
  static constexpr int kTermsMax = 2;
  const GemmFamily* family;
  Term term[kTermsMax];
  int terms = 0;
  Term tail{};  // a short dense f32 term, summed in f32 by every family; depth 0: none; needs a term before it
  const float* bias = nullptr;
  const float* plus = nullptr;  // (rows, cols), not C; none where C accumulates
  float* c = nullptr;
  long ldc = 0;
  long rows = 0;
  long cols = 0;
  bool accumulate = false;
  Prepare prepare{};

  explicit Product(const GemmFamily& f) : family(&f) {}
  void add(const Term& t) { term[terms++] = t; }
};

// Only Status::ok or out_of_memory.
Status multiply(const Product& product);

}  // namespace lamina
