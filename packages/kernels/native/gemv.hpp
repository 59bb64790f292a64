#pragma once
#include "linear.hpp"
#include "status.hpp"

namespace lamina {

// Whether the forward product of `op` has too few tokens for packed panels to pay.
bool few_tokens(const Linear& op);

// linear_forward for which few_tokens holds: f32 arithmetic, whatever the precision, as it waits for memory anyway.
Status linear_few_tokens(const Linear& op, const float* x, const float* plus, float* y);

}  // namespace lamina
