// The N-API face of hashing and sealing bytes; addon.cpp registers it. Every array is of unsigned bytes.
#include "addon_bytes.hpp"

#include <algorithm>
#include <cstring>

#include "arguments.hpp"
#include "blake2b.hpp"
#include "segments.hpp"

namespace lamina {
namespace {

struct Bytes {
  uint8_t* data;
  size_t count;
};

Bytes bytes(Arguments& args) {
  size_t count = 0;
  uint8_t* data = static_cast<uint8_t*>(args.bytes(count));
  return {data, count};
}

Bytes bytes_of(Arguments& args, size_t expected) {
  const Bytes read = bytes(args);
  if (read.count != expected) args.fail(Status::length_mismatch);
  return read;
}

struct Leaves {
  Bytes input;
  size_t piece;
  Bytes hashes;

  void hash() const { leaf_hashes(input.data, input.count, piece, hashes.data); }
};

// bytes, bytes of a piece, hashes (32 for each piece)
Leaves read_leaves(Arguments& args) {
  const Bytes input = bytes(args);
  const size_t piece = static_cast<size_t>(args.integer(1, 1 << 30));
  if (!args.ok()) return {};
  return {input, piece, bytes_of(args, kBlake2bBytes * std::max<size_t>(1, (input.count + piece - 1) / piece))};
}

napi_value truth(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

}  // namespace

// hash (32), how many parts, the parts
napi_value blake2b(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Bytes hash = bytes_of(args, kBlake2bBytes);
  const long parts = args.integer(0, 32);
  if (!args.ok()) return args.answer();
  Blake2b state;
  blake2b_begin(state);
  for (long i = 0; i < parts; i++) {
    const Bytes part = bytes(args);
    if (!args.ok()) return args.answer();
    blake2b_add(state, part.data, part.count);
  }
  blake2b_end(state, hash.data);
  return args.answer();
}

// bytes, bytes of a piece, hashes (32 for each piece)
napi_value blake2b_of_leaves(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Leaves leaves = read_leaves(args);
  if (args.ok()) leaves.hash();
  return args.answer();
}

// The same, later.
napi_value blake2b_of_leaves_later(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Leaves leaves = read_leaves(args);
  return args.later([=] {
    leaves.hash();
    return Status::ok;
  });
}

// state (sizeof Blake2b)
napi_value blake2b_start(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Bytes state = bytes_of(args, sizeof(Blake2b));
  Blake2b begun;
  blake2b_begin(begun);
  if (args.ok()) memcpy(state.data, &begun, sizeof begun);
  return args.answer();
}

namespace {

// A state that JavaScript changed must not lead past its buffer.
Blake2b read_state(Arguments& args, Bytes& at) {
  at = bytes_of(args, sizeof(Blake2b));
  Blake2b state{};
  if (args.ok()) memcpy(&state, at.data, sizeof state);
  if (state.filled > kBlake2bBlock) args.fail(Status::bad_value);
  return state;
}

}  // namespace

// state, bytes
napi_value blake2b_update(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Bytes at{};
  Blake2b state = read_state(args, at);
  const Bytes input = bytes(args);
  if (!args.ok()) return args.answer();
  blake2b_add(state, input.data, input.count);
  memcpy(at.data, &state, sizeof state);
  return args.answer();
}

// state, hash (32)
napi_value blake2b_finish(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Bytes at{};
  Blake2b state = read_state(args, at);
  const Bytes hash = bytes_of(args, kBlake2bBytes);
  if (args.ok()) blake2b_end(state, hash.data);
  return args.answer();
}

napi_value has_segments(napi_env env, napi_callback_info) { return truth(env, segments_available()); }

namespace {

// key (32), what is authenticated with every segment, bytes of a segment
Segments read_segments(Arguments& args) {
  const Bytes key = bytes_of(args, 32), aad = bytes(args);
  const size_t segment = static_cast<size_t>(args.integer(1, 1 << 30));
  if (aad.count > 1 << 20) args.fail(Status::length_mismatch);
  if (args.ok() && !segments_available()) args.fail(Status::bad_value);
  return {key.data, aad.data, aad.count, segment};
}

size_t segment_count(const Segments& s, size_t plaintext) {
  return std::max<size_t>(1, (plaintext + s.segment - 1) / s.segment);
}

size_t sealed_bytes(const Segments& s, size_t plaintext) {
  return plaintext + kSegmentTag * segment_count(s, plaintext);
}

}  // namespace

// key, aad, segment, plaintext, out
napi_value seal(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Segments segments = read_segments(args);
  const Bytes plaintext = bytes(args);
  if (!args.ok()) return args.answer();
  const Bytes out = bytes_of(args, sealed_bytes(segments, plaintext.count));
  if (!args.ok()) return args.answer();
  const bool sealed = seal_segments(segments, {{plaintext.data, plaintext.count}}, out.data);
  return args.answer(sealed ? Status::ok : Status::out_of_memory);
}

// key, aad, segment, plaintext in pieces, out, then Leaves of bytes of which `out` is the end: seals, later, and hashes
napi_value seal_later(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Segments segments = read_segments(args);
  const std::vector<Piece> plaintext = args.byte_arrays();
  size_t count = 0;
  for (const Piece& piece : plaintext) count += piece.bytes;
  const Bytes out = bytes_of(args, args.ok() ? sealed_bytes(segments, count) : 0);
  const Leaves leaves = read_leaves(args);
  return args.later([=] {
    if (!seal_segments(segments, plaintext, out.data)) return Status::out_of_memory;
    leaves.hash();
    return Status::ok;
  });
}

// key, aad, segment, sealed, out (plaintext) -> whether all of it authenticates; false as well where an argument is
// wrong
napi_value open(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Segments segments = read_segments(args);
  const Bytes sealed = bytes(args), out = bytes(args);
  const bool fits = args.ok() && sealed.count == sealed_bytes(segments, out.count);
  return truth(env, fits && open_segments(segments, sealed.data, out.data, out.count, nullptr));
}

// The same, later, and then the peaks of the segments: ok where all of it authenticates
napi_value open_later(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Segments segments = read_segments(args);
  const Bytes sealed = bytes(args), out = bytes(args);
  if (args.ok() && sealed.count != sealed_bytes(segments, out.count)) args.fail(Status::length_mismatch);
  float* const peaks = args.floats(args.ok() ? static_cast<double>(segment_count(segments, out.count)) : 0);
  return args.later([=] {
    return open_segments(segments, sealed.data, out.data, out.count, peaks) ? Status::ok : Status::bad_value;
  });
}

}  // namespace lamina
