#include "builder/tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "base/error.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::builder {
namespace {

using Clock = std::chrono::steady_clock;
using tactics::Tactic;

constexpr int64_t kOpenExtent = 64;             // where no profile says more
constexpr size_t kOpenDims = 3;                 // so many open extents of an input have it; more are 1
constexpr size_t kMostBytes = size_t{1} << 30;  // of a node's inputs and outputs: a larger problem is not tried
constexpr double kSlow = 1e6;                   // µs: a tactic slower than that is run once
constexpr double kSlowReference = 2e4;          // likewise, where the check alone matters
constexpr size_t kCachedBytes = 32 << 20;       // of all constants: more come from memory in each run of the graph
constexpr const char* kReference = "reference";

// What is known of every value when the inputs have these extents.
struct Point {
  std::vector<ops::Fact> facts;
};

// How long to measure one tactic.
struct Effort {
  double microseconds;
  int most;
  int least = 1;  // runs after the first, even of a slow tactic: one alone may have been disturbed
  double slow = kSlow;
};
Effort effort_of(int level) {
  if (level <= 2) return {2000, 5, 2};
  if (level == 3) return {6000, 12, 3};
  if (level == 4) return {20000, 30, 5};
  return {60000, 60, 8};
}

// The extents that each input has: one set per profile and, at level 5, for min and max too.
std::vector<std::vector<Dims>> input_shapes(const ir::Graph& graph, const std::vector<Profile>& profiles, int level) {
  std::vector<std::vector<Dims>> sets;
  const auto with = [&](auto pick) {
    std::vector<Dims> dims;
    for (ir::ValueId id : graph.inputs) {
      const ir::Value& v = graph.value(id);
      dims.emplace_back();
      size_t open = 0;
      if (!v.type.is_tensor() || !v.type.shape) continue;
      for (size_t d = 0; d < v.type.shape->size(); ++d) {
        const ir::Dim& dim = (*v.type.shape)[d];
        dims.back().push_back(dim.is_const() ? dim.value() : pick(v.name, d, open++));
      }
    }
    sets.push_back(std::move(dims));
  };
  if (profiles.empty()) with([](const std::string&, size_t d, size_t open) { return d == 0 || open >= kOpenDims ? 1 : kOpenExtent; });
  for (const Profile& profile : profiles)
    for (Dims InputRange::*which : {&InputRange::opt, &InputRange::min, &InputRange::max}) {
      if (which != &InputRange::opt && level < 5) continue;
      with([&](const std::string& name, size_t d, size_t) -> int64_t {
        for (const InputRange& r : profile.inputs)
          if (r.name == name && d < (r.*which).rank()) return (r.*which)[d];
        return 1;
      });
    }
  return sets;
}

// Without profiles extents that belong together (past + new) are not known to do so: then all that are open are 1.
std::vector<Point> points(const ir::Graph& graph, const std::vector<Profile>& profiles, int level) {
  std::vector<Point> list;
  for (const auto& dims : input_shapes(graph, profiles, level)) {
    std::vector<ops::Fact> inputs;
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      const ir::Type& type = graph.value(graph.inputs[i]).type;
      inputs.push_back(ops::Fact::of(type.is_tensor() && type.shape ? ir::Type::tensor(type.dtype, ir::to_shape(dims[i])) : type));
    }
    auto facts = ops::infer_graph(graph, inputs);
    if (facts.ok()) list.push_back({std::move(facts).value()});
  }
  return list;
}

// Whether the types of all its inputs and outputs are known, and not too large to try.
bool is_settled(const ir::Node& node, const std::vector<ops::Fact>& facts) {
  if (!node.subgraphs.empty()) return false;
  size_t bytes = 0;
  const auto fits = [&](ir::ValueId id) {
    if (id == ir::kNoValue) return true;
    const ir::Type& type = facts[id].type;
    if (!type.is_concrete() || type.dtype == DType::kString) return false;
    const auto count = ir::to_dims(*type.shape)->checked_num_elements();
    size_t own = 0;
    return count.ok() && !__builtin_mul_overflow(static_cast<size_t>(*count), dtype_size(type.dtype), &own) && own <= kMostBytes &&
           (bytes += own) <= kMostBytes;
  };
  return std::all_of(node.inputs.begin(), node.inputs.end(), fits) && std::all_of(node.outputs.begin(), node.outputs.end(), fits);
}

bool constants_exceed_cache(const ir::Graph& graph) {
  size_t bytes = 0;
  std::set<const void*> seen;  // several values may view the same bytes
  for (const ir::Node& node : graph.nodes)
    for (ir::ValueId id : node.inputs)
      if (id != ir::kNoValue && graph.value(id).is_constant() && seen.insert(graph.value(id).constant.raw()).second)
        bytes += graph.value(id).constant.num_bytes();
  return bytes > kCachedBytes;
}

// Takes what a node reads of its constants out of the caches.
void flush(const Tensor& tensor) {
#if defined(__x86_64__)
  if (tensor.dtype() == DType::kString) return;
  constexpr size_t kLine = 64;
  const auto* bytes = static_cast<const std::byte*>(tensor.raw());
  for (size_t i = 0; i < tensor.num_bytes(); i += kLine) __builtin_ia32_clflush(bytes + i);
#else
  (void)tensor;
#endif
}

std::string problem_text(const ir::Graph& graph, const ir::Node& node, const std::vector<ops::Fact>& facts, bool cold) {
  std::string text = fmt::format("{}{}{}-{}(", node.op->domain, node.op->domain.empty() ? "" : ".", node.op->name, node.version);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (i > 0) text += ", ";
    if (node.inputs[i] == ir::kNoValue) continue;
    text += facts[node.inputs[i]].type.to_string();
    if (graph.value(node.inputs[i]).is_constant()) text += cold ? " constant, cold" : " constant";
  }
  text += fmt::format(") {} outputs", node.outputs.size());
  if (const std::string attrs = ir::to_string(*node.attrs); !attrs.empty())
    text += attrs.size() < 200 ? " {" + attrs + "}" : fmt::format(" {{{:016x}}}", ir::hash(*node.attrs));
  return text;
}

void fill_random(Tensor& tensor, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  const int64_t n = tensor.num_elements();
  if (tensor.dtype() == DType::kFloat32)
    for (int64_t i = 0; i < n; ++i) tensor.data<float>()[i] = static_cast<float>(random()) * (2.f / 2147483647.f) - 1.f;
  else if (tensor.dtype() == DType::kUint8 || tensor.dtype() == DType::kInt8)
    for (int64_t i = 0; i < n; ++i) tensor.data<uint8_t>()[i] = static_cast<uint8_t>(random() >> 8);
  else
    std::memset(tensor.raw(), 0, tensor.num_bytes());
}

// A node alone, with inputs to run it on.
class Trial {
 public:
  // Cold: constants are not in the cache when a run begins.
  static Result<Trial> make(const ir::Graph& graph, const ir::Node& node, const std::vector<ops::Fact>& facts, bool cold) {
    Trial t;
    t.cold_ = cold;
    t.node_ = node;
    std::map<ir::ValueId, ir::ValueId> ids;
    for (ir::ValueId& id : t.node_.inputs) {
      if (id == ir::kNoValue) continue;
      auto [it, fresh] = ids.emplace(id, 0);
      const ir::Value& v = graph.value(id);
      if (fresh && v.is_constant()) {
        it->second = t.graph_.add_constant(v.name, v.constant);
      } else if (fresh && facts[id].constant.defined()) {
        it->second = t.graph_.add_constant(v.name, facts[id].constant);
      } else if (fresh) {
        it->second = t.graph_.add_value(v.name, facts[id].type);
        t.graph_.inputs.push_back(it->second);
        CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(facts[id].type.dtype, *ir::to_dims(*facts[id].type.shape)));
        fill_random(tensor, static_cast<uint32_t>(t.inputs_.size()));
        t.inputs_.push_back(ops::RtValue::of(std::move(tensor)));
      }
      id = it->second;
    }
    for (ir::ValueId& id : t.node_.outputs) {
      if (id == ir::kNoValue) continue;
      id = t.graph_.add_value(graph.value(id).name, facts[id].type);
      t.graph_.outputs.push_back(id);
    }
    return t;
  }

  // The outputs, and the least time of a run in microseconds. `packed` are the node's constants for the tactic.
  struct Outcome {
    double microseconds = 0;
    std::vector<Tensor> outputs;
  };
  Result<Outcome> run(const ir::Node& prepared, int threads, const Effort& effort) {
    ir::Graph graph = graph_;
    ir::Node node = node_;
    node.kernel = prepared.kernel;
    node.packed = prepared.packed;
    graph.nodes.push_back(std::move(node));
    runtime::ExecutionState state(default_allocator(), threads);
    runtime::Executor executor(graph, state);
    std::vector<ops::RtValue> outputs(graph.outputs.size());
    Outcome outcome;
    double spent = 0;
    const auto make_cold = [&] {
      if (!cold_) return;
      for (const Tensor& tensor : prepared.packed) flush(tensor);
      for (ir::ValueId id : node_.inputs)
        if (id != ir::kNoValue && graph.value(id).is_constant()) flush(graph.value(id).constant);
    };
    const auto microseconds_since = [](Clock::time_point start) {
      return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    };
    for (int i = 0; i <= effort.most && (i <= effort.least || spent < effort.microseconds); ++i) {
      make_cold();
      spread_inputs(state.threads);
      const auto start = Clock::now();
      CAMEO_TRY(executor.run(inputs_, {}, outputs));
      const double time = microseconds_since(start);
      spent += time;
      // The first run also makes memory; of a slow one, one run must do.
      outcome.microseconds = i <= 1 ? time : std::min(outcome.microseconds, time);
      if (i == 0 && time > effort.slow) break;
    }
    for (const ops::RtValue& v : outputs) {
      CAMEO_ASSIGN(Tensor copy, v.tensor.clone());
      outcome.outputs.push_back(std::move(copy));
    }
    return outcome;
  }

 private:
  // Each thread writes its part of every input, as it would have in the nodes before: the others must fetch what they read of it.
  void spread_inputs(ThreadPool& threads) {
    if (threads.size() == 1) return;
    constexpr size_t kLine = 64;
    threads.parallel_for(threads.size(), [&](int64_t part, int) {
      const auto share = [&](size_t bytes, int64_t i) { return bytes * static_cast<size_t>(i) / static_cast<size_t>(threads.size()); };
      for (const ops::RtValue& input : inputs_) {
        auto* bytes = static_cast<volatile uint8_t*>(input.tensor.raw());
        const size_t count = input.tensor.dtype() == DType::kString ? 0 : input.tensor.num_bytes();
        for (size_t i = share(count, part); i < share(count, part + 1); i += kLine) bytes[i] = bytes[i];
      }
    });
  }

  ir::Graph graph_;
  ir::Node node_;
  std::vector<ops::RtValue> inputs_;
  bool cold_ = false;
};

// How far `got` is from `want`, relative to the largest value; 0 for equal elements of other types, infinity for different ones.
double difference(const Tensor& got, const Tensor& want) {
  if (got.dtype() != want.dtype() || !(got.dims() == want.dims())) return INFINITY;
  if (got.dtype() == DType::kUint8 || got.dtype() == DType::kInt8) {
    // A value halfway between two integers may be rounded to either.
    for (size_t i = 0; i < got.num_bytes(); ++i) {
      const int step =
          got.dtype() == DType::kUint8 ? got.data<uint8_t>()[i] - want.data<uint8_t>()[i] : got.data<int8_t>()[i] - want.data<int8_t>()[i];
      if (std::abs(step) > 1) return INFINITY;
    }
    return 0;
  }
  if (got.dtype() != DType::kFloat32) return std::memcmp(got.raw(), want.raw(), got.num_bytes()) == 0 ? 0 : INFINITY;
  double largest = 0, worst = 0;
  const float *a = got.data<float>(), *b = want.data<float>();
  for (int64_t i = 0; i < got.num_elements(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return INFINITY;
    if (std::isnan(a[i]) || a[i] == b[i]) continue;
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - b[i]));
    if (std::isfinite(b[i])) largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return worst == 0 ? 0 : worst / std::max(largest, 1e-30);
}

class Tuner {
 public:
  Tuner(ir::Graph& graph, const std::vector<Profile>& profiles, const TuneOptions& options, TimingCache& cache)
      : graph_(graph), options_(options), cache_(cache), machine_(machine_name(options.threads)), start_(Clock::now()) {
    if (options.level > 0) points_ = points(graph, profiles, options.level);
    cold_ = constants_exceed_cache(graph);
  }

  Status run() {
    std::vector<ops::Fact> inputs;
    for (ir::ValueId id : graph_.inputs) inputs.push_back(ops::Fact::of(graph_.value(id).type));
    CAMEO_ASSIGN(facts_, ops::infer_graph(graph_, inputs, {.fold_elements = 0}));
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (options_.progress)
        CAMEO_TRY(options_.progress(fmt::format("tune {} ({} of {})", graph_.nodes[i].op->name, i + 1, graph_.nodes.size()),
                                    static_cast<double>(i) / static_cast<double>(graph_.nodes.size())));
      if (auto status = choose(graph_.nodes[i]); !status.ok()) return std::move(status).error().in(graph_.nodes[i].describe());
    }
    tactics::elide_packed_constants(graph_);
    return {};
  }

 private:
  // The tactics that support the node, in order of preference; the reasons of the others are noted.
  static std::vector<const Tactic*> candidates_of(ir::Node& node, const std::vector<ops::Fact>& facts) {
    node.trials.clear();
    std::vector<const Tactic*> candidates;
    for (const Tactic* tactic : tactics::all_tactics()) {
      if (!tactic->is_for(*node.op)) continue;
      const Status supported = tactic->supports(node, facts);
      if (supported.ok())
        candidates.push_back(tactic);
      else
        node.trials.push_back({std::string(tactic->name), -1, supported.error().message()});
    }
    return candidates;
  }

  static Status take_first(ir::Node& node, const std::vector<const Tactic*>& candidates, const std::vector<ops::Fact>& facts,
                           std::string_view why) {
    if (candidates.empty()) return tactics::assign_tactic(node, nullptr, facts);
    node.trials.insert(node.trials.begin(), {std::string(candidates[0]->name), -1, fmt::format("chosen, not timed: {}", why)});
    return tactics::assign_tactic(node, candidates[0], facts);
  }

  // Subgraphs run when values are there that only the run knows, so nothing in them is timed.
  static Status choose_in_subgraphs(ir::Node& node, const std::vector<ops::Fact>& outer) {
    for (ir::Subgraph& subgraph : node.subgraphs) {
      ir::Graph& graph = *subgraph.graph;
      std::vector<ops::Fact> inputs;
      for (size_t i = 0; i < graph.inputs.size(); ++i) {
        const size_t formal = subgraph.num_formal_inputs();
        inputs.push_back(i < formal ? ops::Fact::of(graph.value(graph.inputs[i]).type) : outer[subgraph.captures[i - formal]]);
      }
      CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs, {.fold_elements = 0}));
      for (ir::Node& inner : graph.nodes) {
        CAMEO_TRY(choose_in_subgraphs(inner, facts));
        CAMEO_TRY(take_first(inner, candidates_of(inner, facts), facts, "it is in a subgraph"));
      }
      tactics::elide_packed_constants(graph);
    }
    return {};
  }

  Status choose(ir::Node& node) {
    CAMEO_TRY(choose_in_subgraphs(node, facts_));
    const std::vector<const Tactic*> candidates = candidates_of(node, facts_);
    if (candidates.empty()) return tactics::assign_tactic(node, nullptr, facts_);
    const bool alone = candidates.size() == 1 && options_.level < 3;
    const bool spent =
        options_.budget_seconds > 0 && std::chrono::duration<double>(Clock::now() - start_).count() > options_.budget_seconds;
    const bool settled =
        !points_.empty() && std::all_of(points_.begin(), points_.end(), [&](const Point& p) { return is_settled(node, p.facts); });
    if (options_.level == 0 || alone || spent || !settled) {
      return take_first(node, candidates, facts_,
                        options_.level == 0 ? "level 0 measures nothing"
                        : alone             ? "the only candidate"
                        : spent             ? "the time for tuning was spent"
                                            : "its extents are not known before the run, or very large");
    }
    Status measured = measure(node, candidates);
    // Extents that were made up may contradict each other (a mask's length, and past and new): then values do not fit.
    if (!measured.ok() && measured.error().code() == ErrorCode::kInvalidInput)
      return take_first(node, candidates, facts_, fmt::format("it fails at the sizes that were tried ({})", measured.error().message()));
    return measured;
  }

  // Per tactic the sum over the points of its time relative to the best there.
  Status measure(ir::Node& node, const std::vector<const Tactic*>& candidates) {
    std::map<std::string, double, std::less<>> cost;
    std::map<std::string, float, std::less<>> first_time;
    std::set<std::string, std::less<>> failed;
    for (const Point& point : points_) {
      const std::string problem = problem_text(graph_, node, point.facts, cold_);
      CAMEO_TRY(ensure_measured(node, candidates, point, problem));
      const TimingCache::Times& times = *cache_.find(machine_, problem);
      double best = INFINITY;
      for (const auto& [name, time] : times)
        if (time >= 0 && is_candidate(name, candidates)) best = std::min(best, static_cast<double>(time));
      for (const auto& [name, time] : times) {
        if (!is_candidate(name, candidates)) continue;
        if (time < 0) failed.insert(name);
        cost[name] += time / std::max(best, 0.01);
        first_time.emplace(name, time);
      }
    }
    // Among those that are as fast as time can be measured, the order of preference decides.
    constexpr double kTie = 1.03;
    const auto works = [&](const std::string& name) { return cost.contains(name) && !failed.contains(name); };
    double least = INFINITY;
    for (const auto& [name, sum] : cost)
      if (works(name)) least = std::min(least, sum);
    const auto chosen = std::find_if(candidates.begin(), candidates.end(), [&](const Tactic* t) {
      const std::string name(t->name);
      return works(name) && cost[name] <= least * kTie;
    });
    std::vector<ir::TacticTrial> tried;
    for (const auto& [name, time] : first_time)
      tried.push_back({name, failed.contains(name) ? -1 : time, failed.contains(name) ? "it differs from the reference" : ""});
    std::stable_sort(tried.begin(), tried.end(), [](const auto& a, const auto& b) {
      return std::pair(a.microseconds < 0, a.microseconds) < std::pair(b.microseconds < 0, b.microseconds);
    });
    node.trials.insert(node.trials.begin(), tried.begin(), tried.end());
    return tactics::assign_tactic(node, chosen == candidates.end() ? nullptr : *chosen, facts_);
  }

  static bool is_candidate(std::string_view name, const std::vector<const Tactic*>& candidates) {
    return name == kReference || std::any_of(candidates.begin(), candidates.end(), [&](const Tactic* t) { return t->name == name; });
  }

  Status ensure_measured(const ir::Node& node, const std::vector<const Tactic*>& candidates, const Point& point,
                         const std::string& problem) {
    const TimingCache::Times* known = cache_.find(machine_, problem);
    if (known != nullptr && std::all_of(candidates.begin(), candidates.end(), [&](const Tactic* t) { return known->contains(t->name); }))
      return {};
    if (options_.error_on_miss)
      return error(ErrorCode::kInvalidArgument, "the timing cache has no times of {} on '{}', and measuring was forbidden", problem,
                   machine_);
    CAMEO_ASSIGN(Trial trial, Trial::make(graph_, node, point.facts, cold_));
    ir::Node prepared = node;
    CAMEO_TRY(tactics::assign_tactic(prepared, nullptr, facts_));
    const Effort effort = effort_of(options_.level);
    Effort once_if_slow = options_.level >= 3 ? effort : Effort{0, 1};
    once_if_slow.least = 1;
    once_if_slow.slow = kSlowReference;
    auto run = trial.run(prepared, options_.threads, once_if_slow);
    if (!run.ok()) {
      // Extents that do not belong together, or values that the node refuses: all cost the same, and the order of preference
      // decides.
      log(fmt::format("nothing was measured, for the reference fails on {}: {}", problem, run.error().message()));
      cache_.add(machine_, problem, kReference, 0);
      for (const Tactic* tactic : candidates) cache_.add(machine_, problem, std::string(tactic->name), 0);
      return {};
    }
    const Trial::Outcome reference = std::move(run).value();
    cache_.add(machine_, problem, kReference, static_cast<float>(reference.microseconds));
    for (const Tactic* tactic : candidates) {
      CAMEO_TRY(tactics::assign_tactic(prepared, tactic, facts_));
      auto outcome = trial.run(prepared, options_.threads, effort);
      double worst = 0;
      if (!outcome.ok()) {
        log(fmt::format("{} fails on {}: {}", tactic->name, problem, outcome.error().message()));
        worst = INFINITY;
      } else {
        for (size_t i = 0; i < outcome->outputs.size(); ++i) worst = std::max(worst, difference(outcome->outputs[i], reference.outputs[i]));
        if (worst > tactic->tolerance) log(fmt::format("{} differs from the reference by {:.2g} on {}", tactic->name, worst, problem));
      }
      cache_.add(machine_, problem, std::string(tactic->name),
                 worst > tactic->tolerance ? -1.f : static_cast<float>(outcome->microseconds));
    }
    return {};
  }

  void log(const std::string& message) {
    if (options_.logger) options_.logger->log(Severity::kWarning, message);
  }

  ir::Graph& graph_;
  const TuneOptions& options_;
  TimingCache& cache_;
  std::string machine_;
  Clock::time_point start_;
  std::vector<Point> points_;
  std::vector<ops::Fact> facts_;
  bool cold_ = false;  // whether constants are read from memory in each run
};

}  // namespace

Status choose_tactics(ir::Graph& graph, const std::vector<Profile>& profiles, const TuneOptions& options, TimingCache& cache) {
  return Tuner(graph, profiles, options, cache).run();
}

}  // namespace cameo::builder
