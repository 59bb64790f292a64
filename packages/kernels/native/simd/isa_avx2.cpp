#define LAMINA_ISA_NAME "avx2"
#define LAMINA_ISA_FUNCTION avx2_kernels
#define LAMINA_LANES 8
#include "isa.inl"
