// Convolutions and pools, and what stands between them, work on channels-last values [N, spatial…, C], with Transposes where
// values of the two forms meet. Which nodes join is chosen for the whole graph at once such that the least number of elements is
// transposed: a minimum cut between the convolutions, which have to join, and what cannot (graph inputs and outputs, operators
// that are not in layout.cc). Transposes that the model has between the two forms take part, so they disappear where they can;
// this also holds for graphs without convolutions.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ops/cameo_conv.h"
#include "ops/channels_last.h"
#include "passes/layout.h"
#include "passes/min_cut.h"
#include "passes/pass.h"
#include "passes/program_builder.h"
#include "passes/reshape_target.h"

namespace cameo::passes {
namespace {

using ir::ValueId;

// Extents that are not known count as this.
constexpr int64_t kAssumedExtent = 16;

class LayoutChooser {
 public:
  explicit LayoutChooser(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      order_.push_back(index);
      for (ValueId id : editor_.node(index).inputs) readers_[id].push_back(index);
    }
    find_roles();
    if (members_.empty()) return {};
    const std::vector<char> joins = choose();
    for (uint32_t index : order_) {
      const auto member = members_.find(index);
      if (member != members_.end() && joins[static_cast<size_t>(member->second.cut_node)] && editor_.alive(index))
        rewrite(index, member->second);
    }
    return {};
  }

 private:
  enum class Kind { kNode, kToLast, kToFirst };
  struct Member {
    LayoutRole role;
    Kind kind = Kind::kNode;
    int cut_node = 0;
  };

  void find_roles() {
    std::unordered_set<uint32_t> absorbed;
    // From the end: the last node of a channel shuffle takes in those below it.
    for (size_t i = order_.size(); i-- > 0;) {
      const uint32_t index = order_[i];
      const ir::Node& node = editor_.node(index);
      if (absorbed.contains(index)) continue;
      Member member;
      if (is_transpose(editor_, node, &to_channels_last) || is_transpose(editor_, node, &to_channels_first)) {
        const bool to_last = is_transpose(editor_, node, &to_channels_last);
        const bool both = to_last && is_transpose(editor_, node, &to_channels_first);  // rank 3
        member.kind = !to_last || (both && feeds_convolution(node.outputs[0])) ? Kind::kToFirst : Kind::kToLast;
        (member.kind == Kind::kToLast ? member.role.inputs : member.role.outputs).push_back(0);
      } else {
        auto role = layout_role(editor_, node);
        if (!role || !shapes_fit(node, *role)) {
          if (is_cameo(node, "Conv") && node.attrs_as<ops::CameoConvAttrs>().channels_last == 0)
            context_.note(node, "it has not one or two spatial axes, or an operand of its epilogue has fewer axes than its result");
          continue;
        }
        absorbed.insert(role->absorbed.begin(), role->absorbed.end());
        member.role = std::move(*role);
      }
      members_.emplace(index, std::move(member));
    }
    absorbed_ = std::move(absorbed);
  }

  // All that is read in the channels-last form has one known rank.
  bool shapes_fit(const ir::Node& node, const LayoutRole& role) const {
    std::optional<size_t> rank;
    for (size_t i : role.inputs) {
      const auto& shape = editor_.shape(node.inputs[i]);
      if (!shape || (rank && *rank != shape->size() && role.absorbed.empty())) return false;
      rank = shape->size();
    }
    return true;
  }

  bool feeds_convolution(ValueId id) const {
    for (int steps = 0; steps < 8; ++steps) {
      ValueId next = ir::kNoValue;
      const auto readers = readers_.find(id);
      if (readers == readers_.end()) return false;
      for (uint32_t index : readers->second) {
        const ir::Node& node = editor_.node(index);
        const auto role = layout_role(editor_, node);
        if (role && role->prefers_last && node.inputs[0] == id) return true;
        if (role && role->outputs.size() == 1) next = node.outputs[role->outputs[0]];
      }
      if (next == ir::kNoValue) return false;
      id = next;
    }
    return false;
  }

  // Elements that a Transpose between the forms moves. Where nothing changes place it is a Reshape, which is nearly free.
  int64_t cost(ValueId id) const {
    if (editor_.constant(id) != nullptr) return 0;
    const ir::Shape& shape = *editor_.shape(id);
    if (is_reshape(shape)) return 1;
    int64_t elements = 1;
    for (const ir::Dim& d : shape) {
      const int64_t extent = d.evaluate([](const std::string&) { return std::optional(kAssumedExtent); }).value_or(kAssumedExtent);
      elements = std::min(MinCut::kInfinite >> 20, elements * std::clamp<int64_t>(extent, 1, int64_t{1} << 20));
    }
    return 1 + elements;
  }
  static bool is_reshape(const ir::Shape& shape) {
    return shape[1].is(1) || std::all_of(shape.begin() + 2, shape.end(), [](const ir::Dim& d) { return d.is(1); });
  }

  std::vector<char> choose() {
    MinCut cut;
    for (uint32_t index : order_) {
      const auto it = members_.find(index);
      if (it == members_.end()) continue;
      Member& member = it->second;
      member.cut_node = cut.add_node();
      const ir::Node& node = editor_.node(index);
      if (member.role.prefers_last) cut.add_edge(MinCut::kSource, member.cut_node, MinCut::kInfinite);
      if (member.kind != Kind::kNode) cut.add_edge(MinCut::kSource, member.cut_node, cost(node.outputs[0]));
    }
    // Per value that some node has in the channels-last form: where it is made, and where it is read.
    struct Places {
      int made = MinCut::kSink;
      std::vector<int> read;
      bool matters = false;
    };
    std::unordered_map<ValueId, Places> values;
    for (uint32_t index : order_) {
      if (absorbed_.contains(index)) continue;
      const ir::Node& node = editor_.node(index);
      const auto it = members_.find(index);
      const Member* member = it == members_.end() ? nullptr : &it->second;
      std::vector<char> moves(node.inputs.size(), 0);
      if (member && member->role.absorbed.empty())
        for (size_t i : member->role.inputs) moves[i] = 1;
      if (member && !member->role.absorbed.empty()) {
        add_reader(values[editor_.node(member->role.absorbed[0]).inputs[0]], member->cut_node);
        values[editor_.node(member->role.absorbed[0]).inputs[0]].matters = true;
      } else {
        for (size_t i = 0; i < node.inputs.size(); ++i) {
          if (node.inputs[i] == ir::kNoValue) continue;
          add_reader(values[node.inputs[i]], moves[i] ? member->cut_node : MinCut::kSink);
          values[node.inputs[i]].matters |= moves[i] != 0;
        }
      }
      for (const ir::Subgraph& subgraph : node.subgraphs)
        for (ValueId id : subgraph.captures) add_reader(values[id], MinCut::kSink);
      if (member)
        for (size_t i : member->role.outputs) {
          values[node.outputs[i]].made = member->cut_node;
          values[node.outputs[i]].matters = true;
        }
    }
    for (ValueId id : editor_.graph().outputs) add_reader(values[id], MinCut::kSink);
    for (auto& [id, places] : values) {
      if (!places.matters || !editor_.shape(id)) continue;
      const int64_t elements = cost(id);
      if (elements == 0) continue;
      // Made in one form and read in the other, it is transposed once, however often it is read.
      const int any_first = cut.add_node(), any_last = cut.add_node();
      cut.add_edge(places.made, any_first, elements);
      cut.add_edge(any_last, places.made, elements);
      for (int reader : places.read) {
        cut.add_edge(any_first, reader, MinCut::kInfinite);
        cut.add_edge(reader, any_last, MinCut::kInfinite);
      }
    }
    return cut.solve();
  }
  template <class Places>
  static void add_reader(Places& places, int reader) {
    if (std::ranges::find(places.read, reader) == places.read.end()) places.read.push_back(reader);
  }

  // The channels-last form of a value, if a node makes it already.
  ValueId existing_last(ValueId id) const {
    const int32_t maker = editor_.producer_index(id);
    if (maker >= 0 && (to_first_.contains(static_cast<uint32_t>(maker)) ||
                       is_transpose(editor_, editor_.node(static_cast<size_t>(maker)), &to_channels_first)))
      return editor_.node(static_cast<size_t>(maker)).inputs[0];
    const auto it = to_last_.find(id);
    if (it != to_last_.end() && editor_.alive(it->second) && editor_.node(it->second).inputs[0] == id)
      return editor_.node(it->second).outputs[0];
    return ir::kNoValue;
  }

  // Transposes between the forms, as a Reshape where nothing changes place.
  ValueId converted(Patch& patch, ValueId id, const ir::Shape& from, bool to_last) const {
    const ir::Shape to = to_last ? ops::channels_last(from) : ops::channels_first(from);
    if (is_reshape(to_last ? from : to))
      if (const auto target = reshape_target(&from, to)) return patch.node("Reshape", {id, patch.ints(*target)});
    return patch.node("Transpose", {id}, {{"perm", to_last ? to_channels_last(from.size()) : to_channels_first(from.size())}});
  }

  void rewrite(uint32_t index, const Member& member) {
    if (member.kind == Kind::kToFirst) return;  // whoever reads the channels-last form of its result finds its input
    const ir::Node& node = editor_.node(index);
    Patch patch(editor_);
    std::vector<std::pair<ValueId, ValueId>> made;  // value, and its new channels-last form
    bool known = true;                              // the ranks of all values concerned
    const auto has_channels = [&](ValueId id) { return editor_.shape(id) && editor_.shape(id)->size() >= 3; };
    const auto last = [&](ValueId id) {
      if (const ValueId existing = existing_last(id); existing != ir::kNoValue) return existing;
      if (!has_channels(id)) {
        known = false;
        return id;
      }
      for (const auto& [value, form] : made)
        if (value == id) return form;
      made.emplace_back(id, converted(patch, id, *editor_.shape(id), true));
      return made.back().second;
    };
    std::vector<std::pair<ValueId, ValueId>> results;  // old value, and the Transpose back to its form
    if (member.kind == Kind::kToLast) {
      const ValueId x = last(node.inputs[0]);
      if (!made.empty() || !known) return;  // it would be replaced by its like
      patch.replace(node.outputs[0], x);
    } else {
      const auto outputs = channels_last_form(editor_, node, member.role, patch, last);
      for (size_t i : member.role.outputs) known = known && (node.outputs[i] == ir::kNoValue || has_channels(node.outputs[i]));
      if (!outputs || !known) return context_.note(node, "its channels-last form cannot be written");
      for (size_t i = 0; i < outputs->size(); ++i) {
        if (node.outputs[i] == ir::kNoValue) continue;
        if (std::ranges::find(member.role.outputs, i) == member.role.outputs.end()) {
          patch.replace(node.outputs[i], (*outputs)[i]);
          continue;
        }
        const ValueId back = converted(patch, (*outputs)[i], ops::channels_last(*editor_.shape(node.outputs[i])), false);
        patch.replace(node.outputs[i], back);
        results.emplace_back(node.outputs[i], back);
      }
    }
    std::vector<uint32_t> matched = {index};
    matched.insert(matched.end(), member.role.absorbed.begin(), member.role.absorbed.end());
    auto applied = editor_.apply(std::move(patch), index, matched);
    if (!applied.ok()) return context_.note(editor_.node(index), applied.error().message());
    ++context_.report.changes;
    for (const auto& [value, form] : made)
      if (const int32_t at = editor_.producer_index(form); at >= 0) to_last_[value] = static_cast<uint32_t>(at);
    for (const auto& [old, back] : results)
      for (ValueId id : {old, back})
        if (const int32_t at = editor_.producer_index(id); at >= 0 && editor_.node(static_cast<size_t>(at)).op->name != "Identity")
          to_first_.insert(static_cast<uint32_t>(at));
  }

  PassContext& context_;
  Editor& editor_;
  std::vector<uint32_t> order_;
  std::unordered_map<ValueId, std::vector<uint32_t>> readers_;
  std::unordered_map<uint32_t, Member> members_;
  std::unordered_set<uint32_t> absorbed_;
  std::unordered_map<ValueId, uint32_t> to_last_;  // nodes that make the channels-last form of a value
  std::unordered_set<uint32_t> to_first_;          // nodes that read a channels-last form and make the other
};

Status run(PassContext& context) { return LayoutChooser(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(channels_last) = {
    .name = "channels_last",
    .summary = "lets convolutions work on channels-last values, with the fewest transposed elements",
    .run = &run,
    .late = true,
};

}  // namespace cameo::passes
