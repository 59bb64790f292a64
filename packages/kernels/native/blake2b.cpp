#include "blake2b.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "kernels.hpp"

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
  const size_t whole = count / piece, side_by_side = static_cast<size_t>(lanes.streams);
  size_t i = 0;
  if (lanes.leaves)
    while (3 * (whole - i) > side_by_side) {  // from a third of the lanes on they are faster, the others idle
      const uint8_t* chunks[16];
      uint8_t* out[16];
      const size_t taken = std::min(whole - i, side_by_side);
      for (size_t j = 0; j < side_by_side; j++) {
        chunks[j] = bytes + (i + j % taken) * piece;
        out[j] = hashes + (i + j % taken) * kBlake2bBytes;
      }
      i += taken;
      lanes.leaves(chunks, piece, out);
    }
  const size_t pieces = std::max<size_t>(1, (count + piece - 1) / piece);
  for (; i < pieces; i++) {
    const uint8_t leaf = 0;
    Blake2b state;
    blake2b_begin(state);
    blake2b_add(state, &leaf, 1);
    blake2b_add(state, bytes + i * piece, std::min(piece, count - i * piece));
    blake2b_end(state, hashes + i * kBlake2bBytes);
  }
}

}  // namespace lamina
