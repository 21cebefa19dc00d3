#include "backends/cuda/tuning.h"

#include <utility>

namespace cameo::cuda {

thread_local Tuning* Tuning::current_ = nullptr;

void Tuning::chose(const std::string& problem, int choice) {
  const std::lock_guard lock(mutex_);
  chosen_[problem] = choice;
}

void Tuning::missed(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  if (missed_.empty()) missed_ = problem;
}

Status Tuning::take_missed() {
  const std::lock_guard lock(mutex_);
  if (missed_.empty()) return {};
  return error(ErrorCode::kInvalidArgument, "the timing cache does not hold '{}', and nothing may be measured", std::exchange(missed_, ""));
}

std::map<std::string, int> Tuning::chosen() const {
  const std::lock_guard lock(mutex_);
  return chosen_;
}

}  // namespace cameo::cuda
