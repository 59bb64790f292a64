#include "isa.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "scratch.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace lamina {

const KernelSet& portable_kernels();

#if defined(__aarch64__)
const KernelSet& neon_kernels();
#endif

#if defined(__x86_64__)
const KernelSet& avx2_kernels();
const KernelSet& avx512_kernels();
const GemmFamily& avx512bf16_family_table();
const GemmFamily& amx_family_table();
const AttentionBf16& avx512bf16_attention();
const GemmFamily& avx512vnni_family_table();
#endif

namespace {

struct Features {
  bool avx2 = false, avx512 = false, avx512bf16 = false, vnni = false, amx = false;
};

#if defined(__x86_64__)
uint64_t enabled_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux hands out the 8 KiB of tile registers on request only (arch_prctl ARCH_REQ_XCOMP_PERM, feature 18), for the
// whole process.
bool request_tiles() {
#if defined(__linux__)
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

Features detect() {
  Features f;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool fma = c & (1u << 12), f16c = c & (1u << 29), xsave = c & (1u << 27);
  if (!xsave) return f;
  const uint64_t state = enabled_state();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  const uint32_t subleaves = a;
  f.avx2 = fma && f16c && (b & (1u << 5)) && (state & 0x6) == 0x6;
  const uint32_t wanted = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  f.avx512 = f.avx2 && (b & wanted) == wanted && (state & 0xe6) == 0xe6;
  f.vnni = f.avx512 && (c & (1u << 11));
  const bool amx_bits = (d & (1u << 22)) && (d & (1u << 24)) && (state & 0x60000) == 0x60000;
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f.avx512bf16 = f.avx512 && (a & (1u << 5));
  f.amx = f.avx512bf16 && amx_bits && request_tiles();
  return f;
}

const Features& features() {
  static const Features found = detect();
  return found;
}

// Nanoseconds of one small product in this family, the best of five.
double time_family(const GemmFamily& family) {
  constexpr int kDepth = 256, kRows = 28;
  const size_t a_bytes = (family.a_bytes_per_k * kDepth + family.a_slack + 63) / 64 * 64;
  const size_t b_bytes = family.b_bytes_per_k * kDepth;
  char* memory = static_cast<char*>(scratch(Scratch::calibration, 2 * a_bytes + b_bytes + sizeof(float) * kRows * 64));
  if (!memory) return 1e9;
  memset(memory, 0, 2 * a_bytes + b_bytes + sizeof(float) * kRows * 64);
  const GemmFamily::Compute product{memory,
                                    a_bytes,
                                    memory + 2 * a_bytes,
                                    b_bytes,
                                    reinterpret_cast<float*>(memory + 2 * a_bytes + b_bytes),
                                    family.nr,
                                    kRows,
                                    family.nr,
                                    kDepth,
                                    nullptr,
                                    0,
                                    nullptr,
                                    nullptr,
                                    0};
  double best = 1e9;
  for (int repeat = 0; repeat < 5; repeat++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 40; i++) family.compute(product);
    const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    if (ns < best) best = ns;
  }
  return best;
}

#endif

struct Choices {
  Isa isa[5];
  const char* names[5];
  int count = 0;
  int preferred = 0;

  void offer(const char* name, const KernelSet& kernels, const GemmFamily* bf16, const GemmFamily* int8) {
#if defined(__x86_64__)
    const AttentionBf16* attention = bf16 ? &avx512bf16_attention() : nullptr;
#else
    const AttentionBf16* attention = nullptr;
#endif
    const GemmFamily* wide = bf16 ? bf16 : &kernels.f32;
    isa[count] = {name, &kernels, wide, attention, int8 ? int8 : wide};
    names[count++] = name;
  }
};

Choices list_choices() {
  Choices c;
#if defined(__x86_64__)
  const Features& f = features();
  if (amx_family()) c.offer("amx", avx512_kernels(), amx_family(), nullptr);  // its bf16 is faster than VNNI
  if (bf16_dot_family()) c.offer("avx512bf16", avx512_kernels(), bf16_dot_family(), vnni_family());
  if (f.avx512) c.offer("avx512", avx512_kernels(), nullptr, vnni_family());
  if (f.avx2) c.offer("avx2", avx2_kernels(), nullptr, nullptr);
#endif
#if defined(__aarch64__)
  c.offer("neon", neon_kernels(), nullptr, nullptr);
#endif
  c.offer("portable", portable_kernels(), nullptr, nullptr);
#if defined(__x86_64__)
  // Where dpbf16 exists it is either twice as fast as f32 FMA or half as fast; 1 ms tells which.
  if (!amx_family() && bf16_dot_family() && time_family(*bf16_dot_family()) > time_family(avx512_kernels().f32))
    c.preferred = 1;
#endif
  return c;
}

const Choices& choices() {
  static const Choices found = list_choices();
  return found;
}

const Isa* find(const char* name) {
  for (int i = 0; i < choices().count; i++)
    if (strcmp(choices().names[i], name) == 0) return &choices().isa[i];
  return nullptr;
}

const Isa* initial() {
  const char* wanted = getenv("LAMINA_ISA");
  const Isa* named = wanted && *wanted ? find(wanted) : nullptr;
  return named ? named : &choices().isa[choices().preferred];
}

std::atomic<const Isa*>& current() {
  static std::atomic<const Isa*> chosen{initial()};
  return chosen;
}

}  // namespace

const GemmFamily* bf16_dot_family() {
#if defined(__x86_64__)
  if (features().avx512bf16) return &avx512bf16_family_table();
#endif
  return nullptr;
}

const GemmFamily* amx_family() {
#if defined(__x86_64__)
  if (features().amx) return &amx_family_table();
#endif
  return nullptr;
}

const GemmFamily* vnni_family() {
#if defined(__x86_64__)
  if (features().vnni) return &avx512vnni_family_table();
#endif
  return nullptr;
}

const GemmFamily& family(Precision precision) {
  const Isa& chosen = isa();
  return precision == Precision::int8   ? *chosen.int8
         : precision == Precision::bf16 ? *chosen.bf16
                                        : chosen.kernels->f32;
}

const Isa& isa() { return *current().load(std::memory_order_relaxed); }

const char* unusable_isa() {
  const char* wanted = getenv("LAMINA_ISA");
  return wanted && *wanted && !find(wanted) ? wanted : nullptr;
}

bool set_isa(const char* name) {
  const Isa* named = find(name);
  if (named) current().store(named, std::memory_order_relaxed);
  return named != nullptr;
}

const char* const* usable_isas(int& count) {
  count = choices().count;
  return choices().names;
}

}  // namespace lamina
