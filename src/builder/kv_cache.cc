#include "builder/kv_cache.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "passes/add_kv_cache.h"
#include "passes/driver.h"

namespace cameo::builder {
namespace {

// Where no profile says more.
constexpr int64_t kPromptLength = 32, kCapacity = 256;
constexpr int64_t kMostRows = 1 << 16, kMostTokens = 1 << 20;

// Rows and tokens at min, opt and max.
struct Extents {
  int64_t rows[3], tokens[3];
};

Extents extents_of(const Profile* profile, const ir::Shape& ids, int64_t most_positions) {
  Extents e = {{1, 1, kMostRows}, {1, kCapacity, kMostTokens}};
  if (ids[0].is_const()) std::fill_n(e.rows, 3, ids[0].value());
  if (profile != nullptr)
    for (const InputRange& r : profile->inputs)
      if (r.name == "input_ids" && r.max.rank() == 2) {
        const Dims* const ranges[] = {&r.min, &r.opt, &r.max};
        for (size_t k = 0; k < 3; ++k)
          e.rows[k] = std::max<int64_t>((*ranges[k])[0], 1), e.tokens[k] = std::max<int64_t>((*ranges[k])[1], 1);
      }
  e.tokens[0] = 1;  // a row grows from its prompt on
  if (most_positions > 0) e.tokens[2] = std::min(e.tokens[2], most_positions);
  e.tokens[1] = std::min(e.tokens[1], e.tokens[2]);
  return e;
}

Profile make_profile(const ir::Graph& graph, const Extents& e, bool decode) {
  Profile profile;
  for (ir::ValueId id : graph.inputs) {
    const ir::Value& v = graph.value(id);
    InputRange range = {v.name, {}, {}, {}};
    Dims* const ranges[] = {&range.min, &range.opt, &range.max};
    const ir::Shape& shape = *v.type.shape;
    for (size_t k = 0; k < 3; ++k)
      for (size_t d = 0; d < shape.size(); ++d) {
        int64_t extent = e.tokens[k];  // of the cache
        if (d == 0)
          extent = e.rows[k];
        else if (v.name == "input_ids")
          extent = decode ? 1 : k == 1 ? std::min(kPromptLength, e.tokens[1]) : e.tokens[k];
        else if (shape[d].is_const())
          extent = shape[d].value();
        ranges[k]->push_back(extent);
      }
    profile.inputs.push_back(std::move(range));
  }
  return profile;
}

}  // namespace

Status add_kv_cache(plan::Content& content, KvCache mode, const passes::PassOptions& options, std::vector<PassReport>& reports) {
  passes::PassOptions early = options;
  for (const passes::Pass* pass : passes::all_passes())
    if (pass->late) early.disabled.emplace_back(pass->name);
  ir::Graph graph = content.graph;
  CAMEO_TRY(passes::run_passes(graph, early, reports));
  PassReport& report = reports.emplace_back();
  report.name = "add_kv_cache";
  const auto start = std::chrono::steady_clock::now();
  auto found = passes::add_kv_cache(graph);
  report.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (!found.ok()) {
    if (mode == KvCache::kOn || found.error().code() != ErrorCode::kUnsupported)
      return std::move(found).error().in("the model cannot keep keys and values");
    report.notes.push_back(found.error().message());
    return {};
  }
  report.changes = found->caches;
  const ir::Shape& ids = *graph.value(graph.inputs[0]).type.shape;
  std::vector<Profile> profiles;
  const auto add = [&](const Profile* profile) {
    const Extents e = extents_of(profile, ids, found->most_positions);
    for (bool decode : {false, true}) profiles.push_back(make_profile(graph, e, decode));
  };
  for (const Profile& profile : content.profiles) add(&profile);
  if (content.profiles.empty()) add(nullptr);
  content.graph = std::move(graph);
  content.profiles = std::move(profiles);
  return {};
}

}  // namespace cameo::builder
