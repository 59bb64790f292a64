#include "gemm.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "pool.hpp"
#include "scratch.hpp"

namespace lamina {
namespace {

// Columns of a task, and the bytes of its packed panels that stay in L2 beside the rows they meet.
constexpr long kPanels = 4;
constexpr size_t kPanelBytes = 512 << 10;
// Rows that go through all packed pieces before the next: some 100 KiB of A and C.
constexpr long kBlocks = 8;
constexpr long kTasksPerThread = 6;

long round_to(long value, long unit) { return (value + unit - 1) / unit * unit; }

// Walks the sum over k in pieces that each read and write C once: a long term goes in equal pieces of at most kc.
class Pieces {
 public:
  int term = 0;
  long k = 0;      // inside the term
  long depth = 0;  // real
  int padded = 0;
  size_t a_at = 0;  // bytes from the start of an A block
  bool last = false;

  explicit Pieces(const Product& p) : p_(p) {}

  bool next() {
    if (padded > 0) a_at += a_bytes();
    k += depth;
    while (term < p_.terms && k >= p_.term[term].depth) term++, k = 0;
    if (term >= p_.terms) return false;
    const long whole = p_.term[term].depth, parts = (whole + p_.family->kc - 1) / p_.family->kc;
    depth = std::min(round_to((whole + parts - 1) / parts, 32), whole - k);
    padded = static_cast<int>(round_to(depth, p_.family->k_unit));
    int after = term + 1;
    while (after < p_.terms && p_.term[after].depth == 0) after++;
    last = k + depth >= whole && after >= p_.terms;
    return true;
  }
  size_t a_bytes() const { return static_cast<size_t>(padded) * p_.family->a_bytes_per_k + p_.family->a_factors; }
  size_t b_bytes() const { return static_cast<size_t>(padded) * p_.family->b_bytes_per_k + p_.family->b_factors; }

 private:
  const Product& p_;
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

// A of all terms, packed block by block, and the tail's blocks [k][mr].
struct PackedA {
  char* data;
  size_t stride;  // bytes between blocks
  float* tail;
};

// Bytes of the largest panel piece, of one A block, and of the panels packed at once.
struct Sizes {
  size_t panel = 0, block = 0, run = 0;
};

int pieces_at_once(size_t panel) {
  return static_cast<int>(std::max<size_t>(1, kPanelBytes / std::max<size_t>(1, panel * kPanels)));
}

Sizes sizes_of(const Product& p) {
  Sizes s;
  int pieces = 0;
  for (Pieces piece(p); piece.next(); pieces++) {
    s.panel = std::max(s.panel, piece.b_bytes());
    s.block = piece.a_at + piece.a_bytes();
  }
  // 64 more bytes, so that blocks never lie a power of two apart.
  s.block = static_cast<size_t>(round_to(static_cast<long>(s.block + p.family->a_slack), 64)) + 64;
  s.panel = static_cast<size_t>(round_to(static_cast<long>(s.panel), 64));
  s.run = static_cast<size_t>(std::min(pieces, pieces_at_once(s.panel))) * kPanels * s.panel;
  return s;
}

void pack_block(const Product& p, const PackedA& a, long block) {
  const GemmFamily& f = *p.family;
  const int rows = static_cast<int>(std::min<long>(f.mr, p.rows - block * f.mr));
  char* out = a.data + static_cast<size_t>(block) * a.stride;
  for (Pieces piece(p); piece.next();) {  // in order: packing writes a little past a piece's end, into the next
    const Term& t = p.term[piece.term];
    f.pack_a(t.a + block * f.mr * t.lda + piece.k, t.lda, rows, piece.depth, out + piece.a_at);
  }
  if (p.tail.depth == 0) return;
  float* tail = a.tail + block * p.tail.depth * f.mr;
  const float* h = p.tail.a + block * f.mr * p.tail.lda;
  for (long k = 0; k < p.tail.depth; k++)
    for (int i = 0; i < f.mr; i++) tail[k * f.mr + i] = i < rows ? h[i * p.tail.lda + k] : 0.0f;
}

void pack_rows(const Product& p, const PackedA& a) {
  const long mr = p.family->mr;
  const long task_rows =
      round_to(p.prepare.rows > 0 ? p.prepare.rows : std::max<long>(1, 32768 / static_cast<long>(a.stride)) * mr, mr);
  parallel((p.rows + task_rows - 1) / task_rows, [&](long task, int) {
    const long end = std::min(p.rows, (task + 1) * task_rows);
    for (long row = task * task_rows; row < end; row += Prepare::kBlocks * mr) {
      const long some = std::min(end, row + Prepare::kBlocks * mr);
      if (p.prepare.run) p.prepare.run(p.prepare.context, row, some - row);
      for (long r = row; r < some; r += mr) pack_block(p, a, r / mr);
    }
  });
}

// One share of the output: its panels are packed for as many pieces as kPanelBytes hold, then a few rows at a time go
// through all of these pieces, so that C is in the cache for all but its first pass.
class Share {
 public:
  Share(const Product& p, const PackedA& a, char* panels, const Sizes& sizes, const Split& s, long row, long col)
      : p_(p), f_(*p.family), a_(a), panels_(panels), stride_(sizes.panel), row_(row), col_(col) {
    rows_ = std::min(s.rows, p.rows - row);
    cols_ = std::min(s.cols, p.cols - col);
    tail_ = reinterpret_cast<float*>(panels + sizes.run);
  }

  void run() {
    accumulate_ = p_.accumulate;
    start();
    Pieces piece(p_);
    bool more = piece.next();
    while (more) {
      const Pieces first = piece;
      int count = 0;
      do pack(piece, count++);
      while ((more = piece.next()) && count < pieces_at_once(stride_));
      for (long row = 0; row < rows_; row += kBlocks * f_.mr) compute(first, count, row);
      accumulate_ = true;
    }
  }

 private:
  float* c(long row) const { return p_.c + (row_ + row) * p_.ldc + col_; }

  void start() {
    if (!accumulate_ && ((p_.bias && p_.plus) || !Pieces(p_).next())) {
      for (long i = 0; i < rows_; i++) begin(c(i), p_.bias, p_.plus ? p_.plus + (row_ + i) * p_.cols : nullptr);
      accumulate_ = true;
    }
    for (long j = 0; j < cols_ && p_.tail.depth > 0; j += f_.nr)
      isa().kernels->f32.pack_b(p_.tail.w, p_.tail.transposed, col_ + j, 0, static_cast<int>(p_.tail.depth),
                                tail_ + j * p_.tail.depth);
  }

  // c = bias + plus, of which each may be missing.
  void begin(float* c, const float* bias, const float* plus) const {
    for (long j = 0; j < cols_; j++) c[j] = (bias ? bias[col_ + j] : 0.0f) + (plus ? plus[col_ + j] : 0.0f);
  }

  // What a block's sums begin with when nothing was added into C yet, and how far apart its rows are.
  const float* from(long row, long& ld) const {
    ld = p_.plus ? p_.cols : 0;
    return p_.plus ? p_.plus + (row_ + row) * p_.cols + col_ : p_.bias ? p_.bias + col_ : nullptr;
  }

  char* panels(int piece) const { return panels_ + static_cast<size_t>(piece) * kPanels * stride_; }

  void pack(const Pieces& piece, int at) {
    const Term& t = p_.term[piece.term];
    for (long j = 0; j < cols_; j += f_.nr)
      f_.pack_b(t.w, t.transposed, col_ + j, piece.k, piece.padded,
                panels(at) + static_cast<size_t>(j / f_.nr) * stride_);
  }

  void compute(Pieces piece, int count, long row) const {
    const char* block = a_.data + static_cast<size_t>((row_ + row) / f_.mr) * a_.stride;
    const long rows = std::min<long>(kBlocks * f_.mr, rows_ - row);
    for (int i = 0; i < count; i++, piece.next()) {
      const bool more = accumulate_ || i > 0;
      long ld = p_.ldc;
      const float* start = more ? c(row) : from(row, ld);
      GemmFamily::Compute work{block + piece.a_at, a_.stride, panels(i), stride_, c(row), p_.ldc, rows, cols_,
                               piece.padded,       start,     ld};
      if (piece.last) {
        work.tail_a = a_.tail + (row_ + row) * p_.tail.depth;
        work.tail_b = tail_;
        work.tail_depth = static_cast<int>(p_.tail.depth);
      }
      f_.compute(work);
    }
  }

  const Product& p_;
  const GemmFamily& f_;
  const PackedA& a_;
  char* panels_;
  float* tail_;
  size_t stride_;
  long row_, col_, rows_, cols_;
  bool accumulate_ = false;
};

}  // namespace

Status multiply(const Product& p) {
  if (p.rows == 0 || p.cols == 0) return Status::ok;
  const GemmFamily& f = *p.family;
  const Sizes sizes = sizes_of(p);
  const size_t blocks = static_cast<size_t>((p.rows + f.mr - 1) / f.mr);
  const size_t tail = static_cast<size_t>(p.tail.depth) * sizeof(float);
  const size_t panel_bytes = sizes.run + tail * static_cast<size_t>(kPanels * f.nr) + 64;
  PackedA a;
  a.stride = sizes.block;
  a.data = static_cast<char*>(scratch(Scratch::pack_a, (a.stride + tail * static_cast<size_t>(f.mr)) * blocks));
  a.tail = reinterpret_cast<float*>(a.data + a.stride * blocks);
  char* panels = static_cast<char*>(scratch(Scratch::pack_b, panel_bytes * static_cast<size_t>(threads())));
  if (!a.data || !panels) return Status::out_of_memory;

  pack_rows(p, a);
  const Split s = split(p);
  const long row_shares = (p.rows + s.rows - 1) / s.rows;
  parallel(row_shares * ((p.cols + s.cols - 1) / s.cols), [&](long task, int slot) {
    Share(p, a, panels + panel_bytes * static_cast<size_t>(slot), sizes, s, task % row_shares * s.rows,
          task / row_shares * s.cols)
        .run();
  });
  return Status::ok;
}

}  // namespace lamina
