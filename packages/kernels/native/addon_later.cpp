#include "addon_later.hpp"

#include <atomic>
#include <memory>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "status.hpp"

namespace lamina {
namespace {

std::atomic<bool> gives_way{false};

// Of the thread that calls, once. musl has the system call, and no function that works on a thread.
void give_way() {
#if defined(__linux__)
  thread_local bool done = false;
  if (done || !gives_way) return;
  const int no_priority = 0;
  syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &no_priority);
  done = true;
#endif
}

struct Later {
  napi_env env;
  std::function<int32_t()> run;
  int32_t answer = static_cast<int32_t>(Status::out_of_memory);
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  napi_ref kept = nullptr;

  ~Later() {
    if (kept) napi_delete_reference(env, kept);
    if (work) napi_delete_async_work(env, work);
  }

  void settle() {
    napi_value result = nullptr;
    napi_create_int32(env, answer, &result);
    napi_resolve_deferred(env, deferred, result);
  }
};

void run(napi_env, void* data) {
  give_way();
  Later& later = *static_cast<Later*>(data);
  later.answer = later.run();
}

// Where the environment ends first, as a worker's does, nobody waits any more.
void done(napi_env, napi_status ended, void* data) {
  const std::unique_ptr<Later> later(static_cast<Later*>(data));
  if (ended == napi_ok) later->settle();
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

napi_value later(napi_env env, const napi_value* kept, size_t count, std::function<int32_t()> work) {
  auto asked = std::make_unique<Later>(Later{env, std::move(work)});
  napi_value promise = nullptr, name = nullptr;
  if (napi_create_promise(env, &asked->deferred, &promise) != napi_ok) return nullptr;
  napi_create_string_utf8(env, "lamina", NAPI_AUTO_LENGTH, &name);
  asked->kept = keep(env, kept, count);
  if (asked->kept && napi_create_async_work(env, nullptr, name, run, done, asked.get(), &asked->work) == napi_ok &&
      napi_queue_async_work(env, asked->work) == napi_ok)
    asked.release();
  else
    asked->settle();
  return promise;
}

napi_value pool_gives_way(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
#if defined(__linux__)
  gives_way = true;
#endif
  napi_get_boolean(env, gives_way, &result);
  return result;
}

}  // namespace lamina
