#include "passes/attention_scores.h"

#include <algorithm>

namespace cameo::passes {
namespace {

constexpr size_t kMaxSteps = 14;
// Scores that are no smaller than this are not changed by a maximum with it: only masked ones are smaller.
constexpr double kFarBelow = -1e30;

// A node between softmax and product, and the input through which the scores come.
struct Step {
  const ir::Node* node;
  size_t input;
};

// Whether the value has one element for all keys of a query.
bool same_for_keys(const GraphView& view, ir::ValueId id) {
  const auto& shape = view.shape(id);
  return shape && !shape->empty() && shape->back().is(1);
}

// The way from `id` back to a MatMul through nodes that may stand there; the other inputs may be anything.
bool find_path(const GraphView& view, ir::ValueId id, std::vector<Step>& path) {
  const ir::Node* node = view.producer(id);
  if (node == nullptr || path.size() > kMaxSteps || !node->op->domain.empty()) return false;
  const std::string_view op = node->op->name;
  std::vector<size_t> inputs;
  if (op == "MatMul" || op == "Reshape" || op == "Tanh") inputs = {0};
  if (op == "Add") inputs = {0, 1};
  if (op == "Mul" || op == "Div")
    for (size_t i : {size_t{0}, size_t{1}})
      if ((number_of(view, node->inputs[1 - i]) || same_for_keys(view, node->inputs[1 - i])) && !(op == "Div" && i == 1))
        inputs.push_back(i);
  if (op == "Max" && node->inputs.size() == 2)
    for (size_t i : {size_t{0}, size_t{1}})
      if (number_of(view, node->inputs[1 - i]).value_or(0) <= kFarBelow) inputs.push_back(i);
  if (op == "Where")
    for (size_t i : {size_t{1}, size_t{2}})
      if (number_of(view, node->inputs[3 - i])) inputs.push_back(i);
  for (size_t input : inputs) {
    path.push_back({node, input});
    if (op == "MatMul" || find_path(view, node->inputs[input], path)) return true;
    path.pop_back();
  }
  return false;
}

// Where(mask, 0, fill) that is added is a mask itself.
ScoreTerm added(const GraphView& view, ir::ValueId value) {
  const ir::Node* where = made_by(view, value, "Where");
  if (where == nullptr) return {ScoreTerm::Kind::kAdd, value, 0, false};
  const auto yes = number_of(view, where->inputs[1]), no = number_of(view, where->inputs[2]);
  const bool keeps = yes && *yes == 0 && no && *no <= -1e4, drops = no && *no == 0 && yes && *yes <= -1e4;
  if (keeps) return {ScoreTerm::Kind::kKeep, where->inputs[0], *no, false};
  if (drops) return {ScoreTerm::Kind::kDrop, where->inputs[0], *yes, false};
  return {ScoreTerm::Kind::kAdd, value, 0, false};
}

}  // namespace

bool splits_first(const ir::Shape& whole, const ir::Shape& parts) {
  if (whole.empty() || parts.size() != whole.size() + 1 || !(parts[0] * parts[1] == whole[0])) return false;
  return std::equal(whole.begin() + 1, whole.end(), parts.begin() + 2);
}

std::optional<Scores> read_scores(const GraphView& view, ir::ValueId value, bool in_windows, Region& region, std::string& problem) {
  std::vector<Step> path;
  if (!find_path(view, value, path)) return std::nullopt;
  Scores scores;
  if (in_windows) scores.windows = value;
  const auto refuse = [&](std::string reason) {
    problem = std::move(reason);
    return std::nullopt;
  };
  for (const auto& [node, input] : path) {
    region.add(*node);
    const std::string_view op = node->op->name;
    const bool is_term = op == "Add" || op == "Where";
    if (is_term && (scores.softcap != 0 || !(scores.scale > 0) || !scores.factors.empty()))
      return refuse("scores are changed after a mask or bias is added");
    if (is_term && !view.same_shape(node->inputs[input], node->outputs[0])) scores.may_broadcast = true;
    if (op == "Add") {
      scores.terms.push_back(added(view, node->inputs[1 - input]));
      scores.terms.back().windowed = in_windows;
      scores.terms.back().factor = scores.scale;
      scores.terms.back().fill *= scores.scale;
    } else if (op == "Where") {
      const double fill = *number_of(view, node->inputs[3 - input]);
      if (!(fill <= -1e4)) return refuse(fmt::format("masked scores become {}, which is not far below all others", fill));
      const auto kind = input == 1 ? ScoreTerm::Kind::kKeep : ScoreTerm::Kind::kDrop;
      scores.terms.push_back({kind, node->inputs[0], fill * scores.scale, in_windows, /*replaces=*/true});
    } else if (op == "Mul" || op == "Div") {
      const auto number = number_of(view, node->inputs[1 - input]);
      if (number) {
        scores.scale *= op == "Mul" ? *number : 1 / *number;
        continue;
      }
      if (scores.softcap != 0 || in_windows || !view.same_shape(node->inputs[input], node->outputs[0]))
        return refuse("scores are multiplied by a tensor in a way that queries cannot be");
      scores.factors.push_back({node->inputs[1 - input], op == "Div"});
    } else if (op == "Tanh") {
      if (scores.softcap != 0 || !(scores.scale > 0)) return refuse("tanh of the scores is not a softcap");
      scores.softcap = scores.scale;
      scores.scale = 1;
    } else if (op == "Reshape") {
      const auto &from = view.shape(node->inputs[0]), &to = view.shape(node->outputs[0]);
      if (!from || !to) return refuse("the shape of the scores is not known");
      if (scores.windows == ir::kNoValue && splits_first(*to, *from)) {
        scores.windows = node->inputs[0];
        in_windows = true;
      } else if (in_windows && splits_first(*from, *to) && view.same_shape(node->outputs[0], scores.windows)) {
        in_windows = false;
      } else {
        return refuse("scores take another shape on the way to the softmax");
      }
    } else if (op == "MatMul") {
      scores.product = node;
    }
  }
  if (in_windows) return refuse("scores take another shape on the way to the softmax");
  if (scores.softcap != 0) scores.scale *= scores.softcap;
  std::reverse(scores.terms.begin(), scores.terms.end());
  return scores;
}

}  // namespace cameo::passes
