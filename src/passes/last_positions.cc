#include "passes/last_positions.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace cameo::passes {
namespace {

class Chooser {
 public:
  Chooser(GraphBuilder& builder, ir::ValueId last, const std::function<std::optional<SequenceAxes>(ir::ValueId)>& axes)
      : b_(builder), last_(last), axes_(axes) {}

  Status run(ir::ValueId& logits) {
    logits_ = logits;
    find_region();
    std::vector<ir::Node> old = std::move(b_.nodes());
    b_.nodes().clear();
    // Indices for GatherND: [batch, 1].
    const ir::ValueId index = b_.node("Unsqueeze", {last_, b_.ints({1})});
    for (size_t n = 0; n < old.size(); ++n) {
      ir::Node& node = old[n];
      if (!region_[n]) {
        CAMEO_TRY(b_.add(std::move(node)));
        continue;
      }
      for (ir::ValueId& id : node.inputs)
        if (id != ir::kNoValue && axes_(id) && !is_chosen(id)) id = choose(id, index);
      if (node.op->name == "Reshape") node.inputs[1] = reshape_target(node);
      CAMEO_TRY(b_.status());
      CAMEO_TRY(b_.add(std::move(node)));
    }
    if (!is_chosen(logits_)) logits = choose(logits_, index);
    return b_.status();
  }

 private:
  // The nodes to be moved: from the logits on back, nodes all of whose readers are moved.
  void find_region() {
    const std::vector<ir::Node>& nodes = b_.nodes();
    std::vector<std::vector<size_t>> readers(b_.graph().values.size());
    for (size_t n = 0; n < nodes.size(); ++n) ir::for_each_use(nodes[n], [&](ir::ValueId id) { readers[id].push_back(n); });
    std::vector<char> allowed(nodes.size(), 1);
    for (bool changed = true; changed;) {
      changed = false;
      region_.assign(nodes.size(), 0);
      for (size_t n = nodes.size(); n-- > 0;) {
        const ir::Node& node = nodes[n];
        if (!allowed[n] || !can_move(node)) continue;
        bool all = true, some = false;
        for (ir::ValueId id : node.outputs) {
          if (id == ir::kNoValue) continue;
          some |= id == logits_ || !readers[id].empty();
          for (size_t reader : readers[id]) all &= region_[reader] != 0;
        }
        region_[n] = all && some;
      }
      made_.clear();
      for (size_t n = 0; n < nodes.size(); ++n)
        if (region_[n])
          for (ir::ValueId id : nodes[n].outputs) made_[id] = true;
      // What is chosen from must be [batch, sequence, …].
      for (size_t n = 0; n < nodes.size(); ++n) {
        if (!region_[n]) continue;
        for (ir::ValueId id : nodes[n].inputs) {
          if (id == ir::kNoValue || is_chosen(id)) continue;
          const auto axes = axes_(id);
          if (!axes || (*axes == SequenceAxes{0, 1})) continue;
          allowed[n] = 0;
          changed = true;
        }
      }
    }
  }

  bool is_chosen(ir::ValueId id) const { return made_.contains(id); }

  // Whether the node works on one position as on many: nothing in it knows how many there are.
  bool can_move(const ir::Node& node) const {
    if (!is_position_wise_domain(node) || node.op->name == "Attention" || node.op->name == "Expand" || node.op->name == "Slice")
      return false;
    for (ir::ValueId id : node.outputs)
      if (id == ir::kNoValue || !axes_(id)) return false;
    if (node.op->name == "Reshape") {
      const auto& shape = b_.shape(node.outputs[0]);
      return shape && axes_(node.inputs[0]) && std::all_of(shape->begin(), shape->end(), [&](const ir::Dim& d) {
               return (d.is_const() && d.value() > 0) || &d - shape->data() == axes_(node.outputs[0])->batch ||
                      &d - shape->data() == axes_(node.outputs[0])->sequence;
             });
    }
    for (ir::ValueId id : node.inputs)
      if (id != ir::kNoValue && !axes_(id) && !(b_.shape(id) && ir::is_static(*b_.shape(id)))) return false;
    return true;
  }

  ir::ValueId reshape_target(const ir::Node& node) {
    const ir::Shape& shape = *b_.shape(node.outputs[0]);
    const SequenceAxes axes = *axes_(node.outputs[0]);
    std::vector<int64_t> target;
    for (size_t i = 0; i < shape.size(); ++i)
      target.push_back(static_cast<int>(i) == axes.batch ? -1 : static_cast<int>(i) == axes.sequence ? 1 : shape[i].value());
    return b_.ints(target);
  }

  ir::ValueId choose(ir::ValueId id, ir::ValueId index) {
    ir::ValueId& made = chosen_[id];
    if (made == ir::ValueId{}) {
      const ir::ValueId row = b_.node("GatherND", {id, index}, {{"batch_dims", int64_t{1}}});
      made = b_.node("Unsqueeze", {row, b_.ints({1})});
      made_[made] = true;
    }
    return made;
  }

  GraphBuilder& b_;
  ir::ValueId last_, logits_ = ir::kNoValue;
  const std::function<std::optional<SequenceAxes>(ir::ValueId)>& axes_;
  std::vector<char> region_;
  std::map<ir::ValueId, bool> made_;           // values of moved nodes
  std::map<ir::ValueId, ir::ValueId> chosen_;  // the last positions of a value
};

}  // namespace

Status keep_last_positions(GraphBuilder& builder, ir::ValueId& logits, ir::ValueId last,
                           const std::function<std::optional<SequenceAxes>(ir::ValueId)>& axes) {
  return Chooser(builder, last, axes).run(logits);
}

}  // namespace cameo::passes
