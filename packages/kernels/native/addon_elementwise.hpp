#pragma once
#include <node_api.h>

// Row-wise and element-wise ops of the addon; signatures in src/native/addon.ts.
namespace lamina {

napi_value rms_norm(napi_env env, napi_callback_info info);
napi_value rms_norm_grad(napi_env env, napi_callback_info info);
napi_value layer_norm(napi_env env, napi_callback_info info);
napi_value layer_norm_grad(napi_env env, napi_callback_info info);
napi_value rope(napi_env env, napi_callback_info info);
napi_value swiglu(napi_env env, napi_callback_info info);
napi_value swiglu_grad(napi_env env, napi_callback_info info);
napi_value swiglu_keep(napi_env env, napi_callback_info info);
napi_value swiglu_of_kept(napi_env env, napi_callback_info info);
napi_value swiglu_grad_of_kept(napi_env env, napi_callback_info info);
napi_value halve(napi_env env, napi_callback_info info);
napi_value unhalve(napi_env env, napi_callback_info info);
napi_value gelu(napi_env env, napi_callback_info info);
napi_value gelu_grad(napi_env env, napi_callback_info info);
napi_value add(napi_env env, napi_callback_info info);
napi_value embedding(napi_env env, napi_callback_info info);
napi_value adamw(napi_env env, napi_callback_info info);

}  // namespace lamina
