#pragma once
#include <cstdint>

#include "kernels.hpp"
#include "status.hpp"

namespace lamina {

// offsets (segments + 1) rise from 0 to shape.tokens; checked before any read.
Status attention_forward(const AttentionShape& shape, const int32_t* offsets, long segments, const float* q,
                         const float* k, const float* v, float* y);
Status attention_backward(const AttentionShape& shape, const int32_t* offsets, long segments, const float* dy,
                          const float* q, const float* k, const float* v, float* dq, float* dk, float* dv);

}  // namespace lamina
