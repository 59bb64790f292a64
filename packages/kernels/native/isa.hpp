#pragma once
#include "kernels.hpp"
#include "precision.hpp"

namespace lamina {

// The instruction set in use: kernels, and how the products of precision bf16 are computed. Chosen once per process by
// cpuid (and a short calibration: some processors multiply bf16 slower than f32), or named by LAMINA_ISA or set_isa.
struct Isa {
  const char* name;  // "amx", "avx512bf16", "avx512", "avx2", "neon" or "portable"
  const KernelSet* kernels;
  const GemmFamily* bf16;  // family of precision "bf16"; the f32 one where that is faster or bf16 is missing
  const AttentionBf16* bf16_attention;  // nullptr: f32
  const GemmFamily* int8;               // of precision "int8"; that of bf16 where that is faster or VNNI is missing
};

const Isa& isa();

// How the frozen products of a precision are computed here.
const GemmFamily& family(Precision precision);

// false when this machine has no such instruction set; nothing changes then. For every thread of the process.
bool set_isa(const char* name);

// What LAMINA_ISA asks for and this machine cannot run; nullptr when there is nothing wrong.
const char* unusable_isa();

// Names this machine can run, best first, `count` of them.
const char* const* usable_isas(int& count);

// Families of the separately compiled bf16 and int8 units; nullptr where the processor or the operating system lacks
// them.
const GemmFamily* bf16_dot_family();
const GemmFamily* amx_family();
const GemmFamily* vnni_family();

}  // namespace lamina
