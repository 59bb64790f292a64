#pragma once
#include <cstdint>

#include "kernels.hpp"
#include "pool.hpp"
#include "status.hpp"

// How attention is shared out over threads: blocks of queries going forward, parts of a segment going backward. What
// the f32 and the bf16 kernels have in common.

namespace lamina {

Status check_attention(const AttentionShape& shape, const int32_t* offsets, long segments, long& longest);

// Queries first .. first + count of a segment.
struct Block {
  long segment, first, count;
};

// The blocks of all segments; of each segment the last first, since later queries see more keys.
class BlockList {
 public:
  long count = 0;

  BlockList(const int32_t* offsets, long segments, long block);
  bool ok() const { return list_ != nullptr; }
  Block operator[](long i) const;

 private:
  const int32_t* offsets_;
  long block_;
  int32_t* list_;
};

// Part p of a segment: its queries first .. end - 1, which see the keys before `end`. dk and dv of a part are summed
// apart, per query head: `at` floats into the sums lie (end, head_dim) of dk, then of dv, for every head.
struct Part {
  long segment, first, end;
  size_t at;
};

struct PartSums {
  float* dk;
  float* dv;
};

// Fixed by the lengths alone, so that sums do not depend on the number of threads.
class Parts {
 public:
  Parts(const AttentionShape& shape, const int32_t* offsets, long segments, long block);
  ~Parts();
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  bool ok() const { return part_ && sums_; }

  // body(part, head, block, sums of the part and head, slot) for every block of every part and head; the blocks of one
  // part and head in order, by one thread.
  template <class F>
  void for_each_block(F&& body) const {
    parallel(count_ * shape_.heads, [&](long task, int slot) {
      const Part& mine = part_[count_ - 1 - task / shape_.heads];  // later parts see more keys: they go first
      const long head = task % shape_.heads;
      const PartSums sums = clear_sums(mine, head);
      for (long first = mine.first; first < mine.end; first += block_)
        body(mine, head, Block{mine.segment, first, block_ < mine.end - first ? block_ : mine.end - first}, sums, slot);
    });
  }

  // dk and dv (tokens, kv_heads * head_dim): the sums over parts and the heads of a group.
  void reduce(float* dk, float* dv) const;

 private:
  PartSums sums_of(const Part& part, long head) const;
  PartSums clear_sums(const Part& part, long head) const;

  AttentionShape shape_;
  const int32_t* offsets_;
  long segments_, block_, count_ = 0;
  Part* part_ = nullptr;
  float* sums_ = nullptr;
};

// Of precision bf16, where isa().bf16_attention is there; arguments are checked.
Status attention_forward_bf16(const AttentionShape& shape, const int32_t* offsets, long segments, const float* q,
                              const float* k, const float* v, float* y);
Status attention_backward_bf16(const AttentionShape& shape, const int32_t* offsets, long segments, const float* dy,
                               const float* q, const float* k, const float* v, float* dq, float* dk, float* dv);

}  // namespace lamina
