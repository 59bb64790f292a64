// Peaks are measured as loops of nothing but independent multiply-adds on registers, written out in assembly so that no
// compiler can spill or fold them.
#include "peak.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include "isa.hpp"

namespace lamina {
namespace {

constexpr double kSeconds = 0.1;

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Runs `loop(iterations)` on every thread for about kSeconds; flops per iteration -> GFLOP/s of all.
double rate(void (*loop)(long), double flops, int threads) {
  long iterations = 1000;
  for (double seconds = 0; seconds < kSeconds / 20; iterations *= 2) {
    const auto start = Clock::now();
    loop(iterations);
    seconds = since(start);
    if (seconds >= kSeconds / 20) {
      iterations = static_cast<long>(static_cast<double>(iterations) * kSeconds / seconds / 2);
      break;
    }
  }
  if (iterations < 1000) iterations = 1000;
  double best = 0;
  for (int repeat = 0; repeat < 2; repeat++) {
    const auto start = Clock::now();
    std::vector<std::thread> team;
    for (int i = 1; i < threads; i++) team.emplace_back(loop, iterations);
    loop(iterations);
    for (auto& t : team) t.join();
    const double now = flops * static_cast<double>(iterations) * threads / since(start) / 1e9;
    if (now > best) best = now;
  }
  return best;
}

#if defined(__x86_64__)

#define ONE(op, d) op " %%zmm31,%%zmm30,%%zmm" #d "\n"
#define SIXTEEN(op)                                                                                                 \
  ONE(op, 0)                                                                                                        \
  ONE(op, 1)                                                                                                        \
  ONE(op, 2)                                                                                                        \
  ONE(op, 3)                                                                                                        \
  ONE(op, 4) ONE(op, 5) ONE(op, 6) ONE(op, 7) ONE(op, 8) ONE(op, 9) ONE(op, 10) ONE(op, 11) ONE(op, 12) ONE(op, 13) \
      ONE(op, 14) ONE(op, 15)
#define CLEAR(n) "vpxorq %%zmm" #n ",%%zmm" #n ",%%zmm" #n "\n"
#define CLEAR_ALL                                                                                                   \
  CLEAR(0)                                                                                                          \
  CLEAR(1)                                                                                                          \
  CLEAR(2)                                                                                                          \
  CLEAR(3)                                                                                                          \
  CLEAR(4) CLEAR(5) CLEAR(6) CLEAR(7) CLEAR(8) CLEAR(9) CLEAR(10) CLEAR(11) CLEAR(12) CLEAR(13) CLEAR(14) CLEAR(15) \
      CLEAR(30) CLEAR(31)
#define LOW_CLOBBERS                                                                                                  \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"

__attribute__((target("avx512f"))) void f32_zmm(long n) {
  asm volatile(CLEAR_ALL ".p2align 6\n1:\n" SIXTEEN("vfmadd231ps") "dec %0\njnz 1b\n"
               : "+r"(n)::"cc", LOW_CLOBBERS, "xmm30", "xmm31");
}
__attribute__((target("avx512f"))) void bf16_zmm(long n) {
  asm volatile(CLEAR_ALL ".p2align 6\n1:\n" SIXTEEN("vdpbf16ps") "dec %0\njnz 1b\n"
               : "+r"(n)::"cc", LOW_CLOBBERS, "xmm30", "xmm31");
}
__attribute__((target("avx512f"))) void int8_zmm(long n) {
  asm volatile(CLEAR_ALL ".p2align 6\n1:\n" SIXTEEN("vpdpbusd") "dec %0\njnz 1b\n"
               : "+r"(n)::"cc", LOW_CLOBBERS, "xmm30", "xmm31");
}

#define YONE(d) "vfmadd231ps %%ymm15,%%ymm14,%%ymm" #d "\n"
#define YCLEAR(n) "vxorps %%ymm" #n ",%%ymm" #n ",%%ymm" #n "\n"
__attribute__((target("avx2,fma"))) void f32_ymm(long n) {
  asm volatile(YCLEAR(0) YCLEAR(1) YCLEAR(2) YCLEAR(3) YCLEAR(4) YCLEAR(5) YCLEAR(6) YCLEAR(7) YCLEAR(8) YCLEAR(9)
                   YCLEAR(10) YCLEAR(11) YCLEAR(14) YCLEAR(15) ".p2align 6\n1:\n" YONE(0) YONE(1) YONE(2) YONE(3)
                       YONE(4) YONE(5) YONE(6) YONE(7) YONE(8) YONE(9) YONE(10) YONE(11) "dec %0\njnz 1b\n"
               : "+r"(n)::"cc", LOW_CLOBBERS);
}

struct alignas(64) TileConfig {
  unsigned char palette = 1, rest[15] = {};
  unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void amx_tiles(long n) {
  static const TileConfig config;
  asm volatile(
      "ldtilecfg %1\ntilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\ntilezero %%tmm4\ntilezero "
      "%%tmm5\ntilezero %%tmm6\n"
      "tilezero %%tmm7\n.p2align 6\n1:\ntdpbf16ps %%tmm6,%%tmm4,%%tmm0\ntdpbf16ps %%tmm7,%%tmm4,%%tmm1\ntdpbf16ps "
      "%%tmm6,%%tmm5,%%tmm2\n"
      "tdpbf16ps %%tmm7,%%tmm5,%%tmm3\ndec %0\njnz 1b\ntilerelease\n"
      : "+r"(n)
      : "m"(config)
      : "cc", "memory");
}

#endif

// Wherever there is no loop in assembly: multiply-adds the compiler turns into its own vectors.
void f32_portable(long n) {
  typedef float v4 __attribute__((vector_size(16)));
  v4 acc[12] = {};
  volatile float source = 0.0f;
  const v4 a = source - v4{};
  for (long i = 0; i < n; i++)
    for (int j = 0; j < 12; j++) acc[j] = acc[j] * a + a;
  v4 sum{};
  for (int j = 0; j < 12; j++) sum += acc[j];
  source = sum[0];
}

}  // namespace

Peak measure_peak(int threads) {
  Peak peak;
#if defined(__x86_64__)
  int count;
  const char* const* names = usable_isas(count);
  bool avx2 = false, avx512 = false;
  for (int i = 0; i < count; i++) {
    avx2 |= names[i][3] == '2';
    avx512 |= names[i][3] == '5';
  }
  if (avx512) peak.f32_fma = rate(f32_zmm, 16 * 16 * 2, threads);
  else if (avx2) peak.f32_fma = rate(f32_ymm, 12 * 8 * 2, threads);
  else peak.f32_fma = rate(f32_portable, 12 * 4 * 2, threads);
  if (bf16_dot_family()) peak.bf16_dot = rate(bf16_zmm, 16 * 32 * 2, threads);
  if (vnni_family()) peak.int8_dot = rate(int8_zmm, 16 * 64 * 2, threads);
  if (amx_family()) peak.bf16_amx = rate(amx_tiles, 4 * 16 * 16 * 32 * 2, threads);
#else
  peak.f32_fma = rate(f32_portable, 12 * 4 * 2, threads);
#endif
  return peak;
}

}  // namespace lamina
