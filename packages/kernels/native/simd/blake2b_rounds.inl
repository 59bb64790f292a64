// BLAKE2b's twelve rounds (RFC 7693) on words, or on vectors of words that belong to as many messages. Included in the
// namespace of whoever needs it.
template <int N, class Word>
inline Word turned(Word x) {
  return x >> N | x << (64 - N);
}

template <class Word>
inline void mix(Word& a, Word& b, Word& c, Word& d, Word x, Word y) {
  a += b + x;
  d = turned<32>(d ^ a);
  c += d;
  b = turned<24>(b ^ c);
  a += b + y;
  d = turned<16>(d ^ a);
  c += d;
  b = turned<63>(b ^ c);
}

// One block m (16 words) into h (8): `counted` bytes so far, and of the last block a word of all ones.
template <class Word>
inline void blake2b_rounds(Word* h, const Word* m, Word counted, Word last) {
  Word v[16];
  for (int i = 0; i < 8; i++) v[i] = h[i], v[8 + i] = kBlake2bStart[i] - Word{};
  v[12] ^= counted;
  v[14] ^= last;
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
