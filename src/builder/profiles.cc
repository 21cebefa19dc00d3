#include "builder/profiles.h"

#include <map>

#include "base/error.h"

namespace cameo::builder {
namespace {

Status check_range(const ir::Value& input, const InputRange& r) {
  const auto bad = [&](const std::string& what) { return error(ErrorCode::kInvalidArgument, "input '{}': {}", input.name, what); };
  if (!input.type.is_tensor()) return bad("a " + input.type.to_string() + " has no shape range");
  if (r.min.rank() != r.opt.rank() || r.min.rank() != r.max.rank())
    return bad(fmt::format("min {}, opt {} and max {} have different ranks", r.min.to_string(), r.opt.to_string(), r.max.to_string()));
  if (input.type.shape && input.type.shape->size() != r.min.rank())
    return bad(fmt::format("the range {} has rank {}, the model takes {}", r.min.to_string(), r.min.rank(), input.type.to_string()));
  for (size_t d = 0; d < r.min.rank(); ++d) {
    if (r.min[d] < 0 || r.min[d] > r.opt[d] || r.opt[d] > r.max[d])
      return bad(fmt::format("dimension {} has min {}, opt {}, max {}; 0 <= min <= opt <= max must hold", d, r.min[d], r.opt[d], r.max[d]));
    if (!input.type.shape) continue;
    const ir::Dim& extent = (*input.type.shape)[d];
    if (extent.is_const() && (r.min[d] != extent.value() || r.max[d] != extent.value()))
      return bad(
          fmt::format("dimension {} is fixed to {} by the model, the range asks for {} to {}", d, extent.value(), r.min[d], r.max[d]));
  }
  if (auto n = r.max.checked_num_elements(); !n.ok()) return bad(n.error().message());
  return {};
}

// Extents with the same symbol must have the same range in all inputs of the profile.
Status check_symbols(const ir::Graph& graph, const Profile& profile) {
  struct Seen {
    const InputRange* range;
    size_t dim;
  };
  std::map<std::string, Seen> symbols;
  for (const InputRange& r : profile.inputs) {
    const ir::Type& type = graph.value(graph.find(r.name)).type;
    if (!type.shape) continue;
    for (size_t d = 0; d < r.min.rank(); ++d) {
      const ir::Dim& extent = (*type.shape)[d];
      if (extent.is_const() || extent.is_unknown()) continue;
      const auto [it, is_new] = symbols.emplace(extent.to_string(), Seen{&r, d});
      const auto& [other, e] = it->second;
      if (!is_new && (other->min[e] != r.min[d] || other->opt[e] != r.opt[d] || other->max[e] != r.max[d]))
        return error(ErrorCode::kInvalidArgument,
                     "dimension {} of input '{}' and dimension {} of input '{}' are both '{}' in the model, but have the ranges {}/{}/{} "
                     "and {}/{}/{}",
                     e, other->name, d, r.name, it->first, other->min[e], other->opt[e], other->max[e], r.min[d], r.opt[d], r.max[d]);
    }
  }
  return {};
}

}  // namespace

Result<std::vector<Profile>> check_profiles(const ir::Graph& graph, const std::vector<Profile>& profiles) {
  for (size_t p = 0; p < profiles.size(); ++p) {
    const std::string where = fmt::format("profile {}", p);
    std::map<std::string, int> seen;
    for (const InputRange& r : profiles[p].inputs) {
      const ir::Value* input = nullptr;
      std::string names;
      for (ir::ValueId id : graph.inputs) {
        if (graph.value(id).name == r.name) input = &graph.value(id);
        names += (names.empty() ? "'" : ", '") + graph.value(id).name + "'";
      }
      if (!input)
        return error(ErrorCode::kInvalidArgument, "{}: the model has no input '{}'; it has {}", where, r.name,
                     names.empty() ? "none" : names);
      if (seen[r.name]++) return error(ErrorCode::kInvalidArgument, "{}: input '{}' is given twice", where, r.name);
      if (auto status = check_range(*input, r); !status.ok()) return std::move(status).error().in(where);
    }
    if (auto status = check_symbols(graph, profiles[p]); !status.ok()) return std::move(status).error().in(where);
  }
  return profiles;
}

}  // namespace cameo::builder
