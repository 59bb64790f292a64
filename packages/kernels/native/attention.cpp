#include "attention.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// Queries of one segment and head whose share of dk and dv is summed apart: fixed by the lengths alone, so that sums do
// not depend on the number of threads, and at most four, so that their memory stays at four times q's.
constexpr long kParts = 4;
constexpr long kPartQueries = 512;

Status check(const AttentionShape& shape, const int32_t* offsets, long segments, long& longest) {
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

long part_count(long length) { return std::clamp<long>(length / kPartQueries, 1, kParts); }

}  // namespace

Status attention_forward(const AttentionShape& shape, const int32_t* offsets, long segments, const float* q,
                         const float* k, const float* v, float* y) {
  long longest;
  const Status bad = check(shape, offsets, segments, longest);
  if (bad != Status::ok || shape.tokens == 0) return bad;
  const KernelSet& set = *isa().kernels;
  const long block = set.attention_block, ld = turned_ld(shape), kv_width = shape.kv_heads * shape.head_dim,
             width = shape.heads * shape.head_dim;
  const size_t work = set.attention_scratch(shape, longest);
  const size_t turned_floats = static_cast<size_t>(kv_width * ld);
  float* memory = scratch_floats(Scratch::attention, turned_floats + work * static_cast<size_t>(threads()));
  long blocks = 0;
  for (long s = 0; s < segments; s++) blocks += (offsets[s + 1] - offsets[s] + block - 1) / block;
  int32_t* list =
      static_cast<int32_t*>(scratch(Scratch::attention_partial, static_cast<size_t>(2 * blocks) * sizeof(int32_t)));
  if (!memory || !list) return Status::out_of_memory;
  long at = 0;
  for (long s = 0; s < segments; s++)
    for (long first = (offsets[s + 1] - offsets[s] - 1) / block * block; offsets[s + 1] > offsets[s] && first >= 0;
         first -= block) {
      list[at++] = static_cast<int32_t>(s);
      list[at++] = static_cast<int32_t>(first);
    }
  const Turned kt{memory, ld};
  turn(shape, k, kt);
  parallel(blocks * shape.heads, [&](long task, int slot) {
    const long s = list[task / shape.heads * 2], first = list[task / shape.heads * 2 + 1], head = task % shape.heads;
    const long row = offsets[s], length = offsets[s + 1] - row, key_head = head * shape.kv_heads / shape.heads;
    set.attention(shape, q + row * width + head * shape.head_dim, kt.head(shape, key_head) + row, ld,
                  v + row * kv_width + key_head * shape.head_dim, y + row * width + head * shape.head_dim, first,
                  std::min(block, length - first), memory + turned_floats + work * static_cast<size_t>(slot));
  });
  return Status::ok;
}

Status attention_backward(const AttentionShape& shape, const int32_t* offsets, long segments, const float* dy,
                          const float* q, const float* k, const float* v, float* dq, float* dk, float* dv) {
  long longest;
  const Status bad = check(shape, offsets, segments, longest);
  if (bad != Status::ok || shape.tokens == 0) return bad;
  const KernelSet& set = *isa().kernels;
  const long block = set.attention_block, ld = turned_ld(shape), hd = shape.head_dim, kv_width = shape.kv_heads * hd,
             width = shape.heads * hd;
  const size_t work = set.attention_scratch(shape, longest);
  const size_t turned_floats = static_cast<size_t>(kv_width * ld);
  float* memory = scratch_floats(Scratch::attention, 2 * turned_floats + work * static_cast<size_t>(threads()));

  // Part p of a segment: its queries p * step .. ; it sees the keys before its end. Blocks of its sums: (end, hd) for
  // dk, then dv.
  struct Part {
    long segment, first, end;
    size_t at;
  };
  long parts = 0;
  for (long s = 0; s < segments; s++)
    parts += offsets[s + 1] > offsets[s] ? part_count(offsets[s + 1] - offsets[s]) : 0;
  Part* part = new (std::nothrow) Part[static_cast<size_t>(parts)];
  if (!part || !memory) {
    delete[] part;
    return Status::out_of_memory;
  }
  size_t floats = 0;
  long n = 0;
  for (long s = 0; s < segments; s++) {
    const long length = offsets[s + 1] - offsets[s];
    if (length == 0) continue;
    const long count = part_count(length), step = ((length + count - 1) / count + block - 1) / block * block;
    for (long p = 0; p < count; p++) {
      const long first = std::min(length, p * step), end = p == count - 1 ? length : std::min(length, (p + 1) * step);
      part[n++] = {s, first, end, floats};
      floats += static_cast<size_t>(2 * end * hd * shape.heads);
    }
  }
  float* sums = scratch_floats(Scratch::attention_partial, floats);
  if (!sums) {
    delete[] part;
    return Status::out_of_memory;
  }
  const Turned kt{memory, ld}, vt{memory + turned_floats, ld};
  turn(shape, k, kt);
  turn(shape, v, vt);
  parallel(parts * shape.heads, [&](long task, int slot) {
    const Part& mine = part[parts - 1 - task / shape.heads];  // later parts see more keys: they go first
    const long head = task % shape.heads, key_head = head * shape.kv_heads / shape.heads, row = offsets[mine.segment];
    float* sum_k = sums + mine.at + static_cast<size_t>(2 * mine.end * hd * head);
    float* sum_v = sum_k + mine.end * hd;
    memset(sum_k, 0, static_cast<size_t>(2 * mine.end * hd) * sizeof(float));
    for (long first = mine.first; first < mine.end; first += block)
      set.attention_grad(shape, dy + row * width + head * hd, q + row * width + head * hd,
                         k + row * kv_width + key_head * hd, kt.head(shape, key_head) + row,
                         vt.head(shape, key_head) + row, ld, dq + row * width + head * hd, sum_k, sum_v, first,
                         std::min(block, mine.end - first),
                         memory + 2 * turned_floats + work * static_cast<size_t>(slot));
  });
  const long group = shape.heads / shape.kv_heads;
  parallel(segments * shape.kv_heads, [&](long task, int) {
    const long s = task / shape.kv_heads, key_head = task % shape.kv_heads, row = offsets[s],
               length = offsets[s + 1] - row;
    for (long key = 0; key < length; key++) {
      float* to_k = dk + (row + key) * kv_width + key_head * hd;
      float* to_v = dv + (row + key) * kv_width + key_head * hd;
      memset(to_k, 0, static_cast<size_t>(hd) * sizeof(float));
      memset(to_v, 0, static_cast<size_t>(hd) * sizeof(float));
      for (long p = 0; p < parts; p++) {
        if (part[p].segment != s || key >= part[p].end) continue;
        for (long head = key_head * group; head < (key_head + 1) * group; head++) {
          const float* sum_k = sums + part[p].at + static_cast<size_t>(2 * part[p].end * hd * head);
          isa().kernels->add(to_k, sum_k + key * hd, to_k, hd);
          isa().kernels->add(to_v, sum_k + (part[p].end + key) * hd, to_v, hd);
        }
      }
    }
  });
  delete[] part;
  return Status::ok;
}

}  // namespace lamina
