#pragma once

namespace lamina {

// Floats of a task: large enough to be worth handing out, small enough that what it writes stays in the second-level
// cache.
constexpr long kTile = 65536;

// From here on what is written past the caches does not cost reading it first: floats of one task that nobody reads
// soon.
constexpr long kStreamed = 16384;

// Copies x to y, past the caches where `far` is set and the processor can; `fence` after the last. True where every
// value is finite.
bool move_floats(const float* x, long count, float* y, bool far);

// What was written past the caches is there for other threads.
void fence();

bool all_finite(const float* x, long count);

// Rows of `width` floats that follow each other, to places `ld` apart.
void spread_rows(const float* x, long width, long rows, float* y, long ld);

// The first index of x that is NaN, infinite, or more than max (>= 0) from 0, or -1.
long first_beyond(const float* x, long count, double max);

void copy_floats(const float* x, long count, float* y);

}  // namespace lamina
