#include "blake2b.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "kernels.hpp"
#include "pool.hpp"

namespace lamina {
namespace {

#include "simd/blake2b_rounds.inl"

void compress(uint64_t* h, const uint8_t* block, uint64_t hashed, bool last) {
  uint64_t m[16];
  memcpy(m, block, sizeof m);
  blake2b_rounds<uint64_t>(h, m, hashed, last ? ~uint64_t{0} : 0);
}

}  // namespace

void blake2b_begin(Blake2b& state) {
  memset(&state, 0, sizeof state);
  memcpy(state.h, kBlake2bStart, sizeof state.h);
  state.h[0] ^= kBlake2b256;
}

// A block is compressed once more bytes come: the last one is marked.
void blake2b_add(Blake2b& state, const uint8_t* bytes, size_t count) {
  while (count > 0) {
    if (state.filled == kBlake2bBlock) {
      state.hashed += kBlake2bBlock;
      compress(state.h, state.rest, state.hashed, false);
      state.filled = 0;
    }
    if (state.filled == 0)
      for (; count > kBlake2bBlock; bytes += kBlake2bBlock, count -= kBlake2bBlock) {
        state.hashed += kBlake2bBlock;
        compress(state.h, bytes, state.hashed, false);
      }
    const size_t taken = std::min(count, kBlake2bBlock - static_cast<size_t>(state.filled));
    memcpy(state.rest + state.filled, bytes, taken);
    state.filled += taken;
    bytes += taken;
    count -= taken;
  }
}

void blake2b_end(Blake2b& state, uint8_t* hash) {
  memset(state.rest + state.filled, 0, kBlake2bBlock - state.filled);
  compress(state.h, state.rest, state.hashed + state.filled, true);
  memcpy(hash, state.h, kBlake2bBytes);
}

void leaf_hashes(const uint8_t* bytes, size_t count, size_t piece, uint8_t* hashes) {
  const Blake2bLanes& lanes = isa().kernels->blake2b;
  const size_t pieces = std::max<size_t>(1, (count + piece - 1) / piece), whole = count / piece;
  const size_t side_by_side = lanes.leaves ? static_cast<size_t>(lanes.streams) : 1;
  const size_t rest = whole % side_by_side;
  // from a third of the lanes on they are faster, the others idle
  const size_t laned = !lanes.leaves ? 0 : 3 * rest > side_by_side ? whole : whole - rest;
  const size_t groups = (laned + side_by_side - 1) / side_by_side;
  parallel(static_cast<long>(groups + pieces - laned), [&](long task, int) {
    if (static_cast<size_t>(task) < groups) {
      const size_t first = static_cast<size_t>(task) * side_by_side, taken = std::min(laned - first, side_by_side);
      const uint8_t* chunks[16];
      uint8_t* out[16];
      for (size_t j = 0; j < side_by_side; j++) {
        chunks[j] = bytes + (first + j % taken) * piece;
        out[j] = hashes + (first + j % taken) * kBlake2bBytes;
      }
      return lanes.leaves(chunks, piece, out);
    }
    const size_t i = laned + static_cast<size_t>(task) - groups;
    const uint8_t leaf = 0;
    Blake2b state;
    blake2b_begin(state);
    blake2b_add(state, &leaf, 1);
    blake2b_add(state, bytes + i * piece, std::min(piece, count - i * piece));
    blake2b_end(state, hashes + i * kBlake2bBytes);
  });
}

}  // namespace lamina
