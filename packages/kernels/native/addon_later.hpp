#pragma once
#include <node_api.h>

#include <cstdint>
#include <functional>

namespace lamina {

// A promise of what `work` answers on a thread of Node's pool. The values (arrays and what holds them) stay alive until
// it settles; JavaScript must leave their memory alone so long.
napi_value later(napi_env env, const napi_value* kept, size_t count, std::function<int32_t()> work);

}  // namespace lamina
