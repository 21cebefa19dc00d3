// Times of tactics, kept between builds: a JSON file that several machines may share and people may read.
//
//   {"format": "cameo timing cache", "version": 1,
//    "machines": {"AMD EPYC 9555, avx512, 2 threads, Cameo 0.1.0": {"<problem>": {"<tactic>": 12.25, …}, …}, …}}
//
// A problem is a text: the operator, its attributes, and type, extents and constness of its inputs. Times are microseconds;
// a negative one says that the tactic failed its check there. What a file says about other machines is kept, not used.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cameo/error.h"

namespace cameo::builder {

class TimingCache {
 public:
  using Times = std::map<std::string, float, std::less<>>;  // by tactic

  // Reads the file; a file that is not there gives an empty cache. Errors: kIo, kInvalidArgument (damaged, another version).
  static Result<TimingCache> load(const std::string& path);
  // Writes what was loaded and added since.
  Status save(const std::string& path) const;

  // What is known of a problem on this machine; null when it is not there.
  const Times* find(const std::string& machine, const std::string& problem) const;
  // The fastest tactic of each problem that is known on this machine.
  std::map<std::string, std::string> fastest(const std::string& machine) const;
  // Microseconds are rounded to what the file holds, so that a build that measures and one that reads agree.
  void add(const std::string& machine, const std::string& problem, const std::string& tactic, float microseconds);
  bool changed() const { return changed_; }

 private:
  std::map<std::string, std::map<std::string, Times, std::less<>>, std::less<>> machines_;
  bool changed_ = false;
};

// Rounded to hundredths of a microsecond.
float round_time(double microseconds);

// The processor, the instruction set that kernels use, the number of threads, and the version: what times depend on.
std::string machine_name(int threads);

}  // namespace cameo::builder
