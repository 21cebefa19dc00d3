#include "passes/editor.h"

#include <algorithm>
#include <unordered_set>

#include "passes/elementwise.h"

namespace cameo::passes {

using ir::kNoValue;
using ir::ValueId;

bool GraphView::same_shape(ValueId a, ValueId b) const {
  const auto &x = shape(a), &y = shape(b);
  if (!x || !y || x->size() != y->size()) return false;
  return std::equal(x->begin(), x->end(), y->begin()) || shape_origin(a) == shape_origin(b);
}

ValueId GraphView::shape_origin(ValueId id, int depth) const {
  constexpr int kMaxDepth = 8;  // both inputs of a node are followed
  const ir::Node* node = producer(id);
  if (depth > kMaxDepth || node == nullptr || node->outputs[0] != id || !shape(id)) return id;
  const std::string_view op = node->op->domain.empty() ? node->op->name : std::string_view();
  const bool keeps = op == "Softmax" || op == "LayerNormalization" || op == "RMSNormalization";
  if (!keeps && !is_elementwise(*node)) return id;
  ValueId origin = kNoValue;
  for (ValueId input : keeps ? std::span(node->inputs).first(1) : std::span(node->inputs)) {
    if (input == kNoValue) continue;
    const auto& extents = shape(input);
    if (!extents || extents->size() > shape(id)->size()) return id;
    // One element is repeated for whatever the others have.
    if (std::all_of(extents->begin(), extents->end(), [](const ir::Dim& d) { return d.is(1); })) continue;
    const ValueId from = shape_origin(input, depth + 1);
    if (extents->size() != shape(id)->size() || (origin != kNoValue && from != origin)) return id;
    origin = from;
  }
  return origin == kNoValue ? id : origin;
}

std::optional<std::vector<int64_t>> GraphView::ints(ValueId id) const {
  const Tensor* t = constant(id);
  if (t == nullptr || t->rank() > 1) return std::nullopt;
  if (t->dtype() == DType::kInt64) return std::vector<int64_t>(t->span<int64_t>().begin(), t->span<int64_t>().end());
  if (t->dtype() == DType::kInt32) return std::vector<int64_t>(t->span<int32_t>().begin(), t->span<int32_t>().end());
  return std::nullopt;
}

Result<Editor> Editor::open(ir::Graph& graph, std::span<const ops::Fact> inputs, std::vector<ops::Fact> left_behind) {
  Editor editor;
  editor.graph_ = &graph;
  if (left_behind.size() == graph.values.size()) {
    editor.facts_ = std::move(left_behind);
  } else {
    CAMEO_ASSIGN(editor.facts_, ops::infer_graph(graph, inputs));
  }
  editor.producers_ = graph.producers();
  editor.use_counts_.assign(graph.values.size(), 0);
  editor.output_counts_.assign(graph.values.size(), 0);
  editor.is_input_.assign(graph.values.size(), 0);
  editor.users_.resize(graph.values.size());
  for (ValueId id : graph.inputs) editor.is_input_[id] = 1;
  for (ValueId id : graph.outputs) {
    ++editor.output_counts_[id];
    ++editor.use_counts_[id];
  }
  const auto n = static_cast<uint32_t>(graph.nodes.size());
  editor.alive_.assign(n, 1);
  editor.next_.resize(n);
  editor.previous_.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    editor.next_[i] = i + 1 < n ? i + 1 : kEnd;
    editor.previous_[i] = i > 0 ? i - 1 : kEnd;
    editor.add_uses(i);
  }
  if (n > 0) {
    editor.first_ = 0;
    editor.last_ = n - 1;
  }
  return editor;
}

void Editor::add_uses(uint32_t index) {
  ir::for_each_use(graph_->nodes[index], [&](ValueId id) {
    users_[id].push_back(index);
    ++use_counts_[id];
  });
}

ValueId Editor::new_value(const std::string& name) {
  const ValueId id = graph_->add_value(name);
  facts_.emplace_back();
  producers_.push_back(-1);
  use_counts_.push_back(0);
  output_counts_.push_back(0);
  is_input_.push_back(0);
  users_.emplace_back();
  return id;
}

uint32_t Editor::insert_before(uint32_t position, ir::Node node) {
  const auto index = static_cast<uint32_t>(graph_->nodes.size());
  for (ValueId id : node.outputs)
    if (id != kNoValue) producers_[id] = static_cast<int32_t>(index);
  graph_->nodes.push_back(std::move(node));
  alive_.push_back(1);
  const uint32_t before = previous_[position];
  next_.push_back(position);
  previous_.push_back(before);
  previous_[position] = index;
  (before == kEnd ? first_ : next_[before]) = index;
  return index;
}

void Editor::move_uses(ValueId from, ValueId to) {
  for (uint32_t user : users_[from]) {
    if (!alive_[user]) continue;
    ir::for_each_use(graph_->nodes[user], [&](ValueId& id) {
      if (id != from) return;
      id = to;
      users_[to].push_back(user);
      ++use_counts_[to];
      --use_counts_[from];
    });
  }
  users_[from].clear();
}

void Editor::release(ValueId id) {
  const int32_t index = producers_[id];
  if (index < 0) return;
  const ValueId fresh = new_value(graph_->value(id).name + "/unused");
  facts_[fresh].type = facts_[id].type;
  producers_[fresh] = index;
  producers_[id] = -1;
  for (ValueId& output : graph_->nodes[index].outputs)
    if (output == id) output = fresh;
}

bool GraphView::can_replace(ValueId from, ValueId to) const {
  if (from == to || is_input_[from] || (producers_[from] < 0 && is_output(from))) return false;
  if (!is_output(from) || graph_->value(to).is_constant()) return true;
  return producers_[to] >= 0 && !is_output(to);
}

ValueId Editor::replace(ValueId from, ValueId to) {
  if (auto both = ir::unify(facts_[to].type, facts_[from].type); both.ok()) facts_[to].type = std::move(both).value();
  const int32_t old_producer = producers_[from];
  ValueId survivor = to;
  if (!is_output(from)) {
    move_uses(from, to);
  } else if (graph_->value(to).is_constant()) {
    release(from);
    move_uses(from, to);
    facts_[from] = facts_[to];
    graph_->value(from).type = graph_->value(to).type;
    graph_->value(from).constant = graph_->value(to).constant;
  } else {
    // The output keeps its id and name; what made `to` makes it now.
    release(from);
    const int32_t maker = producers_[to];
    for (ValueId& output : graph_->nodes[maker].outputs)
      if (output == to) output = from;
    producers_[from] = maker;
    producers_[to] = -1;
    facts_[from] = facts_[to];
    move_uses(to, from);
    survivor = from;
  }
  remove_if_unused(old_producer);
  return survivor;
}

void Editor::remove_if_unused(int32_t index) {
  if (index < 0 || !alive_[index]) return;
  for (ValueId id : graph_->nodes[index].outputs)
    if (id != kNoValue && use_counts_[id] != 0) return;
  remove(static_cast<uint32_t>(index));
}

void Editor::remove(uint32_t index) {
  std::vector<uint32_t> pending = {index};
  while (!pending.empty()) {
    const uint32_t at = pending.back();
    pending.pop_back();
    if (!alive_[at]) continue;
    alive_[at] = 0;
    for (ValueId id : graph_->nodes[at].outputs)
      if (id != kNoValue) producers_[id] = -1;
    ir::for_each_use(graph_->nodes[at], [&](ValueId id) {
      if (--use_counts_[id] != 0 || producers_[id] < 0) return;
      for (ValueId sibling : graph_->nodes[producers_[id]].outputs)
        if (sibling != kNoValue && use_counts_[sibling] != 0) return;
      pending.push_back(static_cast<uint32_t>(producers_[id]));
    });
  }
}

void Editor::fold(uint32_t index, std::span<const Tensor> outputs) {
  ir::Node& node = graph_->nodes[index];
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId id = node.outputs[i];
    if (id == kNoValue) continue;
    producers_[id] = -1;
    facts_[id] = ops::Fact::of(outputs[i]);
    graph_->value(id).type = facts_[id].type;
    graph_->value(id).constant = outputs[i];
    node.outputs[i] = kNoValue;
  }
  remove(index);
}

void Editor::merge_sources(uint32_t into, uint32_t from) {
  auto& to = graph_->nodes[into].sources;
  const auto& more = graph_->nodes[from].sources;
  to.insert(to.end(), more.begin(), more.end());
}

Status Editor::check(const Patch& patch, std::span<const ir::Node> nodes) const {
  const auto bad = [](const std::string& what) { return error(ErrorCode::kInternal, "malformed patch: {}", what); };
  const size_t limit = patch.first_value_ + patch.values_.size();
  bool in_range = patch.first_value_ == graph_->values.size();
  for (const ir::Node& node : nodes) {
    if (node.op == nullptr || node.attrs == nullptr) return bad("a node has no operator or attributes");
    ir::for_each_use(node, [&](ValueId id) { in_range &= id < limit; });
  }
  for (const auto& [from, to] : patch.replacements_) {
    in_range &= from < patch.first_value_ && to < limit;
    if (!in_range) break;
    if (from == to) return bad("a value is replaced by itself");
    if (is_input_[from] || producers_[from] < 0) return bad(fmt::format("'{}' is replaced, which no node makes", graph_->value(from).name));
    if (to < patch.first_value_ && !is_input_[to] && producers_[to] < 0 && !graph_->value(to).is_constant())
      return bad(fmt::format("the replacement '{}' is made by nothing", graph_->value(to).name));
  }
  if (!in_range) return bad("an id is out of range");
  return {};
}

Result<uint32_t> Editor::apply(Patch patch, uint32_t root, std::span<const uint32_t> matched) {
  if (!patch.problem_.empty()) return error(ErrorCode::kInternal, "malformed patch: {}", patch.problem_);
  CAMEO_TRY(check(patch, patch.nodes_));
  // Inferred on facts of its own first: the graph changes only when all of it is right.
  std::vector<ops::Fact> added(patch.values_.size());
  const size_t old_size = facts_.size();
  for (size_t i = 0; i < added.size(); ++i) {
    if (patch.values_[i].constant.defined()) added[i] = ops::Fact::of(patch.values_[i].constant);
    facts_.push_back(std::move(added[i]));
  }
  const auto judge = [&]() -> Status {
    for (const ir::Node& node : patch.nodes_) CAMEO_TRY(ops::infer_node(node, facts_));
    for (const auto& [from, to] : patch.replacements_)
      if (auto both = ir::unify(facts_[from].type, facts_[to].type); !both.ok())
        return error(ErrorCode::kInternal, "'{}' is {}, but its replacement {}", graph_->value(from).name, facts_[from].type.to_string(),
                     facts_[to].type.to_string());
    return {};
  };
  Status status = judge();
  added.assign(std::make_move_iterator(facts_.begin() + static_cast<std::ptrdiff_t>(old_size)), std::make_move_iterator(facts_.end()));
  facts_.resize(old_size);
  if (!status.ok()) return std::move(status).error();

  const std::string prefix = graph_->nodes[root].outputs.empty() || graph_->nodes[root].outputs[0] == kNoValue
                                 ? graph_->nodes[root].name
                                 : graph_->value(graph_->nodes[root].outputs[0]).name;
  for (size_t i = 0; i < added.size(); ++i) {
    const ValueId id = new_value(fmt::format("{}/{}", prefix, patch.values_[i].made_by));
    facts_[id] = std::move(added[i]);
    if (!patch.values_[i].constant.defined()) continue;
    graph_->value(id).type = facts_[id].type;
    graph_->value(id).constant = std::move(patch.values_[i].constant);
  }
  const auto first_new = static_cast<uint32_t>(graph_->nodes.size());
  for (ir::Node& node : patch.nodes_) {
    if (node.name.empty()) node.name = graph_->nodes[root].name;
    insert_before(root, std::move(node));
  }
  const auto end_new = static_cast<uint32_t>(graph_->nodes.size());
  for (uint32_t i = first_new; i < end_new; ++i) add_uses(i);

  for (size_t i = 0; i < patch.replacements_.size(); ++i) {
    const auto [from, to] = patch.replacements_[i];
    ValueId source = to;
    if (!can_replace(from, to)) {
      // Both are visible from outside, so the output becomes a copy.
      ir::Node copy;
      copy.op = ops::find_op("", "Identity");
      if (copy.op == nullptr) return error(ErrorCode::kInternal, "there is no operator Identity");
      copy.version = copy.op->max_version;
      copy.name = graph_->nodes[root].name;
      copy.attrs = copy.op->make_attrs();
      copy.inputs = {to};
      source = new_value(graph_->value(from).name + "/copy");
      facts_[source].type = facts_[to].type;
      copy.outputs = {source};
      add_uses(insert_before(root, std::move(copy)));
    }
    const ValueId survivor = replace(from, source);
    for (size_t k = i + 1; k < patch.replacements_.size(); ++k)
      if (patch.replacements_[k].to == source) patch.replacements_[k].to = survivor;
  }

  // A new node stands for all that was matched. The longest list is moved when its node is gone, so that merging a long
  // chain step by step stays linear.
  const auto all_new = static_cast<uint32_t>(graph_->nodes.size());
  if (first_new < all_new) {
    std::vector<std::string> sources;
    const uint32_t longest = *std::max_element(matched.begin(), matched.end(), [&](uint32_t a, uint32_t b) {
      return graph_->nodes[a].sources.size() < graph_->nodes[b].sources.size();
    });
    if (!alive_[longest])
      sources.swap(graph_->nodes[longest].sources);
    else
      sources = graph_->nodes[longest].sources;
    for (uint32_t index : matched) {
      if (index == longest) continue;
      const auto& more = graph_->nodes[index].sources;
      sources.insert(sources.end(), more.begin(), more.end());
    }
    for (uint32_t i = first_new; i + 1 < all_new; ++i)
      graph_->nodes[i].sources.insert(graph_->nodes[i].sources.end(), sources.begin(), sources.end());
    auto& last = graph_->nodes[all_new - 1].sources;
    sources.insert(sources.end(), last.begin(), last.end());
    last = std::move(sources);
    return first_new;
  }
  return next_[root];
}

namespace {

// Copies the values that are in use; ids keep their order. False when all are.
bool compact(ir::Graph& graph) {
  std::vector<ValueId> ids(graph.values.size(), kNoValue);
  const auto each = [&](auto fn) {
    for (ValueId& id : graph.inputs) fn(id);
    for (ValueId& id : graph.outputs) fn(id);
    for (ir::Node& node : graph.nodes) {
      ir::for_each_use(node, fn);
      for (ValueId& id : node.outputs)
        if (id != kNoValue) fn(id);
    }
  };
  each([&](ValueId id) { ids[id] = 0; });
  if (std::find(ids.begin(), ids.end(), kNoValue) == ids.end()) return false;
  ir::Graph kept;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == kNoValue) continue;
    ir::Value& value = graph.values[i];
    ids[i] = kept.add_value(value.name, std::move(value.type));
    kept.value(ids[i]).constant = std::move(value.constant);
  }
  each([&](ValueId& id) { id = ids[id]; });
  kept.name = std::move(graph.name);
  kept.nodes = std::move(graph.nodes);
  kept.inputs = std::move(graph.inputs);
  kept.outputs = std::move(graph.outputs);
  graph = std::move(kept);
  return true;
}

}  // namespace

Status Editor::finish() {
  std::vector<char> state(graph_->nodes.size(), 0);  // 1: on the path from the node in hand, 2: written
  std::vector<ir::Node> ordered;
  std::vector<uint32_t> path;
  for (uint32_t index = first_; index != kEnd; index = next_[index]) {
    if (!alive_[index] || state[index] == 2) continue;
    path.push_back(index);
    while (!path.empty()) {
      const uint32_t at = path.back();
      if (state[at] != 0) {
        path.pop_back();
        if (state[at] == 1) ordered.push_back(std::move(graph_->nodes[at]));
        state[at] = 2;
        continue;
      }
      state[at] = 1;
      bool cycle = false;
      ir::for_each_use(graph_->nodes[at], [&](ValueId id) {
        const int32_t maker = producers_[id];
        if (maker < 0 || state[maker] == 2) return;
        cycle |= state[maker] == 1;
        path.push_back(static_cast<uint32_t>(maker));
      });
      if (cycle) return error(ErrorCode::kInternal, "a rewrite made {} depend on itself", graph_->nodes[at].describe());
    }
  }
  for (ir::Node& node : ordered) {
    std::unordered_set<std::string_view> seen;
    std::vector<std::string> unique;
    for (const std::string& source : node.sources)
      if (seen.insert(source).second) unique.push_back(source);
    if (unique.size() != node.sources.size()) node.sources = std::move(unique);
  }
  graph_->nodes = std::move(ordered);
  for (size_t i = 0; i < facts_.size(); ++i) {
    ir::Value& value = graph_->values[i];
    if (value.is_constant() || facts_[i].type.kind == ir::Type::Kind::kUnknown) continue;
    auto both = ir::unify(facts_[i].type, value.type);
    value.type = both.ok() ? std::move(both).value() : facts_[i].type;
  }
  if (compact_ && compact(*graph_)) facts_.clear();
  return {};
}

}  // namespace cameo::passes
