// Chains that compute with shapes (Shape, Gather, Mul, Concat, …) become as short as what inference knows of them allows:
//  - what is a number in every run becomes a constant;
//  - a Reshape to extents of which the input tells all but one takes a constant with 0 and -1;
//  - values that are provably the same, by whatever way they are computed, are computed once;
//  - an extent of an input of the graph is read from that input.
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "passes/pass.h"
#include "passes/reshape_target.h"

namespace cameo::passes {
namespace {

class Shortener {
 public:
  explicit Shortener(PassContext& context) : context_(context), editor_(context.editor), direct_(editor_.graph().values.size(), 0) {
    const ir::Graph& graph = editor_.graph();
    for (ir::ValueId id : graph.inputs) {
      const auto& shape = editor_.shape(id);
      if (!shape) continue;
      for (size_t axis = 0; axis < shape->size(); ++axis)
        if (!(*shape)[axis].is_const() && !(*shape)[axis].is_unknown()) axes_.emplace((*shape)[axis].to_string(), Axis{id, axis});
    }
  }

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index))
      if (editor_.alive(index)) CAMEO_TRY(shorten(index));
    return {};
  }

 private:
  struct Axis {
    ir::ValueId input;
    size_t axis;
  };

  Status shorten(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    if ((node.op->flags & (ops::kRandom | ops::kControlFlow | ops::kNotFolded)) || !node.op->domain.empty()) return {};
    if (fold(index)) return {};
    if (node.op->name == "Reshape") return simplify_reshape(index);
    if (node.outputs.size() != 1 || node.outputs[0] == ir::kNoValue) return {};
    return share(index, node.outputs[0]);
  }

  // Constants that follow from shapes alone; those that follow from constants are constant_folding's.
  bool fold(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    bool from_shapes = false;
    for (ir::ValueId id : node.inputs) from_shapes |= id != ir::kNoValue && (editor_.constant(id) == nullptr || folded_.count(id) != 0);
    if (!from_shapes) return false;
    std::vector<Tensor> outputs(node.outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == ir::kNoValue) continue;
      const Tensor* t = editor_.constant(node.outputs[i]);
      if (t == nullptr) return false;
      outputs[i] = *t;
    }
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue) folded_.insert(id);
    editor_.fold(index, outputs);
    ++context_.report.changes;
    return true;
  }

  Status simplify_reshape(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    if (node.version < 5 || node.inputs.size() != 2 || editor_.constant(node.inputs[1]) != nullptr) return {};
    const auto& to = editor_.shape(node.outputs[0]);
    if (!to) return {};
    const auto& from = editor_.shape(node.inputs[0]);
    const auto target = reshape_target(from ? &*from : nullptr, *to);
    if (!target) {
      context_.note(node, fmt::format("its shape {} cannot be written as a constant", ir::to_string(*to)));
      return {};
    }
    Patch patch(editor_);
    patch.replace(node.outputs[0], patch.node("Reshape", {node.inputs[0], patch.ints(*target)}));
    return apply(std::move(patch), index);
  }

  // Values known as symbols.
  Status share(uint32_t index, ir::ValueId id) {
    const ops::Fact& fact = editor_.fact(id);
    if (!fact.values || fact.constant.defined() || !fact.type.shape || fact.values->empty() || fact.values->size() > 64) return {};
    std::string key = fmt::format("{}:{}:", dtype_name(fact.type.dtype), fact.type.shape->size());
    for (const ir::Dim& d : *fact.values) {
      if (d.is_unknown()) return {};
      key += d.to_string() + ",";
    }
    // What was computed first may have lost its last use since.
    if (const auto known = computed_.find(key); known != computed_.end() && editor_.producer(known->second) != nullptr) {
      if (!editor_.can_replace(id, known->second)) return {};
      const ir::ValueId survivor = editor_.replace(id, known->second);
      if (survivor != known->second) set_direct(survivor, is_direct(known->second));
      known->second = survivor;
      ++context_.report.changes;
      return {};
    }
    set_direct(id, is_direct_node(editor_.node(index)));
    if (fact.values->size() == 1 && fact.type.dtype == DType::kInt64 && !is_direct(id)) {
      const auto axis = axes_.find((*fact.values)[0].to_string());
      if (axis != axes_.end()) return read_from_input(index, id, axis->second, key);
    }
    computed_.insert_or_assign(std::move(key), id);
    return {};
  }

  Status read_from_input(uint32_t index, ir::ValueId id, const Axis& axis, const std::string& key) {
    const bool is_scalar = editor_.shape(id)->empty();
    const auto start = static_cast<int64_t>(axis.axis);
    Patch patch(editor_);
    ir::ValueId extent = patch.node("Shape", {axis.input}, {{"start", start}, {"end", start + 1}});
    if (is_scalar) extent = patch.node("Squeeze", {extent, patch.ints(std::vector<int64_t>{0})});
    patch.replace(id, extent);
    const auto first_new = static_cast<uint32_t>(editor_.num_nodes());
    CAMEO_TRY(apply(std::move(patch), index));
    for (uint32_t made = first_new; made < editor_.num_nodes(); ++made)
      for (ir::ValueId output : editor_.node(made).outputs) set_direct(output, true);
    // An id that is a graph output lives on; otherwise the last new node makes the value.
    computed_.insert_or_assign(key, editor_.node(editor_.num_nodes() - 1).outputs[0]);
    return {};
  }

  // Whether the node only picks from the shape of an input of the graph.
  bool is_direct_node(const ir::Node& node) const {
    const ir::ValueId from = GraphView::input(node, 0);
    if (from == ir::kNoValue) return false;
    if (node.op->name == "Shape") return editor_.is_input(from);
    for (std::string_view name : {"Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Identity"})
      if (node.op->name == name) return is_direct(from);
    return false;
  }
  bool is_direct(ir::ValueId id) const { return id < direct_.size() && direct_[id]; }
  void set_direct(ir::ValueId id, bool direct) {
    if (id >= direct_.size()) direct_.resize(id + 1, 0);
    direct_[id] = direct;
  }

  Status apply(Patch patch, uint32_t index) {
    const ir::Node node = editor_.node(index);
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(node.describe());
    ++context_.report.changes;
    return {};
  }

  PassContext& context_;
  Editor& editor_;
  std::vector<char> direct_;                // by value: is_direct_node() of its producer
  std::unordered_set<ir::ValueId> folded_;  // constants that this run made
  std::unordered_map<std::string, Axis> axes_;
  std::unordered_map<std::string, ir::ValueId> computed_;
};

Status run(PassContext& context) { return Shortener(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(shape_computation) = {
    .name = "shape_computation",
    .summary = "shortens or folds what computes with shapes",
    .run = &run,
};

}  // namespace cameo::passes
