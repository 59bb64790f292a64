#include "attention_work.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "isa.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// Parts of at least so many queries, and at most four of them, so that their memory stays at four times q's.
constexpr long kParts = 4;
constexpr long kPartQueries = 512;

long part_count(long length) { return std::clamp<long>(length / kPartQueries, 1, kParts); }

}  // namespace

Status check_attention(const AttentionShape& shape, const int32_t* offsets, long segments, long& longest) {
  longest = 0;
  if (segments < 0 || shape.heads < 1 || shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0 || shape.head_dim < 1)
    return Status::bad_value;
  if (offsets[0] != 0 || offsets[segments] != shape.tokens) return Status::bad_value;
  for (long s = 0; s < segments; s++) {
    if (offsets[s + 1] < offsets[s]) return Status::bad_value;
    longest = std::max<long>(longest, offsets[s + 1] - offsets[s]);
  }
  return Status::ok;
}

BlockList::BlockList(const int32_t* offsets, long segments, long block) : offsets_(offsets), block_(block) {
  for (long s = 0; s < segments; s++) count += (offsets[s + 1] - offsets[s] + block - 1) / block;
  list_ = static_cast<int32_t*>(scratch(Scratch::attention_blocks, static_cast<size_t>(2 * count) * sizeof(int32_t)));
  if (!list_) return;
  long at = 0;
  for (long s = 0; s < segments; s++) {
    const long length = offsets[s + 1] - offsets[s];
    for (long first = length > 0 ? (length - 1) / block * block : -1; first >= 0; first -= block) {
      list_[at++] = static_cast<int32_t>(s);
      list_[at++] = static_cast<int32_t>(first);
    }
  }
}

Block BlockList::operator[](long i) const {
  const long segment = list_[2 * i], first = list_[2 * i + 1];
  return {segment, first, std::min(block_, offsets_[segment + 1] - offsets_[segment] - first)};
}

Parts::Parts(const AttentionShape& shape, const int32_t* offsets, long segments, long block)
    : shape_(shape), offsets_(offsets), segments_(segments), block_(block) {
  long room = 0;
  for (long s = 0; s < segments; s++) room += offsets[s + 1] > offsets[s] ? part_count(offsets[s + 1] - offsets[s]) : 0;
  part_ = new (std::nothrow) Part[static_cast<size_t>(room)];
  if (!part_) return;
  size_t floats = 0;
  for (long s = 0; s < segments; s++) {
    const long length = offsets[s + 1] - offsets[s];
    if (length == 0) continue;
    const long count = part_count(length), step = ((length + count - 1) / count + block - 1) / block * block;
    for (long p = 0; p < count; p++) {
      const long first = std::min(length, p * step), end = p == count - 1 ? length : std::min(length, (p + 1) * step);
      part_[count_++] = {s, first, end, floats};
      floats += static_cast<size_t>(2 * end * shape.head_dim * shape.heads);
    }
  }
  sums_ = scratch_floats(Scratch::attention_partial, floats);
}

Parts::~Parts() { delete[] part_; }

PartSums Parts::sums_of(const Part& part, long head) const {
  float* dk = sums_ + part.at + static_cast<size_t>(2 * part.end * shape_.head_dim * head);
  return {dk, dk + part.end * shape_.head_dim};
}

PartSums Parts::clear_sums(const Part& part, long head) const {
  const PartSums sums = sums_of(part, head);
  memset(sums.dk, 0, static_cast<size_t>(2 * part.end * shape_.head_dim) * sizeof(float));
  return sums;
}

void Parts::reduce(float* dk, float* dv) const {
  constexpr long kKeys = 64;
  const long hd = shape_.head_dim, kv_width = shape_.kv_heads * hd, group = shape_.heads / shape_.kv_heads;
  const BlockList keys(offsets_, segments_, kKeys);
  if (!keys.ok()) return;
  parallel(keys.count * shape_.kv_heads, [&](long task, int) {
    const Block block = keys[task / shape_.kv_heads];
    const long key_head = task % shape_.kv_heads;
    for (long key = block.first; key < block.first + block.count; key++) {
      float* to_k = dk + (offsets_[block.segment] + key) * kv_width + key_head * hd;
      float* to_v = dv + (offsets_[block.segment] + key) * kv_width + key_head * hd;
      memset(to_k, 0, static_cast<size_t>(hd) * sizeof(float));
      memset(to_v, 0, static_cast<size_t>(hd) * sizeof(float));
      for (long p = 0; p < count_; p++) {
        if (part_[p].segment != block.segment || key >= part_[p].end) continue;
        for (long head = key_head * group; head < (key_head + 1) * group; head++) {
          const PartSums sums = sums_of(part_[p], head);
          isa().kernels->add(to_k, sums.dk + key * hd, to_k, hd);
          isa().kernels->add(to_v, sums.dv + key * hd, to_v, hd);
        }
      }
    }
  });
}

}  // namespace lamina
