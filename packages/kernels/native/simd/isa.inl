// Included once per instruction set with LAMINA_ISA_NAME, LAMINA_ISA_FUNCTION and LAMINA_LANES defined.
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(LAMINA_NEON)
#include <arm_neon.h>
#endif

#include "../blake2b.hpp"
#include "../kernels.hpp"

namespace lamina {
namespace {

#include "vec.inl"
#include "dequant.inl"
#include "gemm_f32.inl"
#include "f64.inl"
#include "skinny.inl"
#include "elementwise.inl"
#include "attention.inl"
#include "decode.inl"
#include "blake2b.inl"

}  // namespace

const KernelSet& LAMINA_ISA_FUNCTION();

const KernelSet& LAMINA_ISA_FUNCTION() {
  static constexpr KernelSet set = {LAMINA_ISA_NAME,
                                    L,
                                    f32_family(),
                                    f64_set(),
                                    {kStreams, blake2b_leaves},
                                    dot_rows,
                                    token_sum,
                                    drop,
                                    add_dropped,
                                    rms_norm,
                                    rms_norm_grad,
                                    layer_norm,
                                    layer_norm_grad,
                                    rope,
                                    swiglu,
                                    swiglu_grad,
                                    swiglu_keep,
                                    swiglu_of_kept,
                                    swiglu_grad_of_kept,
                                    halve,
                                    unhalve,
                                    gelu,
                                    gelu_grad,
                                    add,
                                    row,
                                    adamw,
                                    row_softmax,
                                    row_scaled,
                                    transpose_head,
                                    attention_scratch,
                                    NR,
                                    attention,
                                    attention_grad,
                                    few_tokens,
                                    attend_cache};
  return set;
}

}  // namespace lamina
