#include "convert_f64.hpp"

#include <algorithm>

#include "pool.hpp"

namespace lamina {
namespace {

// A task's elements, and the side of a block whose lines are read and written whole while they are in the cache.
constexpr long kElements = 65536, kBlock = 32;

template <class From, class To>
void convert_rows(const Conversion& c, const From* x, To* y, long first, long last) {
  for (long i = first * c.cols; i < last * c.cols; i++) y[i] = static_cast<To>(c.scale * static_cast<double>(x[i]));
}

template <class From, class To>
void transpose_rows(const Conversion& c, const From* x, To* y, long first, long last) {
  for (long top = first; top < last; top += kBlock)
    for (long left = 0; left < c.cols; left += kBlock)
      for (long j = left; j < std::min(left + kBlock, c.cols); j++)
        for (long i = top; i < std::min(top + kBlock, last); i++)
          y[j * c.rows + i] = static_cast<To>(c.scale * static_cast<double>(x[i * c.cols + j]));
}

template <class From, class To>
void convert_any(const Conversion& c, const From* x, To* y) {
  const long blocks = std::max<long>(1, kElements / kBlock / std::max<long>(1, c.cols)), chunk = blocks * kBlock;
  parallel((c.rows + chunk - 1) / chunk, [&](long task, int) {
    const long first = task * chunk, last = std::min(first + chunk, c.rows);
    if (c.transposed) transpose_rows(c, x, y, first, last);
    else convert_rows(c, x, y, first, last);
  });
}

}  // namespace

void convert(const Conversion& c, const float* x, double* y) { convert_any(c, x, y); }
void convert(const Conversion& c, const double* x, float* y) { convert_any(c, x, y); }
void convert(const Conversion& c, const double* x, double* y) { convert_any(c, x, y); }

}  // namespace lamina
