#define LAMINA_ISA_NAME "neon"
#define LAMINA_ISA_FUNCTION neon_kernels
#define LAMINA_LANES 4
#define LAMINA_NEON
#include "isa.inl"
