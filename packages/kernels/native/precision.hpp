#pragma once
#include <cstdint>

namespace lamina {

// Arithmetic of the frozen products: Precision of src/ops/kernel-args.ts.
enum class Precision : int32_t { f32 = 0, bf16 = 1, int8 = 2 };

}  // namespace lamina
