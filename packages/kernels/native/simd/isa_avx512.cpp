#define LAMINA_ISA_NAME "avx512"
#define LAMINA_ISA_FUNCTION avx512_kernels
#define LAMINA_LANES 16
#include "isa.inl"
