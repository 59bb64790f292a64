#pragma once
#include <node_api.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "addon_later.hpp"
#include "precision.hpp"
#include "segments.hpp"
#include "status.hpp"
#include "weight.hpp"

namespace lamina {

inline double product(long a, long b) { return static_cast<double>(a) * static_cast<double>(b); }

// Reads the arguments of one call in order and checks type and length of every array before its memory is touched.
// After the first wrong argument the rest reads as zero and null; `answer` tells JavaScript which one it was: status +
// 256 * position.
class Arguments {
 public:
  static constexpr size_t kMax = 176;

  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    if (napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok || count_ > kMax)
      fail(Status::wrong_type);
  }

  bool ok() const { return status_ == Status::ok; }

  double number() {
    double value = 0;
    const napi_value v = next();
    if (ok() && napi_get_value_double(env_, v, &value) != napi_ok) fail(Status::wrong_type);
    return ok() ? value : 0;
  }

  // A whole number in [low, high].
  long integer(double low, double high) {
    const double value = number();
    if (ok() && (value != std::floor(value) || value < low || value > high)) fail(Status::bad_value);
    return ok() ? static_cast<long>(value) : 0;
  }
  long size() { return integer(0, 2147483647.0); }

  bool boolean() {
    bool value = false;
    const napi_value v = next();
    if (ok() && napi_get_value_bool(env_, v, &value) != napi_ok) fail(Status::wrong_type);
    return ok() && value;
  }

  Precision precision() { return static_cast<Precision>(integer(0, 2)); }

  float* floats(double count) { return static_cast<float*>(array(napi_float32_array, count, false)); }
  float* floats_or_null(double count) { return static_cast<float*>(array(napi_float32_array, count, true)); }
  double* doubles(double count) { return static_cast<double*>(array(napi_float64_array, count, false)); }
  double* doubles_or_null(double count) { return static_cast<double*>(array(napi_float64_array, count, true)); }
  int32_t* ints(double count) { return static_cast<int32_t*>(array(napi_int32_array, count, false)); }
  // Any number of integers; `count` is set.
  int32_t* int_list(size_t& count) { return static_cast<int32_t*>(any_array(napi_int32_array, count)); }
  float* float_list(size_t& count) { return static_cast<float*>(any_array(napi_float32_array, count)); }

  void* bytes(size_t& count) { return any_array(napi_uint8_array, count); }

  // An array of arrays of bytes.
  std::vector<Piece> byte_arrays() {
    std::vector<Piece> pieces;
    const napi_value list = next();
    uint32_t length = 0;
    bool is_array = false;
    if (ok() && (napi_is_array(env_, list, &is_array) != napi_ok || !is_array)) fail(Status::wrong_type);
    if (ok()) napi_get_array_length(env_, list, &length);
    pieces.reserve(length);
    for (uint32_t i = 0; ok() && i < length; i++) {
      napi_value element = nullptr;
      size_t count = 0;
      napi_get_element(env_, list, i, &element);
      const void* data = array_of(element, napi_uint8_array, count);
      pieces.push_back({static_cast<const uint8_t*>(data), count});
    }
    return pieces;
  }

  // format, rows, cols, codes, then scales, mins, super scales, super mins and offset, each undefined where the format
  // has none
  WeightView weight() {
    WeightView w;
    w.format = static_cast<Format>(integer(0, static_cast<double>(Format::nf4)));
    w.rows = size();
    w.cols = size();
    const bool superblocks = w.format == Format::q4k || w.format == Format::q5k || w.format == Format::q6k;
    if (ok() && superblocks && w.cols % kSuperBlock != 0) fail(Status::bad_value);
    const RowLayout row = row_layout(w.format, w.cols);
    const bool nf4 = w.format == Format::nf4, one_byte = row.scale_bytes == 1;
    const bool scales_signed = w.format == Format::q6k || nf4;
    const napi_typedarray_type scale_type = !one_byte       ? napi_uint16_array
                                            : scales_signed ? napi_int8_array
                                                            : napi_uint8_array;
    const auto part = [&](napi_typedarray_type type, long per_row) -> const void* {
      return per_row > 0 ? array(type, static_cast<double>(w.rows) * static_cast<double>(per_row), false) : skip();
    };
    w.codes = array(code_type(w.format), static_cast<double>(w.rows) * static_cast<double>(row.codes), false);
    w.scales = part(scale_type, row.scales);
    w.mins = part(scale_type, row.mins);
    const double groups = std::ceil(static_cast<double>(w.rows) * static_cast<double>(w.nf4_blocks()) / kNf4Group);
    w.super_scales = nf4 ? array(napi_float32_array, groups, false) : part(napi_uint16_array, row.super_scales);
    w.super_mins = static_cast<const uint16_t*>(part(napi_uint16_array, row.super_mins));
    w.offset = nf4 ? floats(1) : static_cast<const float*>(skip());
    return w;
  }

  void fail(Status status) {
    if (ok()) status_ = status, wrong_ = at_;
  }

  napi_value answer(Status of_op = Status::ok) const {
    napi_value result = nullptr;
    napi_create_int32(env_, code(of_op), &result);
    return result;
  }

  // A promise of the answer: `work` runs on a thread of Node's pool, and the arguments live as long.
  napi_value later(std::function<Status()> work) const {
    if (!ok()) return lamina::later(env_, values_, count_, [wrong = code(Status::ok)] { return wrong; });
    return lamina::later(env_, values_, count_, [work = std::move(work)] { return static_cast<int32_t>(work()); });
  }

 private:
  int32_t code(Status of_op) const {
    return ok() ? static_cast<int32_t>(of_op) : static_cast<int32_t>(status_) + 256 * static_cast<int32_t>(wrong_);
  }

  static napi_typedarray_type code_type(Format format) {
    switch (format) {
      case Format::f32: return napi_float32_array;
      case Format::bf16:
      case Format::f16: return napi_uint16_array;
      case Format::q8:
      case Format::q6k: return napi_int8_array;
      default: return napi_uint8_array;
    }
  }

  const void* skip() {
    next();
    return nullptr;
  }

  napi_value next() { return at_ < count_ ? values_[at_++] : (fail(Status::wrong_type), nullptr); }

  void* any_array(napi_typedarray_type wanted, size_t& count) { return array_of(next(), wanted, count); }

  void* array_of(napi_value v, napi_typedarray_type wanted, size_t& count) {
    count = 0;
    if (!ok()) return nullptr;
    napi_typedarray_type type;
    void* data = nullptr;
    bool is_array = false;
    napi_is_typedarray(env_, v, &is_array);
    if (!is_array || napi_get_typedarray_info(env_, v, &type, &count, &data, nullptr, nullptr) != napi_ok ||
        type != wanted) {
      fail(Status::wrong_type);
      count = 0;
      return nullptr;
    }
    // An empty array may have no memory; null means an argument that was left out.
    static double nothing;
    return data ? data : &nothing;
  }

  void* array(napi_typedarray_type wanted, double expected, bool nullable) {
    if (nullable && ok() && at_ < count_) {
      napi_valuetype type;
      if (napi_typeof(env_, values_[at_], &type) == napi_ok && (type == napi_undefined || type == napi_null)) {
        at_++;
        return nullptr;
      }
    }
    size_t count = 0;
    void* data = any_array(wanted, count);
    if (ok() && static_cast<double>(count) != expected) fail(Status::length_mismatch);
    return ok() ? data : nullptr;
  }

  napi_env env_;
  napi_value values_[kMax] = {};
  size_t count_ = kMax, at_ = 0, wrong_ = 0;
  Status status_ = Status::ok;
};

}  // namespace lamina
