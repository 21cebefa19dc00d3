// Threads that share the work of one kernel call.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <span>
#include <thread>
#include <type_traits>
#include <vector>

namespace cameo {

// A fixed set of workers, the caller among them. After work they spin for a moment, because the next kernel follows
// within microseconds, and then sleep: an idle pool costs nothing. One thread at a time may hand it work.
class ThreadPool {
 public:
  // `threads` counts the caller; 0 means one for each processor that this process may use. `cpus` pins worker i to the
  // processor cpus[i % size]; the caller (worker 0) is never pinned.
  explicit ThreadPool(int threads = 0, std::span<const int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(task, worker) for every task in [0, tasks), each once; `worker` < size() is the same for all calls on one
  // thread. Worker i begins with the i-th part of the tasks, in order, so that what one call leaves in its cache is there for
  // the next over the same rows; who is done takes from the others. Returns when all are done. What a call throws is thrown
  // here, once. Inside fn, the same call runs on the calling thread alone.
  template <class Fn>
  void parallel_for(int64_t tasks, Fn&& fn) {
    using F = std::remove_reference_t<Fn>;
    run(
        tasks, [](void* f, int64_t task, int worker) { (*static_cast<F*>(f))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using Function = void (*)(void* closure, int64_t task, int worker);
  void run(int64_t tasks, Function function, void* closure);
  void work(int worker, std::span<const int> cpus);
  void drain(int worker, uint32_t epoch);
  void drain_share(int worker, size_t share, uint32_t epoch);
  int64_t share_begin(size_t share) const { return tasks_ * static_cast<int64_t>(share) / static_cast<int64_t>(shares_.size()); }

  // A worker's part of the tasks: number of the job (high half), tasks of it that nobody has claimed (low).
  struct alignas(64) Share {
    std::atomic<uint64_t> open = 0;
  };

  // The job. Its fields may be read by who has claimed a task of it: it then lasts until that task is counted in done_.
  Function function_ = nullptr;
  void* closure_ = nullptr;
  int64_t tasks_ = 0;
  std::exception_ptr failure_;
  std::atomic<bool> failed_ = false;

  std::vector<Share> shares_;
  alignas(64) std::atomic<uint32_t> epoch_ = 0;  // number of the job
  alignas(64) std::atomic<int64_t> done_ = 0;
  alignas(64) std::atomic<uint32_t> signal_ = 0;  // changes with each job; sleepers wait for it
  std::atomic<int> sleepers_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace cameo
