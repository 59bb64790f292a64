#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace lamina {
namespace {

// About 20 us of waiting before a thread sleeps: the gap between two parallel regions of one training step.
constexpr int kSpins = 400;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  TaskFn fn;
  void* context;
  long tasks;
  int seats;          // helpers that may still join, guarded by the pool's lock
  int next_slot = 1;  // guarded by the pool's lock; the caller is slot 0
  std::atomic<long> next{0};
  std::atomic<int> helpers{0};  // inside this job now

  void work(int slot) {
    for (long i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) fn(context, i, slot);
  }
};

// The helpers' code must outlive the worker thread that loaded the addon first.
void pin_this_library() {
#if defined(_WIN32)
  HMODULE self;
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCSTR>(&pin_this_library), &self);
#else
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&pin_this_library), &info) && info.dli_fname)
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
#endif
}

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      while (started_ < job.seats && start_helper()) {
      }
      jobs_.push_back(&job);
      posted_.fetch_add(1, std::memory_order_release);
    }
    const int sleeping = sleeping_.load(std::memory_order_seq_cst);
    for (int i = 0; i < job.seats && i < sleeping; i++) wake_.notify_one();
    job.work(0);
    {
      std::lock_guard lock(mutex_);
      for (size_t i = 0; i < jobs_.size(); i++)
        if (jobs_[i] == &job) {
          jobs_.erase(jobs_.begin() + static_cast<long>(i));
          break;
        }
    }
    for (int spin = 0; job.helpers.load(std::memory_order_acquire) > 0; spin++) {
      if (spin < kSpins) relax();
      else {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return job.helpers.load(std::memory_order_acquire) == 0; });
      }
    }
  }

 private:
  // false where the system gives no more threads: the caller then does their share.
  bool start_helper() {
    if (started_ == 0) pin_this_library();
    try {
      std::thread([this] { help(); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    started_++;
    return true;
  }

  // The first job with a free seat and tasks left; the seat is taken.
  Job* take(int& slot) {
    for (Job* job : jobs_)
      if (job->seats > 0 && job->next.load(std::memory_order_relaxed) < job->tasks) {
        job->seats--;
        slot = job->next_slot++;
        job->helpers.fetch_add(1, std::memory_order_relaxed);
        return job;
      }
    return nullptr;
  }

  void help() {
    unsigned seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && posted_.load(std::memory_order_acquire) == seen; spin++) relax();
      std::unique_lock lock(mutex_);
      Job* job;
      int slot = 0;
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return (job = take(slot)) != nullptr; });
      sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      seen = posted_.load(std::memory_order_relaxed);
      lock.unlock();
      job->work(slot);
      lock.lock();
      if (job->helpers.fetch_sub(1, std::memory_order_acq_rel) == 1) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Job*> jobs_;
  std::atomic<unsigned> posted_{0};
  std::atomic<int> sleeping_{0};
  int started_ = 0;
};

Pool& pool() {
  static Pool* const shared = new Pool;  // never destroyed: helpers run until the process ends
  return *shared;
}

thread_local int thread_count = 0;

}  // namespace

int processors() {
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

void set_threads(int count) { thread_count = count < 1 ? 1 : count > 1024 ? 1024 : count; }

int threads() {
  if (thread_count == 0) thread_count = processors();
  return thread_count;
}

void run_tasks(long tasks, TaskFn fn, void* context) {
  const long helpers = threads() - 1 < tasks - 1 ? threads() - 1 : tasks - 1;
  if (helpers <= 0) {
    for (long i = 0; i < tasks; i++) fn(context, i, 0);
    return;
  }
  Job job{fn, context, tasks, static_cast<int>(helpers)};
  pool().run(job);
}

}  // namespace lamina
