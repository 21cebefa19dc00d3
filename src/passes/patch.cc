#include "passes/patch.h"

namespace cameo::passes {

ir::ValueId Patch::add(NewValue value) {
  values_.push_back(std::move(value));
  return first_value_ + static_cast<ir::ValueId>(values_.size() - 1);
}

ir::ValueId Patch::constant(Tensor tensor) { return add({std::move(tensor), "constant"}); }

ir::ValueId Patch::ints(std::span<const int64_t> values) { return constant(Tensor::of({static_cast<int64_t>(values.size())}, values)); }

ir::ValueId Patch::node(std::string_view op_name, std::vector<ir::ValueId> inputs, const AttrList& list) {
  ir::Node made;
  made.op = ops::find_op("", op_name);
  if (made.op == nullptr) {
    problem_ = fmt::format("there is no operator {}", op_name);
    return add({});
  }
  made.version = made.op->max_version;
  made.inputs = std::move(inputs);
  made.outputs = {0};
  auto attrs = make_attrs(*made.op, list);
  if (!attrs.ok()) {
    problem_ = attrs.error().message();
    return add({});
  }
  made.attrs = std::move(attrs).value();
  return node(std::move(made))[0];
}

std::vector<ir::ValueId> Patch::node(ir::Node node) {
  for (ir::ValueId& id : node.outputs)
    if (id != ir::kNoValue) id = add({{}, node.op->name});
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs;
}

void Patch::add_sources(const std::vector<std::string>& sources) {
  if (!nodes_.empty()) nodes_.back().sources.insert(nodes_.back().sources.end(), sources.begin(), sources.end());
}

}  // namespace cameo::passes
