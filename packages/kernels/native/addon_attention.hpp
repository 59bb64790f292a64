#pragma once
#include <node_api.h>

namespace lamina {

napi_value attention(napi_env env, napi_callback_info info);
napi_value attention_grad(napi_env env, napi_callback_info info);
napi_value attention_of_cache(napi_env env, napi_callback_info info);

}  // namespace lamina
