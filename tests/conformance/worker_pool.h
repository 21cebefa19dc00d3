// Runs tasks in child processes, so that a crash or an endless loop costs one task and not the rest.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace cameo::conformance {

struct PoolOptions {
  int jobs = 1;
  double timeout_seconds = 60;  // per task
};

// Calls task(i) for i in [0, count) in forked children, and done(i, text) in this process with what task returned or with
// what became of the child ("killed by signal 11 (Segmentation fault)"), in the order of completion.
void run_in_children(size_t count, const std::function<std::string(size_t)>& task,
                     const std::function<void(size_t index, std::string text)>& done, const PoolOptions& options);

}  // namespace cameo::conformance
