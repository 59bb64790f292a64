#pragma once
#include <cstddef>
#include <cstdint>

namespace lamina {

enum class Format : int32_t { f32 = 0, bf16 = 1, q8 = 2, q4 = 3 };

inline constexpr long kQuantBlock = 32;

// A frozen W (rows, cols), row-major and packed as src/frozen.ts says. A view: it owns nothing.
struct WeightView {
  Format format = Format::f32;
  long rows = 0;
  long cols = 0;
  const void* codes = nullptr;
  const uint16_t* scales = nullptr;
  const uint16_t* mins = nullptr;

  long blocks() const { return (cols + kQuantBlock - 1) / kQuantBlock; }
};

inline WeightView dense_view(const float* data, long rows, long cols) {
  return {Format::f32, rows, cols, data, nullptr, nullptr};
}

}  // namespace lamina
