#include "gemm.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

constexpr Scratch kPackedA[Product::kTermsMax] = {Scratch::pack_a, Scratch::pack_low_a, Scratch::pack_global_a};

// Panels that one task packs at once: at most 256 KiB of B beside the A block in L2.
constexpr long kPanels = 4;
constexpr long kTasksPerThread = 6;

size_t round_to(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

struct PackedTerm {
  char* a = nullptr;
  size_t stride = 0;  // bytes between blocks
  long depth = 0;     // padded to k_unit
  long step = 0;      // depth of one packed panel: equal parts of at most the family's kc
};

bool prepare(const Term& t, long rows, Scratch purpose, PackedTerm& out) {
  const GemmFamily& f = *t.family;
  out.depth = static_cast<long>(round_to(static_cast<size_t>(t.depth), static_cast<size_t>(f.k_unit)));
  const long parts = std::max<long>(1, (out.depth + f.kc - 1) / f.kc);
  out.step = static_cast<long>(round_to(static_cast<size_t>((out.depth + parts - 1) / parts), 32));
  // 64 more bytes, so that blocks never lie a power of two apart.
  out.stride = round_to(static_cast<size_t>(out.depth) * f.a_bytes_per_k + f.a_slack, 64) + 64;
  out.a = static_cast<char*>(scratch(purpose, out.stride * static_cast<size_t>((rows + f.mr - 1) / f.mr)));
  return out.a != nullptr;
}

// Shares of the output: `rows` x `cols` per task, whole A blocks and whole panels.
struct Split {
  long rows, cols;
};

Split split(const Product& p, long mr, long nr) {
  const long wanted = threads() == 1 ? 1 : kTasksPerThread * threads();
  const long least = std::max(8 * mr, 256 / mr * mr);
  Split s{(p.rows + mr - 1) / mr * mr, kPanels * nr};
  const auto tasks = [&] { return ((p.rows + s.rows - 1) / s.rows) * ((p.cols + s.cols - 1) / s.cols); };
  while (tasks() < wanted && s.cols > nr) s.cols = s.cols / 2 / nr * nr;
  while (tasks() < wanted && s.rows > least) s.rows = std::max(least, (s.rows / 2 + mr - 1) / mr * mr);
  return s;
}

void start_rows(const Product& p, long row, long rows, long col, long cols) {
  for (long i = row; i < row + rows; i++) memcpy(p.c + i * p.ldc + col, p.bias + col, static_cast<size_t>(cols) * sizeof(float));
}

void run_share(const Product& p, const PackedTerm* packed, char* panels, const Split& s, long row, long col) {
  const long rows = std::min(s.rows, p.rows - row), cols = std::min(s.cols, p.cols - col);
  bool accumulate = p.accumulate;
  if (p.bias && !accumulate) {
    start_rows(p, row, rows, col, cols);
    accumulate = true;
  }
  for (int i = 0; i < p.terms; i++) {
    const Term& t = p.term[i];
    const GemmFamily& f = *t.family;
    for (long k = 0; k < packed[i].depth; k += packed[i].step) {
      const int depth = static_cast<int>(std::min(packed[i].step, packed[i].depth - k));
      const size_t stride = static_cast<size_t>(depth) * f.b_bytes_per_k;
      for (long j = 0; j < cols; j += f.nr) f.pack_b(t.w, t.transposed, col + j, k, depth, panels + static_cast<size_t>(j / f.nr) * stride);
      f.compute({packed[i].a + static_cast<size_t>(row / f.mr) * packed[i].stride + static_cast<size_t>(k) * f.a_bytes_per_k, packed[i].stride, panels,
                 stride, p.c + row * p.ldc + col, p.ldc, rows, cols, depth, accumulate});
      accumulate = true;
    }
  }
  if (!accumulate)
    for (long i = row; i < row + rows; i++) memset(p.c + i * p.ldc + col, 0, static_cast<size_t>(cols) * sizeof(float));
}

}  // namespace

const GemmFamily& companion(const GemmFamily& main) {
  const KernelSet& set = *isa().kernels;
  return main.mr % set.f32.mr == 0 ? set.f32 : set.f32_narrow;
}

Status multiply(const Product& p) {
  if (p.rows == 0 || p.cols == 0) return Status::ok;
  PackedTerm packed[Product::kTermsMax];
  long mr = 1, nr = 1;
  size_t panel_bytes = 0;
  for (int i = 0; i < p.terms; i++) {
    const GemmFamily& f = *p.term[i].family;
    if (!prepare(p.term[i], p.rows, kPackedA[i], packed[i])) return Status::out_of_memory;
    mr = std::max<long>(mr, f.mr);
    nr = std::max<long>(nr, f.nr);
    panel_bytes = std::max(panel_bytes, static_cast<size_t>(packed[i].step) * f.b_bytes_per_k * static_cast<size_t>(kPanels * nr / f.nr));
  }
  const Split s = split(p, mr, nr);
  panel_bytes = round_to(panel_bytes, 64) + 64;
  char* panels = static_cast<char*>(scratch(Scratch::pack_b, panel_bytes * static_cast<size_t>(threads())));
  if (!panels) return Status::out_of_memory;

  for (int i = 0; i < p.terms; i++) {
    const Term& t = p.term[i];
    const long blocks = (p.rows + t.family->mr - 1) / t.family->mr;
    const long chunk = std::max<long>(1, 16384 / std::max<long>(1, t.depth * t.family->mr));
    parallel((blocks + chunk - 1) / chunk, [&](long task, int) {
      for (long b = task * chunk; b < std::min(blocks, (task + 1) * chunk); b++) {
        const long row = b * t.family->mr;
        t.family->pack_a(t.a + row * t.lda, t.lda, static_cast<int>(std::min<long>(t.family->mr, p.rows - row)), t.depth,
                         packed[i].a + static_cast<size_t>(b) * packed[i].stride);
      }
    });
  }
  const long row_shares = (p.rows + s.rows - 1) / s.rows;
  const long shares = row_shares * ((p.cols + s.cols - 1) / s.cols);
  parallel(shares, [&](long task, int slot) {
    run_share(p, packed, panels + panel_bytes * static_cast<size_t>(slot), s, task % row_shares * s.rows, task / row_shares * s.cols);
  });
  return Status::ok;
}

}  // namespace lamina
