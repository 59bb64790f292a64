#pragma once

namespace lamina {

// Fork-join over one process-wide pool that all JavaScript threads share. Work is handed out task by task, so a core
// that another process keeps busy delays one task, not the whole join. Which thread runs a task never changes a result:
// a task owns its outputs.

// Threads for calls from this thread, the caller included; 1 runs inline and takes no lock. Starts as the number of
// processors.
void set_threads(int count);
int threads();
int processors();

using TaskFn = void (*)(void* context, long task, int slot);

// Runs task 0..tasks-1; `slot` is in 0..threads()-1 and no two tasks with the same slot run at once.
void run_tasks(long tasks, TaskFn fn, void* context);

template <class F>
void parallel(long tasks, F&& body) {
  run_tasks(tasks, [](void* context, long task, int slot) { (*static_cast<F*>(context))(task, slot); }, &body);
}

}  // namespace lamina
