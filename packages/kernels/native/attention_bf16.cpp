#include <algorithm>

#include "attention_work.hpp"
#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

// Keys and values are packed once per key head and segment, then every block of queries of the heads that share them
// reads the same words.

namespace lamina {
namespace {

using Table = AttentionBf16;

// Which operands a pass reads, each with room for one (key head, segment) after the other.
class PackedHeads {
 public:
  PackedHeads(const AttentionShape& shape, const int32_t* offsets, long segments)
      : table_(*isa().bf16_attention), shape_(shape), offsets_(offsets), segments_(segments) {}

  // The words all of it takes: `token_operands` summed over dimensions, `dim_operands` summed over tokens.
  size_t words(int token_operands, int dim_operands) const {
    size_t tokens = 0, dims = 0;
    for (long s = 0; s < segments_; s++) {
      tokens += table_.tokens_words(length(s), shape_.head_dim);
      dims += table_.dims_words(length(s), shape_.head_dim);
    }
    return static_cast<size_t>(shape_.kv_heads) *
           (tokens * static_cast<size_t>(token_operands) + dims * static_cast<size_t>(dim_operands));
  }

  // Packs x (tokens, kv_heads * head_dim) as one operand; returns where the next one goes.
  uint32_t* pack(const float* x, bool over_tokens, uint32_t* out) const {
    const long width = shape_.kv_heads * shape_.head_dim;
    const BlockList chunks(offsets_, segments_, table_.chunk);
    if (!chunks.ok()) return nullptr;
    parallel(chunks.count * shape_.kv_heads, [&](long task, int) {
      const Block chunk = chunks[task / shape_.kv_heads];
      const long head = task % shape_.kv_heads;
      const float* from = x + offsets_[chunk.segment] * width + head * shape_.head_dim;
      uint32_t* to = out + at(chunk.segment, head, over_tokens);
      if (over_tokens)
        table_.pack_dims(from, width, chunk.first, chunk.count, length(chunk.segment), shape_.head_dim, to);
      else table_.pack_tokens(from, width, chunk.first, chunk.count, shape_.head_dim, to);
    });
    return out + at(segments_, 0, over_tokens);
  }

  // Where (segment, head) of an operand begins.
  size_t at(long segment, long head, bool over_tokens) const {
    size_t before = 0;
    for (long s = 0; s < segment; s++) before += one(s, over_tokens);
    return before * static_cast<size_t>(shape_.kv_heads) +
           (segment < segments_ ? one(segment, over_tokens) * static_cast<size_t>(head) : 0);
  }

 private:
  long length(long s) const { return offsets_[s + 1] - offsets_[s]; }
  size_t one(long s, bool over_tokens) const {
    return over_tokens ? table_.dims_words(length(s), shape_.head_dim)
                       : table_.tokens_words(length(s), shape_.head_dim);
  }

  const Table& table_;
  const AttentionShape& shape_;
  const int32_t* offsets_;
  long segments_;
};

}  // namespace

Status attention_forward_bf16(const AttentionShape& shape, const int32_t* offsets, long segments, const float* q,
                              const float* k, const float* v, float* y) {
  const Table& table = *isa().bf16_attention;
  const long hd = shape.head_dim, width = shape.heads * hd;
  const PackedHeads heads(shape, offsets, segments);
  long longest = 0;
  for (long s = 0; s < segments; s++) longest = std::max<long>(longest, offsets[s + 1] - offsets[s]);
  const size_t work = table.scratch(shape, longest);
  float* memory = scratch_floats(Scratch::attention, work * static_cast<size_t>(threads()));
  uint32_t* k_tokens = static_cast<uint32_t*>(scratch(Scratch::attention_packed, heads.words(1, 1) * 4));
  if (!memory || !k_tokens) return Status::out_of_memory;
  uint32_t* v_dims = heads.pack(k, false, k_tokens);
  if (!v_dims || !heads.pack(v, true, v_dims)) return Status::out_of_memory;
  const BlockList blocks(offsets, segments, table.block);
  if (!blocks.ok()) return Status::out_of_memory;
  parallel(blocks.count * shape.heads, [&](long task, int slot) {
    const Block block = blocks[task / shape.heads];
    const long s = block.segment, head = task % shape.heads, key_head = head * shape.kv_heads / shape.heads;
    const Table::Packed packed{k_tokens + heads.at(s, key_head, false), nullptr, nullptr,
                               v_dims + heads.at(s, key_head, true), (offsets[s + 1] - offsets[s] + 1) / 2};
    table.forward(shape, q + offsets[s] * width + head * hd, packed, y + offsets[s] * width + head * hd, block.first,
                  block.count, memory + work * static_cast<size_t>(slot));
  });
  return Status::ok;
}

Status attention_backward_bf16(const AttentionShape& shape, const int32_t* offsets, long segments, const float* dy,
                               const float* q, const float* k, const float* v, float* dq, float* dk, float* dv) {
  const Table& table = *isa().bf16_attention;
  const long hd = shape.head_dim, width = shape.heads * hd;
  const PackedHeads heads(shape, offsets, segments);
  long longest = 0;
  for (long s = 0; s < segments; s++) longest = std::max<long>(longest, offsets[s + 1] - offsets[s]);
  const size_t work = table.scratch(shape, longest);
  float* memory = scratch_floats(Scratch::attention, work * static_cast<size_t>(threads()));
  uint32_t* k_tokens = static_cast<uint32_t*>(scratch(Scratch::attention_packed, heads.words(2, 1) * 4));
  const Parts parts(shape, offsets, segments, table.block);
  if (!memory || !k_tokens || !parts.ok()) return Status::out_of_memory;
  uint32_t* v_tokens = heads.pack(k, false, k_tokens);
  uint32_t* k_dims = v_tokens ? heads.pack(v, false, v_tokens) : nullptr;
  if (!k_dims || !heads.pack(k, true, k_dims)) return Status::out_of_memory;
  parts.for_each_block([&](const Part& part, long head, const Block& block, const PartSums& sums, int slot) {
    const long s = part.segment, key_head = head * shape.kv_heads / shape.heads;
    const size_t at = heads.at(s, key_head, false);
    const Table::Packed packed{k_tokens + at, v_tokens + at, k_dims + heads.at(s, key_head, true), nullptr,
                               (offsets[s + 1] - offsets[s] + 1) / 2};
    const long from = offsets[s] * width + head * hd;
    table.backward(shape, dy + from, q + from, packed, dq + from, sums.dk, sums.dv, block.first, block.count,
                   memory + work * static_cast<size_t>(slot));
  });
  parts.reduce(dk, dv);
  return Status::ok;
}

}  // namespace lamina
