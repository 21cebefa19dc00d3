#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

namespace cameo {
namespace {

TEST(ThreadPool, EveryTaskOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t tasks : {0, 1, 2, 3, 7, 100, 1000}) {
      std::vector<std::atomic<int>> count(static_cast<size_t>(tasks));
      std::atomic<int> wrong_worker = 0;
      pool.parallel_for(tasks, [&](int64_t task, int worker) {
        ++count[static_cast<size_t>(task)];
        wrong_worker += worker < 0 || worker >= threads;
      });
      for (auto& c : count) EXPECT_EQ(c, 1);
      EXPECT_EQ(wrong_worker, 0);
    }
  }
}

TEST(ThreadPool, ManyShortJobs) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum = 0;
  for (int job = 0; job < 20000; ++job) pool.parallel_for(job % 5, [&](int64_t task, int) { sum += task + 1; });
  EXPECT_EQ(sum, 20000 / 5 * (0 + 1 + 3 + 6 + 10));
}

TEST(ThreadPool, SleepersWake) {
  ThreadPool pool(3);
  for (int job = 0; job < 5; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> count = 0;
    pool.parallel_for(30, [&](int64_t, int) { ++count; });
    EXPECT_EQ(count, 30);
  }
}

TEST(ThreadPool, NestedCallsRunInline) {
  ThreadPool pool(2);
  std::atomic<int> count = 0;
  pool.parallel_for(4, [&](int64_t, int) { pool.parallel_for(5, [&](int64_t, int) { ++count; }); });
  EXPECT_EQ(count, 20);
}

TEST(ThreadPool, ExceptionsReachTheCaller) {
  ThreadPool pool(2);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THROW(pool.parallel_for(8,
                                   [](int64_t task, int) {
                                     if (task % 3 == 1) throw std::bad_alloc();
                                   }),
                 std::bad_alloc);
    std::atomic<int> count = 0;
    pool.parallel_for(8, [&](int64_t, int) { ++count; });
    EXPECT_EQ(count, 8);
  }
}

TEST(ThreadPool, SeveralPools) {
  std::vector<std::thread> callers;
  std::atomic<int> count = 0;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      ThreadPool pool(2);
      for (int job = 0; job < 200; ++job) pool.parallel_for(6, [&](int64_t, int) { ++count; });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(count, 3 * 200 * 6);
}

TEST(ThreadPool, PinnedToProcessorsThatMayNotExist) {
  const int cpus[] = {0, 100000, -1};
  ThreadPool pool(3, cpus);
  std::atomic<int> count = 0;
  pool.parallel_for(9, [&](int64_t, int) { ++count; });
  EXPECT_EQ(count, 9);
}

}  // namespace
}  // namespace cameo
