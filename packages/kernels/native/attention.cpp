// Causal attention in f32 (and, handed on, in bf16).
#include "attention.hpp"

#include <algorithm>
#include <cstring>

#include "attention_work.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// One key-major copy per key head; rows 64 bytes off a power of two apart.
struct Turned {
  float* data;
  long ld;
  const float* head(const AttentionShape& shape, long head) const { return data + head * shape.head_dim * ld; }
};

void turn(const AttentionShape& shape, const float* x, const Turned& out) {
  constexpr long kTokens = 256;
  const long chunks = (shape.tokens + kTokens - 1) / kTokens;
  parallel(chunks * shape.kv_heads, [&](long task, int) {
    const long first = task / shape.kv_heads * kTokens, head = task % shape.kv_heads;
    isa().kernels->transpose_head(x + first * shape.kv_heads * shape.head_dim + head * shape.head_dim,
                                  shape.kv_heads * shape.head_dim, std::min(kTokens, shape.tokens - first),
                                  shape.head_dim, out.data + head * shape.head_dim * out.ld + first, out.ld);
  });
}

long turned_ld(const AttentionShape& shape) { return (shape.tokens + 15) / 16 * 16 + 16; }

}  // namespace

Status attention_forward(const AttentionShape& shape, const int32_t* offsets, long segments, bool bf16, const float* q,
                         const float* k, const float* v, float* y) {
  long longest;
  const Status bad = check_attention(shape, offsets, segments, longest);
  if (bad != Status::ok || shape.tokens == 0) return bad;
  if (bf16 && isa().bf16_attention) return attention_forward_bf16(shape, offsets, segments, q, k, v, y);
  const KernelSet& set = *isa().kernels;
  const long ld = turned_ld(shape), kv_width = shape.kv_heads * shape.head_dim, width = shape.heads * shape.head_dim;
  const size_t work = set.attention_scratch(shape, longest);
  const size_t turned_floats = static_cast<size_t>(kv_width * ld);
  float* memory = scratch_floats(Scratch::attention, turned_floats + work * static_cast<size_t>(threads()));
  const BlockList blocks(offsets, segments, set.attention_block);
  if (!memory || !blocks.ok()) return Status::out_of_memory;
  const Turned kt{memory, ld};
  turn(shape, k, kt);
  parallel(blocks.count * shape.heads, [&](long task, int slot) {
    const Block block = blocks[task / shape.heads];
    const long head = task % shape.heads, key_head = head * shape.kv_heads / shape.heads, row = offsets[block.segment];
    set.attention(shape, q + row * width + head * shape.head_dim, kt.head(shape, key_head) + row, ld,
                  v + row * kv_width + key_head * shape.head_dim, y + row * width + head * shape.head_dim, block.first,
                  block.count, memory + turned_floats + work * static_cast<size_t>(slot));
  });
  return Status::ok;
}

Status attention_backward(const AttentionShape& shape, const int32_t* offsets, long segments, bool bf16,
                          const float* dy, const float* q, const float* k, const float* v, float* dq, float* dk,
                          float* dv) {
  long longest;
  const Status bad = check_attention(shape, offsets, segments, longest);
  if (bad != Status::ok || shape.tokens == 0) return bad;
  if (bf16 && isa().bf16_attention) return attention_backward_bf16(shape, offsets, segments, dy, q, k, v, dq, dk, dv);
  const KernelSet& set = *isa().kernels;
  const long ld = turned_ld(shape), hd = shape.head_dim, kv_width = shape.kv_heads * hd, width = shape.heads * hd;
  const size_t work = set.attention_scratch(shape, longest);
  const size_t turned_floats = static_cast<size_t>(kv_width * ld);
  float* memory = scratch_floats(Scratch::attention, 2 * turned_floats + work * static_cast<size_t>(threads()));
  const Parts parts(shape, offsets, segments, set.attention_block);
  if (!memory || !parts.ok()) return Status::out_of_memory;
  const Turned kt{memory, ld}, vt{memory + turned_floats, ld};
  turn(shape, k, kt);
  turn(shape, v, vt);
  parts.for_each_block([&](const Part& part, long head, const Block& block, const PartSums& sums, int slot) {
    const long key_head = head * shape.kv_heads / shape.heads, row = offsets[part.segment];
    set.attention_grad(shape, dy + row * width + head * hd, q + row * width + head * hd,
                       k + row * kv_width + key_head * hd, kt.head(shape, key_head) + row,
                       vt.head(shape, key_head) + row, ld, dq + row * width + head * hd, sums.dk, sums.dv, block.first,
                       block.count, memory + 2 * turned_floats + work * static_cast<size_t>(slot));
  });
  parts.reduce(dk, dv);
  return Status::ok;
}

Status attention_cached(const AttentionShape& shape, long past, long capacity, const float* q, const float* k,
                        const float* v, float* y) {
  if (shape.heads % shape.kv_heads != 0 || past + shape.tokens > capacity) return Status::bad_value;
  const long hd = shape.head_dim, kv_width = shape.kv_heads * hd, width = shape.heads * hd;
  const long room = (past + shape.tokens + 15) / 16 * 16 + 16;
  float* scores = scratch_floats(Scratch::attention, static_cast<size_t>(room * threads()));
  if (!scores) return Status::out_of_memory;
  parallel(shape.tokens * shape.heads, [&](long task, int slot) {
    const long t = task / shape.heads, head = task % shape.heads, end = past + t + 1;
    const long first = std::max<long>(0, end - shape.window);
    const long at = first * kv_width + head * shape.kv_heads / shape.heads * hd;
    isa().kernels->attend_cache(q + t * width + head * hd, k + at, v + at, kv_width, end - first, hd, shape.scale,
                                scores + slot * room, y + t * width + head * hd);
  });
  return Status::ok;
}

}  // namespace lamina
