// The N-API face of dense linear algebra in f64; addon.cpp registers it.
#include "addon_linalg.hpp"

#include <algorithm>
#include <cstring>

#include "arguments.hpp"
#include "convert_f64.hpp"
#include "eigen.hpp"
#include "householder.hpp"
#include "kernels.hpp"
#include "moves.hpp"
#include "pool.hpp"
#include "product_f64.hpp"
#include "stack.hpp"

namespace lamina {

// m, n, k, whether a is (k, m), then a, b (k, n), c (m, n)
napi_value matrix_product(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long m = args.size(), n = args.size(), k = args.size();
  const bool transposed = args.boolean();
  const double* a = args.doubles(product(m, k));
  const double* b = args.doubles(product(k, n));
  double* c = args.doubles(product(m, n));
  if (!args.ok()) return args.answer();
  memset(c, 0, static_cast<size_t>(m) * static_cast<size_t>(n) * sizeof(double));
  const ProductF64 p{a, transposed ? 1 : k, transposed ? m : 1, b, n, c, n, m, n, k, 1.0};
  return args.answer(add_product(p) ? Status::ok : Status::out_of_memory);
}

namespace {

constexpr long kProblems = 6;  // of one call, each 7 arguments

// While it lives, calls from this thread run inline.
struct Inline {
  const int before = threads();
  Inline() { set_threads(1); }
  ~Inline() { set_threads(before); }
};

}  // namespace

// problems, and for each of them: count, length, then vectors (count, length), v (count, rowSpread(length)), triangle
// (core, count), t (core, core). As many problems as threads or more are solved side by side, each by one thread, which
// waits for nobody; fewer, one after another.
napi_value row_qr(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long problems = args.integer(0, kProblems);
  QrF64 list[kProblems];
  Status status[kProblems] = {};
  for (long i = 0; i < problems; i++) {
    QrF64& qr = list[i];
    qr.count = args.size();
    qr.length = args.size();
    qr.ld = spread(qr.length);
    const long core = std::min(qr.count, qr.length);
    qr.vectors = args.doubles(product(qr.count, qr.length));
    qr.v = args.doubles(product(qr.count, qr.ld));
    qr.triangle = args.doubles(product(core, qr.count));
    qr.t = args.doubles(product(core, core));
  }
  if (!args.ok()) return args.answer();
  if (problems >= threads() && problems > 1)
    parallel(problems, [&](long i, int) {
      const Inline one_thread;
      status[i] = qr_of_rows(list[i]);
    });
  else
    for (long i = 0; i < problems; i++) status[i] = qr_of_rows(list[i]);
  for (long i = 0; i < problems; i++)
    if (status[i] != Status::ok) return args.answer(status[i]);
  return args.answer();
}

// rows, count, length, then v and t as row_qr left them, coordinates (rows, core), out (rows, length)
napi_value row_apply_q(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), count = args.size(), length = args.size(), core = std::min(count, length);
  double* v = args.doubles(product(count, spread(length)));
  double* t = args.doubles(product(core, core));
  const double* coordinates = args.doubles(product(rows, core));
  double* out = args.doubles(product(rows, length));
  if (!args.ok()) return args.answer();
  return args.answer(apply_q({v, spread(length), core, length, t}, coordinates, rows, out));
}

// size, then matrix (size, size), values (size), vectors (size, size)
napi_value eigen(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long size = args.size();
  const double* matrix = args.doubles(product(size, size));
  double* values = args.doubles(static_cast<double>(size));
  double* vectors = args.doubles(product(size, size));
  return args.ok() ? args.answer(symmetric_eigen(size, matrix, values, vectors)) : args.answer();
}

// rows, cols, scale, transposed, then x (f32) and y (f64)
napi_value widen(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), cols = args.size();
  const double scale = args.number();
  const bool transposed = args.boolean();
  const float* x = args.floats(product(rows, cols));
  double* y = args.doubles(product(rows, cols));
  if (args.ok()) convert({rows, cols, scale, transposed}, x, y);
  return args.answer();
}

// rows, cols, transposed, then x (f64) and y (f32)
napi_value narrow(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), cols = args.size();
  const bool transposed = args.boolean();
  const double* x = args.doubles(product(rows, cols));
  float* y = args.floats(product(rows, cols));
  if (args.ok()) convert({rows, cols, 1, transposed}, x, y);
  return args.answer();
}

// rows, cols, then x and y (cols, rows)
napi_value transpose_f64(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), cols = args.size();
  const double* x = args.doubles(product(rows, cols));
  double* y = args.doubles(product(rows, cols));
  if (args.ok()) convert({rows, cols, 1, true}, x, y);
  return args.answer();
}

// length -> doubles from one row of v to the next
napi_value row_spread(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long length = args.size();
  napi_value result = nullptr;
  napi_create_double(env, args.ok() ? static_cast<double>(spread(length)) : -1.0, &result);
  return result;
}

// m, n, k, alpha, then a (m, k), b (k, n) and c (m, n), to which alpha times their product is added
napi_value add_matrix_product(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long m = args.size(), n = args.size(), k = args.size();
  const double alpha = args.number();
  const double* a = args.doubles(product(m, k));
  const double* b = args.doubles(product(k, n));
  double* c = args.doubles(product(m, n));
  if (!args.ok()) return args.answer();
  return args.answer(add_product({a, k, 1, b, n, c, n, m, n, k, alpha}) ? Status::ok : Status::out_of_memory);
}

// how many, and for each: m, n, k, scale, a (k, n), b (m, k) and c (m, n), to which scale times b a is added
napi_value add_factor_products(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long count = args.integer(0, kFactors);
  FactorsF64 list[kFactors];
  for (long i = 0; i < count; i++) {
    FactorsF64& f = list[i];
    f.m = args.size();
    f.n = args.size();
    f.k = args.size();
    f.scale = args.number();
    f.a = args.floats(product(f.k, f.n));
    f.b = args.floats(product(f.m, f.k));
    f.c = args.doubles(product(f.m, f.n));
  }
  if (!args.ok()) return args.answer();
  return args.answer(add_factors(list, count) ? Status::ok : Status::out_of_memory);
}

namespace {

// at, total, out_a (total, n) and out_b (m, total) of a StackF32 or TakenF32 of so many ranks.
template <class Factors>
void read_place(Arguments& args, Factors& f, long rank) {
  f.at = args.size();
  f.total = args.size();
  if (args.ok() && f.at + rank > f.total) args.fail(Status::bad_value);
  f.out_a = args.floats(product(f.total, f.n));
  f.out_b = args.floats(product(f.m, f.total));
}

}  // namespace

// m, n, ranks, scales, a, b, at, total, then out_a and out_b, and signs and energies or two undefined
napi_value stack_factors(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  StackF32 s{};
  s.m = args.size();
  s.n = args.size();
  size_t blocks = 0;
  s.ranks = args.int_list(blocks);
  s.blocks = static_cast<long>(blocks);
  s.scales = args.doubles(static_cast<double>(blocks));
  long rank = 0;
  for (size_t k = 0; args.ok() && k < blocks; k++) {
    if (s.ranks[k] < 0) args.fail(Status::bad_value);
    else rank += s.ranks[k];
  }
  s.a = args.floats(product(rank, s.n));
  s.b = args.floats(product(s.m, rank));
  read_place(args, s, rank);
  s.signs = args.floats_or_null(static_cast<double>(s.n));
  s.energies = args.doubles_or_null(2 * kProbes);
  if (args.ok() && !s.signs != !s.energies) args.fail(Status::wrong_type);
  return args.answer(args.ok() ? stack(s) : Status::ok);
}

// modules, and for each: m, n, ranks, scales, a and b of every block, at, total, out_a, out_b, signs (n), products
// before (m, 2 kProbes) or undefined, and after; then finite (modules)
napi_value take(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long count = args.integer(0, kTaken);
  TakenF32 list[kTaken];
  for (long i = 0; i < count; i++) {
    TakenF32& t = list[i];
    t.m = args.size();
    t.n = args.size();
    size_t blocks = 0;
    t.ranks = args.int_list(blocks);
    if (blocks > kTakenBlocks) args.fail(Status::bad_value);
    t.blocks = args.ok() ? static_cast<long>(blocks) : 0;
    t.scales = args.doubles(static_cast<double>(t.blocks));
    long rank = 0;
    for (long k = 0; k < t.blocks; rank += t.ranks[k++]) {
      if (t.ranks[k] < 0) args.fail(Status::bad_value);
      t.a[k] = args.floats(product(t.ranks[k], t.n));
      t.b[k] = args.floats(product(t.m, t.ranks[k]));
    }
    read_place(args, t, rank);
    t.signs = args.floats(static_cast<double>(t.n));
    t.before = args.floats_or_null(product(t.m, 2 * kProbes));
    t.after = args.floats(product(t.m, 2 * kProbes));
  }
  int32_t* finite = args.ints(static_cast<double>(count));
  return args.answer(args.ok() ? take_factors(list, count, finite) : Status::ok);
}

// m, rank, products (m, 2 kProbes), then energies (2 kProbes)
napi_value energies_of_products(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long m = args.size(), rank = args.size();
  const float* products = args.floats(product(m, 2 * kProbes));
  double* energies = args.doubles(2 * kProbes);
  return args.answer(args.ok() ? product_energies(m, rank, products, energies) : Status::ok);
}

// x (f32), max -> the first index that is NaN, infinite or beyond max, -1 where there is none, -2 where x is no array of
// f32
napi_value find_beyond(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count = 0;
  const float* x = args.float_list(count);
  const double max = args.number();
  napi_value result = nullptr;
  napi_create_double(env, args.ok() ? static_cast<double>(first_beyond(x, static_cast<long>(count), max)) : -2.0,
                     &result);
  return result;
}

// x and y (f32) of one length
napi_value copy(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count = 0;
  const float* x = args.float_list(count);
  float* y = args.floats(static_cast<double>(count));
  if (args.ok()) copy_floats(x, static_cast<long>(count), y);
  return args.answer();
}

}  // namespace lamina
