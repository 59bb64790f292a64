#pragma once
#include <cstdint>

namespace lamina {

// What an op answers. Nothing is written to an output unless the status is `ok`, except `out_of_memory` and
// `no_convergence` found on the way. The numbers are mirrored in src/native/status.ts.
enum class Status : int32_t {
  ok = 0,
  wrong_type = 1,
  length_mismatch = 2,
  bad_value = 3,
  out_of_memory = 4,
  no_convergence = 5
};

}  // namespace lamina
