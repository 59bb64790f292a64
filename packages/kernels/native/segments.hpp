#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lamina {

// ChaCha20-Poly1305 of segment after segment, by the OpenSSL that the running Node brings along. Nonces are STREAM's:
// eleven bytes that count from 0, then 1 for the last segment. Empty bytes are one empty segment.
struct Segments {
  const uint8_t* key;  // 32
  const uint8_t* aad;
  size_t aad_bytes;
  size_t segment;  // bytes of plaintext
};
constexpr size_t kSegmentTag = 16;

// A part of a plaintext; the next one follows it.
struct Piece {
  const uint8_t* data;
  size_t bytes;
};

// Whether the process has what is needed.
bool segments_available();
// out: plaintext and a tag for each segment. False where OpenSSL fails, or the system has no memory.
bool seal_segments(const Segments& segments, const std::vector<Piece>& plaintext, uint8_t* out);
// False where a segment does not authenticate; then `out` (bytes) is all zeros. `peaks`, where it is not null, gets of
// every segment the largest magnitude of its words as f32, NaN above all: they are in the cache then.
bool open_segments(const Segments& segments, const uint8_t* sealed, uint8_t* out, size_t bytes, float* peaks);

}  // namespace lamina
