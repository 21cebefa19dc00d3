// Of nodes with the same operator, version, attributes and inputs one is kept, and of equal constants one.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "passes/pass.h"

namespace cameo::passes {
namespace {

// Larger constants are compared by address alone: reading them all would fetch the whole file.
constexpr size_t kMaxComparedBytes = 1 << 20;

uint64_t mix(uint64_t seed, uint64_t value) { return (seed ^ value) * 0x9e3779b97f4a7c15ull + (seed >> 29); }

uint64_t hash_constant(const Tensor& t) {
  uint64_t h = mix(static_cast<uint64_t>(t.dtype()), t.rank());
  for (int64_t d : t.dims()) h = mix(h, static_cast<uint64_t>(d));
  if (t.dtype() == DType::kString) {
    for (const std::string& s : t.span<std::string>()) h = mix(h, std::hash<std::string>{}(s));
  } else if (t.num_bytes() > kMaxComparedBytes) {
    h = mix(h, reinterpret_cast<uintptr_t>(t.raw()));
  } else if (t.num_bytes() > 0) {
    h = mix(h, std::hash<std::string_view>{}({static_cast<const char*>(t.raw()), t.num_bytes()}));
  }
  return h;
}

bool equal_constants(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.dims() == b.dims())) return false;
  if (a.dtype() == DType::kString) return std::ranges::equal(a.span<std::string>(), b.span<std::string>());
  if (a.raw() == b.raw() || a.num_bytes() == 0) return true;
  return a.num_bytes() <= kMaxComparedBytes && std::memcmp(a.raw(), b.raw(), a.num_bytes()) == 0;
}

uint64_t hash_node(const ir::Node& node) {
  uint64_t h = mix(reinterpret_cast<uintptr_t>(node.op), static_cast<uint64_t>(node.version));
  for (ir::ValueId id : node.inputs) h = mix(h, id);
  h = mix(h, node.outputs.size());
  return mix(h, ir::hash(*node.attrs));
}

bool equal_nodes(const ir::Node& a, const ir::Node& b) {
  if (a.op != b.op || a.version != b.version || a.inputs != b.inputs || a.outputs.size() != b.outputs.size()) return false;
  for (size_t i = 0; i < a.outputs.size(); ++i)
    if ((a.outputs[i] == ir::kNoValue) != (b.outputs[i] == ir::kNoValue)) return false;
  return ir::equal(*a.attrs, *b.attrs);
}

// Items that hash alike; `find` gives an earlier equal one, or adds this.
template <class Item>
class Seen {
 public:
  template <class Equal>
  std::optional<Item> find_or_add(uint64_t hash, Item item, Equal equal) {
    const auto [begin, end] = items_.equal_range(hash);
    for (auto it = begin; it != end; ++it)
      if (equal(it->second)) return it->second;
    items_.emplace(hash, item);
    return std::nullopt;
  }

 private:
  std::unordered_multimap<uint64_t, Item> items_;
};

void merge_constants(PassContext& context) {
  Editor& editor = context.editor;
  const ir::Graph& graph = editor.graph();
  Seen<ir::ValueId> seen;
  for (ir::ValueId id = 0; id < graph.values.size(); ++id) {
    const Tensor& t = graph.value(id).constant;
    if (!t.defined() || editor.uses(id) == 0) continue;
    const auto earlier =
        seen.find_or_add(hash_constant(t), id, [&](ir::ValueId other) { return equal_constants(graph.value(other).constant, t); });
    if (!earlier || !editor.can_replace(id, *earlier)) continue;
    editor.replace(id, *earlier);
    ++context.report.changes;
  }
}

void merge_nodes(PassContext& context) {
  Editor& editor = context.editor;
  Seen<uint32_t> seen;
  for (uint32_t index = editor.first(); index != Editor::kEnd; index = editor.next(index)) {
    if (!editor.alive(index)) continue;
    const ir::Node& node = editor.node(index);
    if ((node.op->flags & (ops::kRandom | ops::kControlFlow)) || !node.subgraphs.empty()) continue;
    const auto earlier = seen.find_or_add(hash_node(node), index,
                                          [&](uint32_t other) { return editor.alive(other) && equal_nodes(editor.node(other), node); });
    if (!earlier) continue;
    const std::vector<ir::ValueId> from = node.outputs;
    bool replaceable = true;
    for (size_t i = 0; i < from.size(); ++i)
      replaceable &= from[i] == ir::kNoValue || editor.can_replace(from[i], editor.node(*earlier).outputs[i]);
    if (!replaceable) continue;
    editor.merge_sources(*earlier, index);
    for (size_t i = 0; i < from.size(); ++i)
      if (from[i] != ir::kNoValue) editor.replace(from[i], editor.node(*earlier).outputs[i]);
    ++context.report.changes;
  }
}

Status run(PassContext& context) {
  merge_constants(context);
  merge_nodes(context);
  return {};
}

}  // namespace

CAMEO_DEFINE_PASS(common_subexpressions) = {
    .name = "common_subexpressions",
    .summary = "computes equal things once, and keeps equal constants once",
    .run = &run,
};

}  // namespace cameo::passes
