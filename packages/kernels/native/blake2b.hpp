#pragma once
#include <cstddef>
#include <cstdint>

namespace lamina {

// BLAKE2b with 32 bytes of output (RFC 7693). Little-endian processors.
constexpr size_t kBlake2bBlock = 128;
constexpr size_t kBlake2bBytes = 32;
constexpr uint64_t kBlake2bStart[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                       0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                       0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
// What the first word is changed by: no key, fanout 1, depth 1, 32 bytes.
constexpr uint64_t kBlake2b256 = 0x01010020;
constexpr uint8_t kBlake2bOrder[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

// Plain bytes, so that JavaScript can hold it between pieces.
struct Blake2b {
  uint64_t h[8];
  uint64_t hashed;  // bytes, those in `rest` left out
  uint64_t filled;  // of `rest`
  uint8_t rest[kBlake2bBlock];
};

void blake2b_begin(Blake2b& state);
void blake2b_add(Blake2b& state, const uint8_t* bytes, size_t count);
void blake2b_end(Blake2b& state, uint8_t* hash);

// H(0x00 and piece) of every `piece` bytes, the last may be shorter; empty bytes are one empty piece. Pieces side by
// side where the processor can.
void leaf_hashes(const uint8_t* bytes, size_t count, size_t piece, uint8_t* hashes);

}  // namespace lamina
