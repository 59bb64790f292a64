// Row-wise and element-wise ops as the addon shows them: arguments checked, shared out over threads.
#include "addon_elementwise.hpp"

#include <algorithm>
#include <cmath>

#include "arguments.hpp"
#include "isa.hpp"
#include "pool.hpp"

namespace lamina {
namespace {

constexpr long kElements = 16384;  // one task of an element-wise op: 64 KiB per array

template <class F>
void by_elements(long count, F&& body) {
  parallel((count + kElements - 1) / kElements, [&](long task, int) {
    const long first = task * kElements;
    body(first, std::min(kElements, count - first));
  });
}

template <class F>
void by_rows(long rows, long width, F&& body) {
  const long chunk = std::max<long>(1, kElements / std::max<long>(1, width));
  parallel((rows + chunk - 1) / chunk, [&](long task, int) {
    const long first = task * chunk;
    body(first, std::min(chunk, rows - first));
  });
}

// The gradient of a norm, by one of KernelSet's functions.
template <auto Gradient>
napi_value norm_grad(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), d = args.size();
  const float* dy = args.floats(product(rows, d));
  const float* x = args.floats(product(rows, d));
  const float* weight = args.floats(static_cast<double>(d));
  const float eps = static_cast<float>(args.number());
  const float* plus = args.floats_or_null(product(rows, d));
  float* dx = args.floats(product(rows, d));
  if (args.ok())
    by_rows(rows, d, [&](long first, long count) {
      (isa().kernels->*Gradient)(dy + first * d, x + first * d, weight, eps, plus ? plus + first * d : nullptr,
                                 dx + first * d, count, d);
    });
  return args.answer();
}

}  // namespace

napi_value rms_norm(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), d = args.size();
  const float* x = args.floats(product(rows, d));
  const float* weight = args.floats(static_cast<double>(d));
  const float eps = static_cast<float>(args.number());
  float* y = args.floats(product(rows, d));
  if (args.ok())
    by_rows(rows, d, [&](long first, long count) {
      isa().kernels->rms_norm(x + first * d, weight, eps, y + first * d, count, d);
    });
  return args.answer();
}

napi_value rms_norm_grad(napi_env env, napi_callback_info info) {
  return norm_grad<&KernelSet::rms_norm_grad>(env, info);
}

napi_value layer_norm(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), d = args.size();
  const float* x = args.floats(product(rows, d));
  const float* weight = args.floats(static_cast<double>(d));
  const float* bias = args.floats(static_cast<double>(d));
  const float eps = static_cast<float>(args.number());
  float* y = args.floats(product(rows, d));
  if (args.ok())
    by_rows(rows, d, [&](long first, long count) {
      isa().kernels->layer_norm(x + first * d, weight, bias, eps, y + first * d, count, d);
    });
  return args.answer();
}

napi_value layer_norm_grad(napi_env env, napi_callback_info info) {
  return norm_grad<&KernelSet::layer_norm_grad>(env, info);
}

napi_value rope(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long rows = args.size(), heads = args.size(), head_dim = args.size(), table = args.size();
  if (head_dim % 2 != 0) args.fail(Status::bad_value);
  const double all = product(rows, heads * head_dim);
  const float* x = args.floats(all);
  const int32_t* positions = args.ints(static_cast<double>(rows));
  const float* cos = args.floats(product(table, head_dim / 2));
  const float* sin = args.floats(product(table, head_dim / 2));
  const bool inverse = args.boolean();
  float* y = args.floats(all);
  if (!args.ok()) return args.answer();
  for (long t = 0; t < rows; t++)
    if (positions[t] < 0 || positions[t] >= table) return args.answer(Status::bad_value);
  const long width = heads * head_dim;
  by_rows(rows, width, [&](long first, long count) {
    isa().kernels->rope(x + first * width, y + first * width, count, heads, head_dim, positions + first, cos, sin,
                        inverse);
  });
  return args.answer();
}

napi_value swiglu(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* gate = args.float_list(count);
  const float* up = args.floats(static_cast<double>(count));
  float* y = args.floats(static_cast<double>(count));
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long first, long n) { isa().kernels->swiglu(gate + first, up + first, y + first, n); });
  return args.answer();
}

napi_value swiglu_grad(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* dy = args.float_list(count);
  const double n = static_cast<double>(count);
  const float* gate = args.floats(n);
  const float* up = args.floats(n);
  float* dgate = args.floats(n);
  float* dup = args.floats(n);
  if (args.ok())
    by_elements(static_cast<long>(count), [&](long i, long some) {
      isa().kernels->swiglu_grad(dy + i, gate + i, up + i, dgate + i, dup + i, some);
    });
  return args.answer();
}

napi_value swiglu_keep(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* gate = args.float_list(count);
  const double n = static_cast<double>(count);
  const float* up = args.floats(n);
  float* y = args.floats(n);
  uint32_t* kept = reinterpret_cast<uint32_t*>(args.floats(n));
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long i, long some) { isa().kernels->swiglu_keep(gate + i, up + i, y + i, kept + i, some); });
  return args.answer();
}

napi_value swiglu_of_kept(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const uint32_t* kept = reinterpret_cast<const uint32_t*>(args.float_list(count));
  float* y = args.floats(static_cast<double>(count));
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long i, long some) { isa().kernels->swiglu_of_kept(kept + i, y + i, some); });
  return args.answer();
}

napi_value swiglu_grad_of_kept(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* dy = args.float_list(count);
  const double n = static_cast<double>(count);
  const uint32_t* kept = reinterpret_cast<const uint32_t*>(args.floats(n));
  float* dgate = args.floats(n);
  float* dup = args.floats(n);
  if (args.ok())
    by_elements(static_cast<long>(count), [&](long i, long some) {
      isa().kernels->swiglu_grad_of_kept(dy + i, kept + i, dgate + i, dup + i, some);
    });
  return args.answer();
}

double half_words(size_t count) {
  return static_cast<double>((count + 2 * kHalfGroup - 1) / (2 * kHalfGroup) * kHalfGroup);
}

napi_value halve(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* x = args.float_list(count);
  uint32_t* halves = reinterpret_cast<uint32_t*>(args.floats(half_words(count)));
  if (args.ok())
    by_elements(static_cast<long>(count), [&](long i, long n) { isa().kernels->halve(x + i, halves + i / 2, n); });
  return args.answer();
}

napi_value unhalve(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  float* x = args.float_list(count);
  const uint32_t* halves = reinterpret_cast<const uint32_t*>(args.floats(half_words(count)));
  if (args.ok())
    by_elements(static_cast<long>(count), [&](long i, long n) { isa().kernels->unhalve(halves + i / 2, x + i, n); });
  return args.answer();
}

napi_value gelu(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* x = args.float_list(count);
  const bool tanh = args.boolean();
  float* y = args.floats(static_cast<double>(count));
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long first, long n) { isa().kernels->gelu(x + first, y + first, n, tanh); });
  return args.answer();
}

napi_value gelu_grad(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* dy = args.float_list(count);
  const float* x = args.floats(static_cast<double>(count));
  const bool tanh = args.boolean();
  float* dx = args.floats(static_cast<double>(count));
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long i, long n) { isa().kernels->gelu_grad(dy + i, x + i, dx + i, n, tanh); });
  return args.answer();
}

napi_value add(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  const float* a = args.float_list(count);
  const float* b = args.floats(static_cast<double>(count));
  float* y = args.floats(static_cast<double>(count));
  if (args.ok())
    by_elements(static_cast<long>(count), [&](long i, long n) { isa().kernels->add(a + i, b + i, y + i, n); });
  return args.answer();
}

napi_value embedding(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const WeightView w = args.weight();
  size_t count;
  const int32_t* ids = args.int_list(count);
  const long tokens = static_cast<long>(count);
  float* y = args.floats(product(tokens, w.cols));
  if (!args.ok()) return args.answer();
  for (long t = 0; t < tokens; t++)
    if (ids[t] < 0 || ids[t] >= w.rows) return args.answer(Status::bad_value);
  by_rows(tokens, w.cols, [&](long first, long n) {
    for (long t = first; t < first + n; t++) isa().kernels->row(w, ids[t], y + t * w.cols);
  });
  return args.answer();
}

// param, grad, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradScale
napi_value adamw(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count;
  float* param = args.float_list(count);
  const double n = static_cast<double>(count);
  const float* grad = args.floats(n);
  float* m = args.floats(n);
  float* v = args.floats(n);
  const double rate = args.number(), beta1 = args.number(), beta2 = args.number(), eps = args.number(),
               decay = args.number();
  const double step = static_cast<double>(args.integer(1, 9007199254740991.0)), grad_scale = args.number();
  const AdamwStep s{static_cast<float>(1.0 - rate * decay),
                    static_cast<float>(beta1),
                    static_cast<float>(beta2),
                    static_cast<float>(rate / (1.0 - std::pow(beta1, step))),
                    static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step))),
                    static_cast<float>(eps),
                    static_cast<float>(grad_scale)};
  if (args.ok())
    by_elements(static_cast<long>(count),
                [&](long i, long some) { isa().kernels->adamw(param + i, grad + i, m + i, v + i, some, s); });
  return args.answer();
}

}  // namespace lamina
