#pragma once
#include <node_api.h>

namespace lamina {

napi_value matrix_product(napi_env env, napi_callback_info info);
napi_value row_qr(napi_env env, napi_callback_info info);
napi_value row_apply_q(napi_env env, napi_callback_info info);
napi_value eigen(napi_env env, napi_callback_info info);
napi_value widen(napi_env env, napi_callback_info info);
napi_value narrow(napi_env env, napi_callback_info info);
napi_value transpose_f64(napi_env env, napi_callback_info info);
napi_value row_spread(napi_env env, napi_callback_info info);
napi_value add_matrix_product(napi_env env, napi_callback_info info);
napi_value add_factor_products(napi_env env, napi_callback_info info);
napi_value stack_factors(napi_env env, napi_callback_info info);
napi_value take(napi_env env, napi_callback_info info);
napi_value energies_of_products(napi_env env, napi_callback_info info);
napi_value find_beyond(napi_env env, napi_callback_info info);
napi_value copy(napi_env env, napi_callback_info info);

}  // namespace lamina
