// The N-API face of attention; addon.cpp registers it.
#include "addon_attention.hpp"

#include "arguments.hpp"
#include "attention.hpp"

namespace lamina {
namespace {

struct AttentionArguments {
  AttentionShape shape;
  const int32_t* offsets;
  long segments;
  bool bf16;
  double queries, keys;

  explicit AttentionArguments(Arguments& args) {
    shape.tokens = args.size();
    shape.heads = args.integer(1, 65536);
    shape.kv_heads = args.integer(1, 65536);
    shape.head_dim = args.integer(1, 65536);
    shape.scale = static_cast<float>(args.number());
    bf16 = args.boolean();
    shape.window = args.integer(1, 2147483647.0);
    size_t count;
    offsets = args.int_list(count);
    if (count < 1) args.fail(Status::length_mismatch);
    segments = static_cast<long>(count) - 1;
    queries = product(shape.tokens, shape.heads * shape.head_dim);
    keys = product(shape.tokens, shape.kv_heads * shape.head_dim);
  }
};

}  // namespace

napi_value attention(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const AttentionArguments a(args);
  const float* q = args.floats(a.queries);
  const float* k = args.floats(a.keys);
  const float* v = args.floats(a.keys);
  float* y = args.floats(a.queries);
  return args.ok() ? args.answer(attention_forward(a.shape, a.offsets, a.segments, a.bf16, q, k, v, y)) : args.answer();
}

napi_value attention_grad(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const AttentionArguments a(args);
  const float* dy = args.floats(a.queries);
  const float* q = args.floats(a.queries);
  const float* k = args.floats(a.keys);
  const float* v = args.floats(a.keys);
  float* dq = args.floats(a.queries);
  float* dk = args.floats(a.keys);
  float* dv = args.floats(a.keys);
  return args.ok() ? args.answer(attention_backward(a.shape, a.offsets, a.segments, a.bf16, dy, q, k, v, dq, dk, dv))
                   : args.answer();
}

// tokens, heads, kvHeads, headDim, scale, window, past, then q, k, v, y
napi_value attention_of_cache(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  AttentionShape shape;
  shape.tokens = args.size();
  shape.heads = args.integer(1, 65536);
  shape.kv_heads = args.integer(1, 65536);
  shape.head_dim = args.integer(1, 65536);
  shape.scale = static_cast<float>(args.number());
  shape.window = args.integer(1, 2147483647.0);
  const long past = args.size();
  const double queries = product(shape.tokens, shape.heads * shape.head_dim);
  const float* q = args.floats(queries);
  size_t count;
  const float* k = args.float_list(count);
  const float* v = args.floats(static_cast<double>(count));
  float* y = args.floats(queries);
  if (!args.ok()) return args.answer();
  const long capacity = static_cast<long>(count) / (shape.kv_heads * shape.head_dim);
  return args.answer(attention_cached(shape, past, capacity, q, k, v, y));
}

}  // namespace lamina
