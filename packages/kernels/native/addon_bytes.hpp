#pragma once
#include <node_api.h>

namespace lamina {

napi_value blake2b(napi_env env, napi_callback_info info);
napi_value blake2b_of_leaves(napi_env env, napi_callback_info info);
napi_value blake2b_of_leaves_later(napi_env env, napi_callback_info info);
napi_value blake2b_start(napi_env env, napi_callback_info info);
napi_value blake2b_update(napi_env env, napi_callback_info info);
napi_value blake2b_finish(napi_env env, napi_callback_info info);
napi_value has_segments(napi_env env, napi_callback_info info);
napi_value seal(napi_env env, napi_callback_info info);
napi_value seal_later(napi_env env, napi_callback_info info);
napi_value open(napi_env env, napi_callback_info info);
napi_value open_later(napi_env env, napi_callback_info info);

}  // namespace lamina
