// BLAKE2b-256 (RFC 7693) of several messages of one length side by side, one in each 64-bit lane: 0x00 and a chunk, a
// leaf of the protocol's tree.
constexpr int kStreams = L >= 8 ? L / 2 : 1;

#if LAMINA_LANES >= 8
typedef uint64_t vq __attribute__((vector_size(4 * LAMINA_LANES)));
typedef uint64_t vqu __attribute__((vector_size(4 * LAMINA_LANES), aligned(1), may_alias));
typedef int64_t vqi __attribute__((vector_size(4 * LAMINA_LANES)));

#include "blake2b_rounds.inl"

// rows[i][j] -> rows[j][i], by halves
inline void transpose_words(vq* rows) {
#pragma GCC unroll 8
  for (int step = 1; step < kStreams; step *= 2) {
    vqi low, high;  // lanes of two rows, `step` at a time
#pragma GCC unroll 8
    for (int j = 0; j < kStreams; j++) {
      low[j] = j & step ? kStreams + (j ^ step) : j;
      high[j] = j & step ? kStreams + j : j | step;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; i++)
      if (!(i & step)) {
        const vq x = rows[i], y = rows[i | step];
        rows[i] = __builtin_shuffle(x, y, (vq)low);
        rows[i | step] = __builtin_shuffle(x, y, (vq)high);
      }
  }
}

// One block of every message, `hashed` bytes of each with it.
inline void blake2b_block(vq* h, const uint8_t* const* blocks, uint64_t hashed, bool last) {
  vq m[16];
  for (int half = 0; half < 16; half += kStreams) {
    for (int i = 0; i < kStreams; i++) m[half + i] = *reinterpret_cast<const vqu*>(blocks[i] + 8 * half);
    transpose_words(m + half);
  }
  blake2b_rounds<vq>(h, m, hashed - vq{}, (last ? ~uint64_t{0} : 0) - vq{});
}

// chunks (kStreams) of `length` bytes -> hashes (kStreams) of 32
inline void blake2b_leaves(const uint8_t* const* chunks, size_t length, uint8_t* const* hashes) {
  vq h[8];
  for (int i = 0; i < 8; i++) h[i] = kBlake2bStart[i] - vq{};
  h[0] ^= kBlake2b256 - vq{};
  const size_t total = length + 1;  // with the byte in front
  const uint8_t* blocks[kStreams];
  uint8_t edge[kStreams][kBlake2bBlock];
  for (size_t done = 0; done == 0 || done < total; done += kBlake2bBlock) {
    const size_t left = total - done, here = left < kBlake2bBlock ? left : kBlake2bBlock;
    const bool whole = done > 0 && here == kBlake2bBlock;
    for (int i = 0; i < kStreams; i++) {
      blocks[i] = whole ? chunks[i] + done - 1 : edge[i];
      if (whole) continue;
      memset(edge[i], 0, kBlake2bBlock);
      if (done == 0) memcpy(edge[i] + 1, chunks[i], here - 1);
      else memcpy(edge[i], chunks[i] + done - 1, here);
    }
    blake2b_block(h, blocks, done + here, done + here == total);
  }
  for (int i = 0; i < kStreams; i++)
    for (int word = 0; word < 4; word++) {
      const uint64_t value = h[word][i];
      memcpy(hashes[i] + 8 * word, &value, 8);
    }
}
#else
constexpr void (*blake2b_leaves)(const uint8_t* const*, size_t, uint8_t* const*) = nullptr;
#endif
