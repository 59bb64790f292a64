#pragma once
#include <cstddef>
#include <cstdint>

namespace lamina {

// The numbers stand in src/native/kernels/kernel.ts too.
enum class Format : int32_t { f32 = 0, bf16 = 1, q8 = 2, q4 = 3, f16 = 4, q5 = 5, q4k = 6, q5k = 7, q6k = 8, nf4 = 9 };

inline constexpr long kQuantBlock = 32;
inline constexpr long kSuperBlock = 256;
inline constexpr long kNf4Block = 64;
inline constexpr long kNf4Group = 256;

// A frozen W (rows, cols), row-major and packed as src/frozen.ts says. A view: it owns nothing.
struct WeightView {
  Format format = Format::f32;
  long rows = 0;
  long cols = 0;
  const void* codes = nullptr;
  const void* scales = nullptr;  // halves, or one byte each under super scales
  const void* mins = nullptr;
  const void* super_scales = nullptr;  // halves; nf4: floats
  const uint16_t* super_mins = nullptr;
  const float* offset = nullptr;  // nf4
  long first_row = 0;             // of this view in the matrix that nf4 groups its scales over

  long blocks() const { return (cols + kQuantBlock - 1) / kQuantBlock; }
  long nf4_blocks() const { return (cols + kNf4Block - 1) / kNf4Block; }
};

inline WeightView dense_view(const float* data, long rows, long cols) {
  WeightView view;
  view.rows = rows;
  view.cols = cols;
  view.codes = data;
  return view;
}

// How many elements of how many bytes each array of a format has in one row; zero where it has no such array. What
// covers several rows (nf4's super scales and offset) is not here.
struct RowLayout {
  long codes = 0, scales = 0, mins = 0, super_scales = 0, super_mins = 0;
  size_t code_bytes = 1, scale_bytes = 2;
};

inline RowLayout row_layout(Format format, long cols) {
  const long blocks = (cols + kQuantBlock - 1) / kQuantBlock, supers = cols / kSuperBlock;
  switch (format) {
    case Format::f32: return {cols, 0, 0, 0, 0, 4};
    case Format::bf16: return {cols, 0, 0, 0, 0, 2};
    case Format::f16: return {cols, 0, 0, 0, 0, 2};
    case Format::q8: return {cols, blocks};
    case Format::q4: return {blocks * 16, blocks, blocks};
    case Format::q5: return {cols, blocks, blocks};
    case Format::q4k: return {blocks * 16, blocks, blocks, supers, supers, 1, 1};
    case Format::q5k: return {cols, blocks, blocks, supers, supers, 1, 1};
    case Format::q6k: return {cols, cols / 16, 0, supers, 0, 1, 1};
    case Format::nf4: {
      const long units = (cols + kNf4Block - 1) / kNf4Block;
      return {units * 32, units, 0, 0, 0, 1, 1};
    }
  }
  return {};
}

// Rows first .. first + count of W.
inline WeightView rows_of(const WeightView& w, long first, long count) {
  const RowLayout row = row_layout(w.format, w.cols);
  const auto skip = [first](const void* data, long per_row, size_t bytes) {
    return data ? static_cast<const char*>(data) + static_cast<size_t>(first * per_row) * bytes : nullptr;
  };
  WeightView slab = w;
  slab.rows = count;
  slab.first_row += first;
  slab.codes = skip(w.codes, row.codes, row.code_bytes);
  slab.scales = skip(w.scales, row.scales, row.scale_bytes);
  slab.mins = skip(w.mins, row.mins, row.scale_bytes);
  slab.super_scales = skip(w.super_scales, row.super_scales, 2);
  if (w.super_mins) slab.super_mins = w.super_mins + first * row.super_mins;
  return slab;
}

}  // namespace lamina
