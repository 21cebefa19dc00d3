#include "worker_pool.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <vector>

#include <fmt/core.h>

namespace cameo::conformance {
namespace {

using Clock = std::chrono::steady_clock;

bool write_all(int fd, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::send(fd, at, size, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool read_all(int fd, void* data, size_t size) {
  char* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::recv(fd, at, size, 0);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

struct Worker {
  pid_t pid = -1;
  int fd = -1;
  bool busy = false;
  size_t index = 0;
  Clock::time_point deadline;
};

class Pool {
 public:
  Pool(size_t count, const std::function<std::string(size_t)>& task, const std::function<void(size_t, std::string)>& done,
       const PoolOptions& options)
      : count_(count), task_(task), done_(done), options_(options), workers_(static_cast<size_t>(std::max(1, options.jobs))) {}

  void run() {
    for (;;) {
      for (Worker& worker : workers_)
        if (!worker.busy && next_ < count_) give(worker, next_++);
      if (std::none_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.busy; })) break;
      collect();
    }
    for (Worker& worker : workers_)
      if (worker.pid > 0) stop(worker);
  }

 private:
  void give(Worker& worker, size_t index) {
    if (worker.pid < 0 && !start(worker)) return done_(index, fmt::format("no child process: {}", std::strerror(errno)));
    worker.busy = true;
    worker.index = index;
    worker.deadline = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(options_.timeout_seconds * 1000));
    write_all(worker.fd, &index, sizeof index);  // a child that died shows when its answer is read
  }

  bool start(Worker& worker) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return false;
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (const Worker& other : workers_)
        if (other.fd >= 0) ::close(other.fd);
      ::close(fds[0]);
      serve(fds[1]);
    }
    ::close(fds[1]);
    if (pid < 0) {
      ::close(fds[0]);
      return false;
    }
    worker.pid = pid;
    worker.fd = fds[0];
    return true;
  }

  [[noreturn]] void serve(int fd) {
    size_t index = 0;
    while (read_all(fd, &index, sizeof index)) {
      const std::string text = task_(index);
      const uint64_t size = text.size();
      if (!write_all(fd, &size, sizeof size) || !write_all(fd, text.data(), text.size())) break;
    }
    ::_exit(0);
  }

  // Waits until a worker answers, dies or is out of time.
  void collect() {
    std::vector<pollfd> polled;
    std::vector<Worker*> owners;
    auto deadline = Clock::time_point::max();
    for (Worker& worker : workers_) {
      if (!worker.busy) continue;
      polled.push_back({worker.fd, POLLIN, 0});
      owners.push_back(&worker);
      deadline = std::min(deadline, worker.deadline);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    ::poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(left, 0) + 1));
    for (size_t i = 0; i < polled.size(); ++i) {
      Worker& worker = *owners[i];
      if (polled[i].revents != 0) {
        receive(worker);
      } else if (Clock::now() >= worker.deadline) {
        stop(worker);
        done_(worker.index, fmt::format("no result after {:g} s", options_.timeout_seconds));
      }
    }
  }

  void receive(Worker& worker) {
    uint64_t size = 0;
    std::string text;
    bool ok = read_all(worker.fd, &size, sizeof size);
    if (ok) {
      text.resize(size);
      ok = read_all(worker.fd, text.data(), size);
    }
    if (ok)
      worker.busy = false;
    else
      text = stop(worker);
    done_(worker.index, std::move(text));
  }

  // Ends the child; says how it ended.
  std::string stop(Worker& worker) {
    ::close(worker.fd);  // an idle child ends by itself, a busy one is killed
    if (worker.busy && Clock::now() >= worker.deadline) ::kill(worker.pid, SIGKILL);
    int status = 0;
    ::waitpid(worker.pid, &status, 0);
    worker.pid = worker.fd = -1;
    worker.busy = false;
    if (WIFSIGNALED(status)) return fmt::format("killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
    return fmt::format("the process ended with exit code {}", WEXITSTATUS(status));
  }

  const size_t count_;
  const std::function<std::string(size_t)>& task_;
  const std::function<void(size_t, std::string)>& done_;
  const PoolOptions options_;
  std::vector<Worker> workers_;
  size_t next_ = 0;
};

}  // namespace

void run_in_children(size_t count, const std::function<std::string(size_t)>& task,
                     const std::function<void(size_t index, std::string text)>& done, const PoolOptions& options) {
  Pool(count, task, done, options).run();
}

}  // namespace cameo::conformance
