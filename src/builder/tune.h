// Chooses the tactic of every node by measuring.
#pragma once

#include "builder/timing_cache.h"
#include "cameo/builder.h"
#include "cameo/profile.h"
#include "ir/graph.h"

namespace cameo::builder {

// Gives every node its tactic (Node::kernel, packed, trials), and elides constants that are then only read in packed form.
//
// Level 0 takes the first tactic that supports the node. From level 1 on, each tactic that supports it is compared with the
// reference implementation on random inputs of the extents that the profiles have at opt (without profiles: 1 for the
// first extent of an input, 64 for up to three others that are open), then timed, and the fastest is kept; of several profiles, the one
// with the least time relative to the best of each. Level 1 and 2 skip nodes with one candidate; from level 3 on it is checked, and the
// reference is timed as well (in its first run where that takes more than 20 ms); levels 4 and 5 measure longer, level 5 also at min and
// max. Nodes that pose the same problem are measured once.
//
// A graph whose constants are larger than a processor's cache reads them from memory in each run: then they are taken out of
// the cache before each run of a tactic.
//
// Errors: kInvalidArgument (with error_on_miss, a problem that the cache does not hold), kCancelled by `progress`.
struct TuneOptions {
  int level = 3;
  int threads = 0;
  double budget_seconds = 0;  // 0: none. When it is spent, the rest takes the first tactic
  bool error_on_miss = false;
  Logger* logger = nullptr;
  std::function<Status(const std::string& what, double done)> progress;  // done: 0…1
};
Status choose_tactics(ir::Graph& graph, const std::vector<Profile>& profiles, const TuneOptions& options, TimingCache& cache);

}  // namespace cameo::builder
