#include "gemm.hpp"

#include <algorithm>
#include <cstring>

#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// Panels that one task packs at once: at most some 300 KiB of B beside the A block in L2.
constexpr long kPanels = 4;
constexpr long kTasksPerThread = 6;
constexpr long kRowsPacked = 128;

long round_to(long value, long unit) { return (value + unit - 1) / unit * unit; }

// The terms as one sum over k: term i is k = start[i] .. start[i + 1] - 1, padded to the family's unit.
struct Depths {
  long start[Product::kTermsMax + 1];
  long step[Product::kTermsMax];  // a long term goes in equal steps of at most kc
};

Depths depths_of(const Product& p) {
  Depths d;
  d.start[0] = 0;
  for (int i = 0; i < p.terms; i++) {
    const long depth = round_to(p.term[i].depth, p.family->k_unit),
               parts = std::max<long>(1, (depth + p.family->kc - 1) / p.family->kc);
    d.start[i + 1] = d.start[i] + depth;
    d.step[i] = round_to((depth + parts - 1) / parts, 32);
  }
  return d;
}

// Walks the sum over k in passes that each read and write C once: one step of a term, and with its last step the short
// terms after it (adapters), which would otherwise cost a pass over C for a few products.
class Passes {
 public:
  struct Piece {
    int term;
    long k;  // inside the term
    long depth;
  };
  Piece piece[Product::kTermsMax];
  int pieces = 0;
  long first = 0, depth = 0;  // in the sum over all terms

  Passes(const Product& p, const Depths& d) : p_(p), d_(d) {}

  bool next() {
    while (term_ < p_.terms && k_ >= size(term_)) term_++, k_ = 0;
    if (term_ >= p_.terms) return false;
    pieces = 0;
    first = d_.start[term_] + k_;
    depth = 0;
    take(std::min(d_.step[term_], size(term_) - k_));
    while (k_ >= size(term_) && term_ + 1 < p_.terms && size(term_ + 1) <= p_.family->kc / 4) {
      term_++, k_ = 0;
      if (size(term_) > 0) take(size(term_));
    }
    return true;
  }

 private:
  long size(int term) const { return d_.start[term + 1] - d_.start[term]; }
  void take(long amount) {
    piece[pieces++] = {term_, k_, amount};
    k_ += amount;
    depth += amount;
  }
  const Product& p_;
  const Depths& d_;
  int term_ = 0;
  long k_ = 0;
};

// Shares of the output: `rows` x `cols` per task, whole A blocks and whole panels.
struct Split {
  long rows, cols;
};

Split split(const Product& p) {
  const long mr = p.family->mr, nr = p.family->nr;
  const long wanted = threads() == 1 ? 1 : kTasksPerThread * threads();
  const long least = std::max(8 * mr, 256 / mr * mr);
  Split s{round_to(p.rows, mr), kPanels * nr};
  const auto tasks = [&] { return ((p.rows + s.rows - 1) / s.rows) * ((p.cols + s.cols - 1) / s.cols); };
  while (tasks() < wanted && s.cols > nr) s.cols = s.cols / 2 / nr * nr;
  while (tasks() < wanted && s.rows > least) s.rows = std::max(least, round_to(s.rows / 2, mr));
  return s;
}

// A of all terms, packed block by block.
struct PackedA {
  char* data;
  size_t stride;  // bytes between blocks
};

void pack_rows(const Product& p, const Depths& d, const PackedA& a) {
  const GemmFamily& f = *p.family;
  const long blocks = (p.rows + f.mr - 1) / f.mr;
  const long chunk = std::max<long>(1, 16384 / std::max<long>(1, d.start[p.terms] * f.mr));
  parallel((blocks + chunk - 1) / chunk, [&](long task, int) {
    for (long b = task * chunk; b < std::min(blocks, (task + 1) * chunk); b++)
      for (int i = 0; i < p.terms; i++)  // in order: packing writes a little past a term's end, into the next
        f.pack_a(p.term[i].a + b * f.mr * p.term[i].lda, p.term[i].lda,
                 static_cast<int>(std::min<long>(f.mr, p.rows - b * f.mr)), p.term[i].depth,
                 a.data + static_cast<size_t>(b) * a.stride + static_cast<size_t>(d.start[i]) * f.a_bytes_per_k);
  });
}

// The panels of one piece, `stride` bytes apart; returns the bytes it takes in each.
size_t pack_piece(const Product& p, const Passes::Piece& piece, char* panels, size_t stride, long col, long cols) {
  const GemmFamily& f = *p.family;
  const Term& t = p.term[piece.term];
  // Neighbouring panels of W as it lies share cache lines: they are packed side by side, some rows at a time.
  const long step = t.transposed ? piece.depth : kRowsPacked;
  for (long k = 0; k < piece.depth; k += step)
    for (long j = 0; j < cols; j += f.nr)
      f.pack_b(t.w, t.transposed, col + j, piece.k + k, static_cast<int>(std::min(step, piece.depth - k)),
               panels + static_cast<size_t>(j / f.nr) * stride + static_cast<size_t>(k) * f.b_bytes_per_k);
  return static_cast<size_t>(piece.depth) * f.b_bytes_per_k;
}

void run_share(const Product& p, const Depths& d, const PackedA& a, char* panels, const Split& s, long row, long col) {
  const GemmFamily& f = *p.family;
  const long rows = std::min(s.rows, p.rows - row), cols = std::min(s.cols, p.cols - col);
  float* c = p.c + row * p.ldc + col;
  bool accumulate = p.accumulate;
  if (p.bias && !accumulate) {
    for (long i = 0; i < rows; i++) memcpy(c + i * p.ldc, p.bias + col, static_cast<size_t>(cols) * sizeof(float));
    accumulate = true;
  }
  for (Passes pass(p, d); pass.next(); accumulate = true) {
    const size_t stride = static_cast<size_t>(pass.depth) * f.b_bytes_per_k;
    char* at = panels;
    for (int i = 0; i < pass.pieces; i++) at += pack_piece(p, pass.piece[i], at, stride, col, cols);
    f.compute({a.data + static_cast<size_t>(row / f.mr) * a.stride + static_cast<size_t>(pass.first) * f.a_bytes_per_k,
               a.stride, panels, stride, c, p.ldc, rows, cols, static_cast<int>(pass.depth), accumulate});
  }
  if (!accumulate)
    for (long i = 0; i < rows; i++) memset(c + i * p.ldc, 0, static_cast<size_t>(cols) * sizeof(float));
}

}  // namespace

Status multiply(const Product& p) {
  if (p.rows == 0 || p.cols == 0) return Status::ok;
  const GemmFamily& f = *p.family;
  const Depths d = depths_of(p);
  long deepest = 0;
  for (Passes pass(p, d); pass.next();) deepest = std::max(deepest, pass.depth);
  PackedA a;
  // 64 more bytes, so that blocks never lie a power of two apart.
  a.stride = static_cast<size_t>(
                 round_to(static_cast<long>(static_cast<size_t>(d.start[p.terms]) * f.a_bytes_per_k + f.a_slack), 64)) +
             64;
  a.data = static_cast<char*>(scratch(Scratch::pack_a, a.stride * static_cast<size_t>((p.rows + f.mr - 1) / f.mr)));
  const size_t panel_bytes =
      static_cast<size_t>(round_to(static_cast<long>(static_cast<size_t>(deepest * kPanels) * f.b_bytes_per_k), 64)) +
      64;
  char* panels = static_cast<char*>(scratch(Scratch::pack_b, panel_bytes * static_cast<size_t>(threads())));
  if (!a.data || !panels) return Status::out_of_memory;

  pack_rows(p, d, a);
  const Split s = split(p);
  const long row_shares = (p.rows + s.rows - 1) / s.rows;
  parallel(row_shares * ((p.cols + s.cols - 1) / s.cols), [&](long task, int slot) {
    run_share(p, d, a, panels + panel_bytes * static_cast<size_t>(slot), s, task % row_shares * s.rows,
              task / row_shares * s.cols);
  });
  return Status::ok;
}

}  // namespace lamina
