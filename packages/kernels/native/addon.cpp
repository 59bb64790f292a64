// The N-API face of the kernels: plain functions of numbers and typed arrays, each answering a status (arguments.hpp).
// It holds no state of its own, so any number of worker threads may load it. The TypeScript side of this list is
// src/native/addon.ts.
#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "addon_attention.hpp"
#include "addon_bytes.hpp"
#include "addon_elementwise.hpp"
#include "addon_linalg.hpp"
#include "arguments.hpp"
#include "huge_pages.hpp"
#include "isa.hpp"
#include "linear.hpp"
#include "lm_head.hpp"
#include "map_file.hpp"
#include "peak.hpp"
#include "pool.hpp"

namespace lamina {
namespace {

// tokens, precision, weight, bias, global (rank, a, b), lora (rank, a, b), scale, dropout, seed
Linear read_linear(Arguments& args) {
  Linear op;
  op.tokens = args.size();
  op.precision = args.precision();
  op.weight = args.weight();
  const WeightView& w = op.weight;
  op.bias = args.floats_or_null(static_cast<double>(w.rows));
  for (Factors* f : {&op.global, &op.lora}) {
    f->rank = args.size();
    f->a = args.floats_or_null(product(f->rank, w.cols));
    f->b = args.floats_or_null(product(w.rows, f->rank));
    if (f->rank > 0 && (!f->a || !f->b)) args.fail(Status::wrong_type);
  }
  op.scale = static_cast<float>(args.number());
  op.dropout = args.number();
  if (!(op.dropout >= 0.0 && op.dropout < 1.0)) args.fail(Status::bad_value);
  op.seed = static_cast<uint32_t>(args.integer(0, 4294967295.0));
  return op;
}

napi_value linear(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Linear op = read_linear(args);
  const float* x = args.floats(product(op.tokens, op.weight.cols));
  const float* plus = args.floats_or_null(product(op.tokens, op.weight.rows));
  float* y = args.floats(product(op.tokens, op.weight.rows));
  return args.ok() ? args.answer(linear_forward(op, x, plus, y)) : args.answer();
}

napi_value linear_grad(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const Linear op = read_linear(args);
  const WeightView& w = op.weight;
  const float* dy = args.floats(product(op.tokens, w.rows));
  const float* x = args.floats(product(op.tokens, w.cols));
  const float* plus = args.floats_or_null(product(op.tokens, w.cols));
  float* dx = args.floats_or_null(product(op.tokens, w.cols));
  float* da = args.floats_or_null(product(op.lora.rank, w.cols));
  float* db = args.floats_or_null(product(w.rows, op.lora.rank));
  if (!da != !db) args.fail(Status::wrong_type);
  return args.ok() ? args.answer(linear_backward(op, dy, x, plus, dx, da, db)) : args.answer();
}

napi_value lm_head_cross_entropy(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long tokens = args.size();
  const Precision precision = args.precision();
  const WeightView w = args.weight();
  const float* x = args.floats(product(tokens, w.cols));
  const int32_t* targets = args.ints(static_cast<double>(tokens));
  float* scores = args.floats(2);
  float* dx = args.floats_or_null(product(tokens, w.cols));
  return args.ok() ? args.answer(lm_head(w, x, targets, tokens, precision, scores, dx)) : args.answer();
}

napi_value set_threads_of_caller(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long count = args.integer(1, 1024);
  if (args.ok()) set_threads(static_cast<int>(count));
  return args.answer();
}

napi_value int_value(napi_env env, int value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}
napi_value string_value(napi_env env, const char* text) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
  return result;
}

napi_value threads_of_caller(napi_env env, napi_callback_info) { return int_value(env, threads()); }
napi_value processor_count(napi_env env, napi_callback_info) { return int_value(env, processors()); }
napi_value isa_name(napi_env env, napi_callback_info) { return string_value(env, isa().name); }
napi_value bf16_name(napi_env env, napi_callback_info) { return string_value(env, isa().bf16->name); }
napi_value int8_name(napi_env env, napi_callback_info) { return string_value(env, isa().int8->name); }

napi_value choose_isa(napi_env env, napi_callback_info info) {
  char name[32] = {};
  size_t count = 1, length = 0;
  napi_value argument;
  bool found = false;
  if (napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) == napi_ok && count == 1 &&
      napi_get_value_string_utf8(env, argument, name, sizeof name, &length) == napi_ok)
    found = set_isa(name);
  napi_value result = nullptr;
  napi_get_boolean(env, found, &result);
  return result;
}

napi_value isa_names(napi_env env, napi_callback_info) {
  int count;
  const char* const* names = usable_isas(count);
  napi_value list = nullptr;
  napi_create_array_with_length(env, static_cast<size_t>(count), &list);
  for (int i = 0; i < count; i++) napi_set_element(env, list, static_cast<uint32_t>(i), string_value(env, names[i]));
  return list;
}

// fd, bytes of the file, length of the memory, a view that begins where the memory does -> where the file begins in it,
// or -1
napi_value map_file_into(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const int fd = static_cast<int>(args.size());
  const size_t bytes = static_cast<size_t>(args.integer(0, 9007199254740991.0));
  const size_t length = static_cast<size_t>(args.integer(0, 9007199254740991.0));
  size_t viewed = 0;
  char* memory = static_cast<char*>(args.bytes(viewed));
  napi_value result = nullptr;
  napi_create_double(env, args.ok() ? static_cast<double>(map_file(fd, bytes, memory, length)) : -1.0, &result);
  return result;
}

// memory that nothing has touched -> bytes up to its first huge page
napi_value prefer_huge_pages_for(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t count = 0;
  void* memory = args.bytes(count);
  napi_value result = nullptr;
  napi_create_double(env, args.ok() ? static_cast<double>(prefer_huge_pages(memory, count)) : 0.0, &result);
  return result;
}

napi_value peak(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const long count = args.integer(1, 1024);
  const Peak measured = measure_peak(args.ok() ? static_cast<int>(count) : 1);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  const auto set = [&](const char* name, double value) {
    napi_value number = nullptr;
    napi_create_double(env, value, &number);
    napi_set_named_property(env, result, name, number);
  };
  set("f32Fma", measured.f32_fma);
  set("bf16Dot", measured.bf16_dot);
  set("bf16Amx", measured.bf16_amx);
  set("int8Dot", measured.int8_dot);
  return result;
}

}  // namespace
}  // namespace lamina

NAPI_MODULE_INIT() {
  using namespace lamina;
  if (const char* wanted = unusable_isa()) {
    std::string message = std::string("LAMINA_ISA=") + wanted + ": this machine has";
    int count;
    const char* const* names = usable_isas(count);
    for (int i = 0; i < count; i++) message += std::string(i == 0 ? " " : ", ") + names[i];
    napi_throw_error(env, nullptr, message.c_str());
    return nullptr;
  }
  const struct {
    const char* name;
    napi_callback function;
  } list[] = {{"linear", linear},
              {"linearGrad", linear_grad},
              {"rmsNorm", rms_norm},
              {"rmsNormGrad", rms_norm_grad},
              {"layerNorm", layer_norm},
              {"layerNormGrad", layer_norm_grad},
              {"rope", rope},
              {"attention", attention},
              {"attentionGrad", attention_grad},
              {"cachedAttention", attention_of_cache},
              {"swiglu", swiglu},
              {"swigluGrad", swiglu_grad},
              {"swigluKeep", swiglu_keep},
              {"swigluOfKept", swiglu_of_kept},
              {"swigluGradOfKept", swiglu_grad_of_kept},
              {"halve", halve},
              {"unhalve", unhalve},
              {"gelu", gelu},
              {"geluGrad", gelu_grad},
              {"add", add},
              {"embedding", embedding},
              {"lmHead", lm_head_cross_entropy},
              {"adamw", adamw},
              {"matrixProduct", matrix_product},
              {"addMatrixProduct", add_matrix_product},
              {"addFactors", add_factor_products},
              {"stackFactors", stack_factors},
              {"takeFactors", take},
              {"productEnergies", energies_of_products},
              {"firstBeyond", find_beyond},
              {"copyFloats", copy},
              {"rowQr", row_qr},
              {"rowApplyQ", row_apply_q},
              {"rowSpread", row_spread},
              {"widen", widen},
              {"narrow", narrow},
              {"transpose", transpose_f64},
              {"eigen", eigen},
              {"blake2b", blake2b},
              {"blake2bLeaves", blake2b_of_leaves},
              {"blake2bLeavesLater", blake2b_of_leaves_later},
              {"blake2bStart", blake2b_start},
              {"blake2bUpdate", blake2b_update},
              {"blake2bFinish", blake2b_finish},
              {"hasSegments", has_segments},
              {"sealSegments", seal},
              {"sealSegmentsLater", seal_later},
              {"openSegments", open},
              {"openSegmentsLater", open_later},
              {"poolGivesWay", pool_gives_way},
              {"setThreads", set_threads_of_caller},
              {"threads", threads_of_caller},
              {"processors", processor_count},
              {"isa", isa_name},
              {"bf16Family", bf16_name},
              {"int8Family", int8_name},
              {"setIsa", choose_isa},
              {"isas", isa_names},
              {"measurePeak", peak},
              {"preferHugePages", prefer_huge_pages_for},
              {"mapFile", map_file_into}};
  for (const auto& entry : list) {
    napi_value function = nullptr;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) != napi_ok ||
        napi_set_named_property(env, exports, entry.name, function) != napi_ok)
      return nullptr;
  }
  return exports;
}
