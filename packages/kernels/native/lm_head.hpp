#pragma once
#include <cstdint>

#include "precision.hpp"
#include "status.hpp"
#include "weight.hpp"

namespace lamina {

// scores = mean over targets >= 0 of -log softmax(x W^T)[target], and the share of them whose logit no other exceeds;
// dx = d loss / d x, or null. Targets are checked before any read.
Status lm_head(const WeightView& w, const float* x, const int32_t* targets, long tokens, Precision precision,
               float* scores, float* dx);

}  // namespace lamina
