#pragma once
#include <node_api.h>

#include <cstdint>
#include <functional>

namespace lamina {

// A promise of what `work` answers on a thread of Node's pool. The values (arrays and what holds them) stay alive until
// it settles; JavaScript must leave their memory alone so long.
napi_value later(napi_env env, const napi_value* kept, size_t count, std::function<int32_t()> work);

// From here on the threads that do such work give way, -> whether this system has that (Linux: SCHED_BATCH): one that is
// woken takes its turn instead of interrupting a thread that runs. Its share of the processors stays as it is.
napi_value pool_gives_way(napi_env env, napi_callback_info info);

}  // namespace lamina
