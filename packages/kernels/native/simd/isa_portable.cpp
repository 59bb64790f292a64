#define LAMINA_ISA_NAME "portable"
#define LAMINA_ISA_FUNCTION portable_kernels
#define LAMINA_LANES 4
#include "isa.inl"
