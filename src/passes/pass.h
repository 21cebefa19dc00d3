// What a pass is, and how to write one.
//
// A pass is one file with a CAMEO_DEFINE_PASS and one line in passes.inc, which is also the order in which passes run.
// There are two forms:
//
//  - Rules. Each is a pattern written with operators (pattern.h) and a function
//        Rewrite rewrite(const Match& match, const GraphView& view)
//    that looks at what was matched and returns one of
//        Patch    nodes and constants to add and values to replace by others (patch.h),
//        NoMatch  this is something else,
//        Reject   this is what the rule is for, but something stands in the way; the reason ends up in the pass's report.
//    It never changes the graph. The driver walks the nodes in topological order, applies patches, and visits the new
//    nodes at once, so a chain collapses in one walk. Nodes that nothing reads any more disappear by themselves.
//    A patch is refused when what it would put in place has another type than the value that it replaces. New nodes name
//    the ONNX nodes of everything that was matched (Node::sources).
//
//  - A function over the whole graph, for what no pattern describes: Status run(PassContext&). It changes the graph through
//    the Editor (editor.h), which keeps producers, uses and facts right.
//
// What both may rely on: facts (view.fact(id)) hold what inference can prove of each value, with known values as constants,
// whether or not a node still computes them. Subgraphs are visited as graphs of their own; the values that they capture
// carry the facts they have outside, and their formal inputs only a type and a rank.
//
// What both must keep: results are the same, bit for bit, NaN payloads aside (a fusion may differ in rounding, and says so);
// the names of graph inputs and outputs; a run of the pass over its own result finds nothing.
//
// Passes that make operators of domain ai.cameo are late: they begin once the others find nothing more.
//
// The driver (driver.h) can disable, time, verify and log each pass.
#pragma once

#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "cameo/builder.h"
#include "passes/editor.h"
#include "passes/pattern.h"

namespace cameo::passes {

struct NoMatch {};
struct Reject {
  std::string reason;
};
using Rewrite = std::variant<NoMatch, Patch, Reject>;

struct Rule {
  Pattern pattern;
  Rewrite (*rewrite)(const Match&, const GraphView&);
};

struct PassOptions {
  std::vector<std::string> disabled;                  // names of passes
  bool verify = false;                                // after each pass: the graph's rules, and types inferred anew
  int64_t folding_budget_bytes = int64_t{256} << 20;  // constant folding stops after adding this much to the constants
  bool strongly_typed = false;                        // values that the model rounds to 8 bits are rounded, though nothing needs the bytes
  int max_rounds = 8;        // the passes are repeated until nothing changes, this often at most; then once more with the late ones
  Logger* logger = nullptr;  // what each pass did, as verbose messages
  std::function<Status()> check_cancelled = {};  // polled between passes and while constants are folded
};

// What the run of a whole-graph pass sees.
struct PassContext {
  Editor& editor;
  const PassOptions& options;
  int64_t& folding_budget_left;  // bytes
  PassReport& report;            // run() counts its changes and adds its notes here

  // Notes what was not done, and why; only so many are kept.
  void note(const ir::Node& node, std::string_view reason);
};

struct Pass {
  std::string_view name;
  std::string_view summary;  // for `cameo inspect --passes`
  // One of these.
  std::vector<Rule> (*rules)() = nullptr;
  Status (*run)(PassContext&) = nullptr;
  // Makes operators that the patterns of other passes do not know: it runs once those find nothing more.
  bool late = false;
};

// Opens the definition of a pass in its file: CAMEO_DEFINE_PASS(dead_code) = {.name = "dead_code", …};
#define CAMEO_DEFINE_PASS(pass)  \
  extern const Pass pass##_pass; \
  constexpr Pass pass##_pass

// In the order of passes.inc.
std::span<const Pass* const> all_passes();

}  // namespace cameo::passes
