// How much may be measured to choose among ways to compute the same, and what was chosen: one for each model.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "base/error.h"

namespace cameo::cuda {

class Tuning {
 public:
  Tuning(int level, bool deterministic, bool error_on_miss) : level_(level), deterministic_(deterministic), error_on_miss_(error_on_miss) {}

  // While it lives, this thread's choices are made for that model.
  class Scope {
   public:
    explicit Scope(Tuning& tuning) : before_(current_) { current_ = &tuning; }
    ~Scope() { current_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Tuning* before_;
  };
  // Null outside of any scope: then level 3 holds.
  static Tuning* current() { return current_; }

  // The same bits in every run and process: nothing that was measured decides, and nothing is left to the order of threads.
  bool deterministic() const { return deterministic_; }
  bool measures() const { return level_ > 0 && !deterministic_; }
  bool error_on_miss() const { return error_on_miss_; }
  // Of `all` candidates in the order in which a heuristic has them, how many are tried.
  int candidates(int all) const { return level_ >= 3 ? all : std::min(all, 2 * level_); }
  int rounds() const { return level_ >= 5 ? 12 : level_ == 4 ? 6 : 3; }

  void chose(const std::string& problem, int choice);
  void missed(const std::string& problem);
  // An error when something was missed that had to be known.
  Status take_missed();
  std::map<std::string, int> chosen() const;

 private:
  static thread_local Tuning* current_;
  const int level_;
  const bool deterministic_, error_on_miss_;
  mutable std::mutex mutex_;
  std::map<std::string, int> chosen_;
  std::string missed_;
};

}  // namespace cameo::cuda
