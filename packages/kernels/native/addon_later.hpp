#pragma once
#include <node_api.h>

#include <functional>

#include "status.hpp"

namespace lamina {

// A promise of what `answer` of Arguments would be, from a thread of Node's pool. The values (arrays and what holds
// them) stay alive until it settles; JavaScript must leave their memory alone so long.
napi_value later(napi_env env, const napi_value* kept, size_t count, std::function<Status()> work);

}  // namespace lamina
