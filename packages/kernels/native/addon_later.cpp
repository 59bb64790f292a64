#include "addon_later.hpp"

#include <memory>

namespace lamina {
namespace {

struct Later {
  std::function<Status()> run;
  Status status = Status::ok;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  napi_ref kept = nullptr;
};

napi_value integer(napi_env env, Status status) {
  napi_value result = nullptr;
  napi_create_int32(env, static_cast<int32_t>(status), &result);
  return result;
}

void run(napi_env, void* data) {
  Later& later = *static_cast<Later*>(data);
  later.status = later.run();
}

// Where the environment ends first, as a worker's does, nobody waits any more.
void settle(napi_env env, napi_status ended, void* data) {
  const std::unique_ptr<Later> later(static_cast<Later*>(data));
  napi_delete_reference(env, later->kept);
  napi_delete_async_work(env, later->work);
  if (ended == napi_ok) napi_resolve_deferred(env, later->deferred, integer(env, later->status));
}

napi_ref keep(napi_env env, const napi_value* values, size_t count) {
  napi_value all = nullptr;
  napi_ref kept = nullptr;
  if (napi_create_array_with_length(env, count, &all) != napi_ok) return nullptr;
  for (size_t i = 0; i < count; i++) napi_set_element(env, all, static_cast<uint32_t>(i), values[i]);
  napi_create_reference(env, all, 1, &kept);
  return kept;
}

}  // namespace

napi_value later(napi_env env, const napi_value* kept, size_t count, std::function<Status()> work) {
  auto asked = std::make_unique<Later>();
  asked->run = std::move(work);
  napi_value promise = nullptr, name = nullptr;
  if (napi_create_promise(env, &asked->deferred, &promise) != napi_ok) return nullptr;
  napi_create_string_utf8(env, "lamina", NAPI_AUTO_LENGTH, &name);
  asked->kept = keep(env, kept, count);
  Later* const at = asked.get();
  if (!at->kept || napi_create_async_work(env, nullptr, name, run, settle, at, &at->work) != napi_ok ||
      napi_queue_async_work(env, at->work) != napi_ok) {
    napi_resolve_deferred(env, at->deferred, integer(env, Status::out_of_memory));
    return promise;
  }
  asked.release();
  return promise;
}

}  // namespace lamina
