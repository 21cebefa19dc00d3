#include "base/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace cameo {
namespace {

constexpr int64_t kMaxTasks = UINT32_MAX;
// About 100 µs: longer than the pause between two kernels, shorter than what a user would notice as load.
constexpr int kSpins = 4000;

thread_local bool inside_task = false;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads, std::span<const int> cpus) {
  if (threads <= 0) threads = usable_processors();
  shares_ = std::vector<Share>(static_cast<size_t>(threads));
  try {
    for (int i = 1; i < threads; ++i)
      workers_.emplace_back([this, i, list = std::vector<int>(cpus.begin(), cpus.end())] { work(i, list); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  signal_.fetch_add(1);
  signal_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t tasks, Function function, void* closure) {
  if (tasks <= 0) return;
  if (tasks == 1 || workers_.empty() || inside_task || tasks > kMaxTasks) {
    for (int64_t task = 0; task < tasks; ++task) function(closure, task, 0);
    return;
  }
  function_ = function;
  closure_ = closure;
  tasks_ = tasks;
  done_.store(0, std::memory_order_relaxed);
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  for (size_t i = 0; i < shares_.size(); ++i)
    shares_[i].open.store(uint64_t{epoch} << 32 | static_cast<uint64_t>(share_begin(i + 1) - share_begin(i)), std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  signal_.fetch_add(1);
  if (sleepers_.load() > 0) signal_.notify_all();
  drain(0, epoch);
  while (done_.load(std::memory_order_acquire) < tasks) pause();
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

// Does tasks of that job until none is left, those of its own share first.
void ThreadPool::drain(int worker, uint32_t epoch) {
  inside_task = true;
  for (size_t i = 0; i < shares_.size(); ++i) drain_share(worker, (static_cast<size_t>(worker) + i) % shares_.size(), epoch);
  inside_task = false;
}

void ThreadPool::drain_share(int worker, size_t share, uint32_t epoch) {
  std::atomic<uint64_t>& left = shares_[share].open;
  uint64_t open = left.load(std::memory_order_acquire);
  while (open >> 32 == epoch && (open & UINT32_MAX) != 0) {
    if (!left.compare_exchange_weak(open, open - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    const int64_t task = share_begin(share + 1) - static_cast<int64_t>(open & UINT32_MAX);
    try {
      function_(closure_, task, worker);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
    done_.fetch_add(1, std::memory_order_release);
    open = left.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int worker, std::span<const int> cpus) {
#if defined(__linux__)
  if (!cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int cpu = cpus[static_cast<size_t>(worker) % cpus.size()];
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // a processor that is not there: the thread stays free
  }
#endif
  uint32_t seen = 0;
  for (;;) {
    uint32_t signal = signal_.load(std::memory_order_acquire);
    for (int spin = 0; signal == seen && spin < kSpins; ++spin) {
      pause();
      signal = signal_.load(std::memory_order_acquire);
    }
    if (signal == seen) {
      sleepers_.fetch_add(1);
      signal_.wait(seen);
      sleepers_.fetch_sub(1);
      continue;
    }
    seen = signal;
    if (stop_.load()) return;
    drain(worker, epoch_.load(std::memory_order_acquire));
  }
}

}  // namespace cameo
