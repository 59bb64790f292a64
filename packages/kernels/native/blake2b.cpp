#include "blake2b.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "kernels.hpp"

namespace lamina {
namespace {

inline uint64_t rotated(uint64_t x, int n) { return x >> n | x << (64 - n); }

inline void mix(uint64_t& a, uint64_t& b, uint64_t& c, uint64_t& d, uint64_t x, uint64_t y) {
  a += b + x;
  d = rotated(d ^ a, 32);
  c += d;
  b = rotated(b ^ c, 24);
  a += b + y;
  d = rotated(d ^ a, 16);
  c += d;
  b = rotated(b ^ c, 63);
}

void compress(uint64_t* h, const uint8_t* block, uint64_t hashed, bool last) {
  uint64_t m[16], v[16];
  memcpy(m, block, sizeof m);
  for (int i = 0; i < 8; i++) v[i] = h[i], v[8 + i] = kBlake2bStart[i];
  v[12] ^= hashed;
  if (last) v[14] = ~v[14];
#pragma GCC unroll 12
  for (int round = 0; round < 12; round++) {
    const uint8_t* s = kBlake2bOrder[round % 10];
    mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
  }
  for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[8 + i];
}

}  // namespace

void blake2b_begin(Blake2b& state, const uint8_t* key, size_t key_bytes) {
  memcpy(state.h, kBlake2bStart, sizeof state.h);
  state.h[0] ^= kBlake2b256 ^ static_cast<uint64_t>(key_bytes) << 8;
  state.hashed = state.filled = 0;
  if (key_bytes == 0) return;
  memset(state.rest, 0, sizeof state.rest);
  memcpy(state.rest, key, key_bytes);
  state.filled = kBlake2bBlock;
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
    blake2b_begin(state, nullptr, 0);
    blake2b_add(state, &leaf, 1);
    blake2b_add(state, bytes + i * piece, std::min(piece, count - i * piece));
    blake2b_end(state, hashes + i * kBlake2bBytes);
  }
}

}  // namespace lamina
