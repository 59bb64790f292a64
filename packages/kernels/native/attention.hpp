#pragma once
#include <cstdint>

#include "kernels.hpp"
#include "status.hpp"

namespace lamina {

// offsets (segments + 1) rise from 0 to shape.tokens; checked before any read. bf16: the products' inputs are rounded
// to bf16 where this machine multiplies those faster.
Status attention_forward(const AttentionShape& shape, const int32_t* offsets, long segments, bool bf16, const float* q,
                         const float* k, const float* v, float* y);
Status attention_backward(const AttentionShape& shape, const int32_t* offsets, long segments, bool bf16,
                          const float* dy, const float* q, const float* k, const float* v, float* dq, float* dk,
                          float* dv);

// Decoding: queries past .. past + n - 1 of a sequence, q and y (n, heads * head_dim) with n = shape.tokens, against a
// cache k, v of `capacity` rows (kv_heads * head_dim) that holds the keys and values up to the last query.
Status attention_cached(const AttentionShape& shape, long past, long capacity, const float* q, const float* k,
                        const float* v, float* y);

}  // namespace lamina
