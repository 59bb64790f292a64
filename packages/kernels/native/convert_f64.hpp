#pragma once

namespace lamina {

// y = scale * x, x (rows, cols); y lies as x does, or transposed (cols, rows). Between f32 and f64, shared out over
// threads; each value is rounded once.
struct Conversion {
  long rows, cols;
  double scale;
  bool transposed;
};
void convert(const Conversion& conversion, const float* x, double* y);
void convert(const Conversion& conversion, const double* x, float* y);
void convert(const Conversion& conversion, const double* x, double* y);

}  // namespace lamina
