#include "moves.hpp"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "isa.hpp"
#include "pool.hpp"

namespace lamina {
namespace {

constexpr uintptr_t kLineBytes = kLineFloats * sizeof(float);

// The bits of an f32 without its sign rise with it; those of infinity and NaN are the largest.
constexpr uint32_t kMagnitude = 0x7fffffffu;
constexpr uint32_t kLargest = 0x7f7fffffu;

uint32_t is_beyond(uint32_t bits, uint32_t largest) { return static_cast<uint32_t>((bits & kMagnitude) > largest); }

bool all_within(const float* x, long count, uint32_t largest) {
  uint32_t any = 0;
  for (long i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    any |= is_beyond(bits, largest);
  }
  return any == 0;
}

// Not 0 where a value is infinite or NaN.
uint32_t move_near(const float* x, long count, float* y) {
  uint32_t any = 0;
  for (long i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    any |= is_beyond(bits, kLargest);
    memcpy(y + i, &bits, sizeof bits);
  }
  return any;
}

// Whole lines only: where two tasks share one, or two calls, half a line past the caches costs more than it saves.
uint32_t move_far(const float* x, long count, float* y) {
  const long head = std::min(count, static_cast<long>(-reinterpret_cast<uintptr_t>(y) % kLineBytes / sizeof(float)));
  const long lines = (count - head) / kLineFloats, end = head + lines * kLineFloats;
  const uint32_t edges = move_near(x, head, y) | move_near(x + end, count - end, y + end);
  return edges | static_cast<uint32_t>(isa().kernels->f64.move_lines(x + head, lines, y + head));
}

// A width known to the compiler is a few moves.
template <long kWidth>
void spread_fixed(const float* x, long rows, float* y, long ld) {
  for (long i = 0; i < rows; i++) memcpy(y + i * ld, x + i * kWidth, kWidth * sizeof(float));
}

}  // namespace

bool move_floats(const float* x, long count, float* y, bool far) {
  return (far ? move_far(x, count, y) : move_near(x, count, y)) == 0;
}

void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

bool all_finite(const float* x, long count) { return all_within(x, count, kLargest); }

void spread_rows(const float* x, long width, long rows, float* y, long ld) {
  switch (width) {
    case 4: return spread_fixed<4>(x, rows, y, ld);
    case 8: return spread_fixed<8>(x, rows, y, ld);
    case 16: return spread_fixed<16>(x, rows, y, ld);
    case 32: return spread_fixed<32>(x, rows, y, ld);
    case 64: return spread_fixed<64>(x, rows, y, ld);
    default:
      for (long i = 0; i < rows; i++) memcpy(y + i * ld, x + i * width, static_cast<size_t>(width) * sizeof(float));
  }
}

long first_beyond(const float* x, long count, double max) {
  // the largest f32 that is not beyond it
  float within = static_cast<float>(std::min(max, static_cast<double>(FLT_MAX)));
  if (static_cast<double>(within) > max) within = nextafterf(within, 0);
  uint32_t largest;
  memcpy(&largest, &within, sizeof largest);
  std::atomic<long> first{count};
  parallel((count + kTile - 1) / kTile, [&](long task, int) {
    long at = task * kTile;
    const long end = std::min(at + kTile, count);
    if (all_within(x + at, end - at, largest)) return;
    while (all_within(x + at, 1, largest)) at++;
    for (long known = first; at < known && !first.compare_exchange_weak(known, at);) {
    }
  });
  return first < count ? first.load() : -1;
}

void copy_floats(const float* x, long count, float* y) {
  parallel((count + kStreamed - 1) / kStreamed, [&](long task, int) {
    const long first = task * kStreamed;
    move_floats(x + first, std::min(kStreamed, count - first), y + first, count >= kStreamed);
    fence();
  });
}

}  // namespace lamina
