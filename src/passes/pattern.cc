#include "passes/pattern.h"

#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"

namespace cameo::passes {

struct Pattern::Spec {
  enum class Kind { kAny, kAbsent, kConstant, kScalar, kOp, kEither };
  Kind kind = Kind::kAny;
  std::string name;
  std::vector<const ops::OpDef*> ops;
  std::vector<Pattern> inputs;  // of an operator; the choices of kEither
  bool commutative = false, shared = false, more_inputs = false;
  int output = 0;
  double value = 0, tolerance = 0;
  std::vector<std::function<bool(const GraphView&, const ir::Node&)>> conditions;
};

namespace {

template <class Change>
std::shared_ptr<const Pattern::Spec> changed(const Pattern::Spec& spec, Change change) {
  auto copy = std::make_shared<Pattern::Spec>(spec);
  change(*copy);
  return copy;
}

std::shared_ptr<const Pattern::Spec> leaf(Pattern::Spec::Kind kind, std::string name = {}) {
  auto spec = std::make_shared<Pattern::Spec>();
  spec->kind = kind;
  spec->name = std::move(name);
  return spec;
}

bool is_commutative(std::string_view name) {
  for (std::string_view known : {"Add", "Mul", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Min", "Sum"})
    if (known == name) return true;
  return false;
}

std::optional<double> number(const Tensor& t) {
  if (t.num_elements() != 1) return std::nullopt;
  double value = 0;
  const auto status = ops::dispatch_numbers(t.dtype(), "a pattern", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<double>(static_cast<compute_t<T>>(*t.data<T>()));
    return {};
  });
  return status.ok() ? std::optional(value) : std::nullopt;
}

}  // namespace

Pattern Pattern::as(std::string name) const {
  return Pattern(changed(*spec_, [&](Spec& s) { s.name = std::move(name); }));
}
Pattern Pattern::output(int index) const {
  return Pattern(changed(*spec_, [&](Spec& s) { s.output = index; }));
}
Pattern Pattern::shared() const {
  return Pattern(changed(*spec_, [](Spec& s) { s.shared = true; }));
}
Pattern Pattern::more_inputs() const {
  return Pattern(changed(*spec_, [](Spec& s) { s.more_inputs = true; }));
}
Pattern Pattern::where(std::function<bool(const GraphView&, const ir::Node&)> condition) const {
  return Pattern(changed(*spec_, [&](Spec& s) { s.conditions.push_back(std::move(condition)); }));
}

Pattern any(std::string name) { return Pattern(leaf(Pattern::Spec::Kind::kAny, std::move(name))); }
Pattern absent() { return Pattern(leaf(Pattern::Spec::Kind::kAbsent)); }
Pattern constant(std::string name) { return Pattern(leaf(Pattern::Spec::Kind::kConstant, std::move(name))); }

Pattern scalar(double value, double tolerance) {
  return Pattern(changed(*leaf(Pattern::Spec::Kind::kScalar), [&](Pattern::Spec& s) {
    s.value = value;
    s.tolerance = tolerance;
  }));
}

Pattern op_list(std::vector<std::string> names, std::vector<Pattern> inputs) {
  return Pattern(changed(*leaf(Pattern::Spec::Kind::kOp), [&](Pattern::Spec& s) {
    for (const std::string& name : names) {
      if (const ops::OpDef* op = ops::find_op("", name)) s.ops.push_back(op);
      s.commutative = inputs.size() == 2 && is_commutative(name);
    }
    s.inputs = std::move(inputs);
  }));
}

Pattern either(std::vector<Pattern> choices) {
  return Pattern(changed(*leaf(Pattern::Spec::Kind::kEither), [&](Pattern::Spec& s) { s.inputs = std::move(choices); }));
}

Pattern maybe(std::string name, Pattern input) { return either({op(std::move(name), input), input}); }

std::vector<const ops::OpDef*> root_ops(const Pattern& pattern) {
  std::vector<const ops::OpDef*> all = pattern.spec_->ops;
  if (pattern.spec_->kind == Pattern::Spec::Kind::kEither)
    for (const Pattern& choice : pattern.spec_->inputs)
      for (const ops::OpDef* op : root_ops(choice))
        if (std::find(all.begin(), all.end(), op) == all.end()) all.push_back(op);
  return all;
}

ir::ValueId Match::operator[](const std::string& name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? ir::kNoValue : it->second;
}

const ir::Node* Match::node(const std::string& name) const {
  const auto it = named_nodes_.find(name);
  return it == named_nodes_.end() ? nullptr : &view_->node(it->second);
}

// A depth-first search with a list of goals still to be met; a goal that fails goes back to the last choice.
class Matcher {
 public:
  Matcher(const GraphView& view, uint32_t root) : view_(view) {
    match_.view_ = &view;
    match_.root_ = root;
  }

  std::optional<Match> run(const Pattern& pattern, std::string* near_miss) {
    root_ = pattern.spec_.get();
    near_miss_ = near_miss;
    const auto& outputs = view_.node(match_.root_).outputs;
    // Whichever output of the root the pattern names; a choice at the root names output 0.
    const size_t output = root_->kind == Pattern::Spec::Kind::kOp ? static_cast<size_t>(root_->output) : 0;
    if (output >= outputs.size() || outputs[output] == ir::kNoValue) return std::nullopt;
    goals_.push_back({&pattern, outputs[output]});
    if (!search()) return std::nullopt;
    return std::move(match_);
  }

 private:
  using Kind = Pattern::Spec::Kind;
  struct Goal {
    const Pattern* pattern;
    ir::ValueId value;
  };
  // The search of one pattern at one node is given up after this many steps, whatever the graph looks like.
  static constexpr int kMaxSteps = 20000;

  bool search() {
    if (++steps_ > kMaxSteps) return false;
    if (goals_.empty()) return closed();
    const Goal goal = goals_.back();
    goals_.pop_back();
    const bool found = meet(goal);
    if (!found) goals_.push_back(goal);
    return found;
  }

  bool meet(const Goal& goal) {
    const Pattern::Spec& spec = *goal.pattern->spec_;
    if (spec.kind == Kind::kAbsent) return goal.value == ir::kNoValue && search();
    if (goal.value == ir::kNoValue) return false;
    switch (spec.kind) {
      case Kind::kEither:
        for (const Pattern& choice : spec.inputs)
          if (meet({&choice, goal.value})) return true;
        return false;
      case Kind::kAny:
        return bind(spec, goal.value);
      case Kind::kConstant:
        return view_.constant(goal.value) != nullptr && bind(spec, goal.value);
      case Kind::kScalar: {
        const Tensor* t = view_.constant(goal.value);
        const auto found = t == nullptr ? std::nullopt : number(*t);
        return found && (*found == spec.value || std::fabs(*found - spec.value) <= spec.tolerance * std::fabs(spec.value)) &&
               bind(spec, goal.value);
      }
      case Kind::kOp:
        return meet_op(spec, goal.value);
      case Kind::kAbsent:
        break;
    }
    return false;
  }

  // Binds the name to the value and goes on; undone when the rest fails.
  bool bind(const Pattern::Spec& spec, ir::ValueId value) {
    if (spec.name.empty()) return search();
    const auto [it, is_new] = match_.values_.emplace(spec.name, value);
    if (!is_new) return it->second == value && search();
    if (search()) return true;
    match_.values_.erase(spec.name);
    return false;
  }

  bool meet_op(const Pattern::Spec& spec, ir::ValueId value) {
    const int32_t index = view_.producer_index(value);
    if (index < 0) return false;
    const ir::Node& node = view_.node(static_cast<size_t>(index));
    if (std::find(spec.ops.begin(), spec.ops.end(), node.op) == spec.ops.end()) return false;
    if (static_cast<size_t>(spec.output) >= node.outputs.size() || node.outputs[static_cast<size_t>(spec.output)] != value) return false;
    for (size_t i = spec.inputs.size(); i < node.inputs.size(); ++i)
      if (!spec.more_inputs && node.inputs[i] != ir::kNoValue) return false;
    for (const auto& condition : spec.conditions)
      if (!condition(view_, node)) return false;

    // A Pattern object that occurs twice is one node.
    const auto [known, is_new] = by_spec_.emplace(&spec, static_cast<uint32_t>(index));
    if (!is_new) return known->second == static_cast<uint32_t>(index) && search();
    const bool listed = std::find(match_.nodes_.begin(), match_.nodes_.end(), static_cast<uint32_t>(index)) != match_.nodes_.end();
    if (!listed) {
      match_.nodes_.push_back(static_cast<uint32_t>(index));
      exclusive_.push_back(!spec.shared && match_.nodes_.size() > 1);
    }
    if (!spec.name.empty()) match_.named_nodes_[spec.name] = static_cast<uint32_t>(index);
    const auto try_order = [&](bool swapped) {
      const size_t goals = goals_.size();
      for (size_t i = spec.inputs.size(); i-- > 0;) goals_.push_back({&spec.inputs[i], GraphView::input(node, swapped ? 1 - i : i)});
      if (bind(spec, value)) return true;
      goals_.resize(goals);
      return false;
    };
    if (try_order(false)) return true;
    if (spec.commutative && node.inputs.size() == 2 && try_order(true)) return true;
    if (!spec.name.empty()) match_.named_nodes_.erase(spec.name);
    if (!listed) {
      match_.nodes_.pop_back();
      exclusive_.pop_back();
    }
    by_spec_.erase(&spec);
    return false;
  }

  // Whether the nodes below the root, where the pattern asks for it, are used by matched nodes only.
  bool closed() {
    for (size_t k = 0; k < match_.nodes_.size(); ++k) {
      if (!exclusive_[k]) continue;
      for (ir::ValueId id : view_.node(match_.nodes_[k]).outputs) {
        if (id == ir::kNoValue) continue;
        size_t inside = 0;
        for (uint32_t user : match_.nodes_) ir::for_each_use(view_.node(user), [&](ir::ValueId used) { inside += used == id; });
        if (inside == view_.uses(id)) continue;
        if (near_miss_)
          *near_miss_ = fmt::format("'{}', which it would take in, is {}", view_.graph().value(id).name,
                                    view_.is_output(id) ? "an output of the graph" : "used elsewhere too");
        return false;
      }
    }
    if (near_miss_) near_miss_->clear();
    return true;
  }

  const GraphView& view_;
  const Pattern::Spec* root_ = nullptr;
  std::string* near_miss_ = nullptr;
  Match match_;
  std::vector<Goal> goals_;
  std::vector<char> exclusive_;  // parallel to match_.nodes_
  std::map<const Pattern::Spec*, uint32_t> by_spec_;
  int steps_ = 0;
};

std::optional<Match> match(const Pattern& pattern, const GraphView& view, uint32_t node, std::string* near_miss) {
  return Matcher(view, node).run(pattern, near_miss);
}

}  // namespace cameo::passes
