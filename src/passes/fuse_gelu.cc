// Gelu from its parts, whatever the order in which exporters multiply:
//   x * 0.5 * (1 + erf(x / sqrt(2)))                                  Gelu
//   x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))         Gelu, approximate = tanh
// The tree of Mul and Div at the root is read as c * x * (a + b * f(p(x))), with f erf or tanh and p a polynomial; it is a Gelu
// when all coefficients are, within rounding, those above. Results differ in rounding.
#include <array>
#include <cmath>

#include "passes/pass.h"
#include "passes/products.h"

namespace cameo::passes {
namespace {

constexpr int kMaxDepth = 8;
using Polynomial = std::array<double, 4>;  // of degree 3, the constant first

std::optional<Polynomial> product(const Polynomial& a, const Polynomial& b) {
  Polynomial c = {};
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b.size(); ++j) {
      if (a[i] == 0 || b[j] == 0) continue;
      if (i + j >= c.size()) return std::nullopt;
      c[i + j] += a[i] * b[j];
    }
  return c;
}

// Reads arithmetic over one value.
class Reader {
 public:
  Reader(const GraphView& view, ir::ValueId variable, Region& region) : view_(view), variable_(variable), region_(region) {}

  std::optional<Polynomial> polynomial(ir::ValueId id, int depth = 0) {
    if (id == variable_) return Polynomial{0, 1};
    if (const auto number = number_of(view_, id)) return Polynomial{*number};
    const ir::Node* node = view_.producer(id);
    if (node == nullptr || depth > kMaxDepth || !node->op->domain.empty() || node->inputs.size() != 2) return std::nullopt;
    const std::string_view op = node->op->name;
    if (op != "Add" && op != "Sub" && op != "Mul" && op != "Div" && op != "Pow") return std::nullopt;
    auto a = polynomial(node->inputs[0], depth + 1);
    if (!a) return std::nullopt;
    region_.add(*node);
    if (op == "Div" || op == "Pow") {
      const auto number = number_of(view_, node->inputs[1]);
      if (!number) return std::nullopt;
      if (op == "Div") return product(*a, {1 / *number});
      std::optional<Polynomial> power = *a;
      if (*number != 2 && *number != 3) return std::nullopt;
      for (int i = 1; i < static_cast<int>(*number) && power; ++i) power = product(*power, *a);
      return power;
    }
    const auto b = polynomial(node->inputs[1], depth + 1);
    if (!b) return std::nullopt;
    if (op == "Mul") return product(*a, *b);
    for (size_t i = 0; i < a->size(); ++i) (*a)[i] += op == "Add" ? (*b)[i] : -(*b)[i];
    return a;
  }

 private:
  const GraphView& view_;
  ir::ValueId variable_;
  Region& region_;
};

// The erf or tanh in a + b * f(…), or null.
const ir::Node* function_in(const GraphView& view, ir::ValueId gate) {
  const ir::Node* sum = made_by(view, gate, "Add");
  if (sum == nullptr) return nullptr;
  for (ir::ValueId id : sum->inputs) {
    if (const ir::Node* scaled = made_by(view, id, "Mul")) id = number_of(view, scaled->inputs[0]) ? scaled->inputs[1] : scaled->inputs[0];
    for (const char* name : {"Erf", "Tanh"})
      if (const ir::Node* f = made_by(view, id, name)) return f;
  }
  return nullptr;
}

Rewrite gelu(const Match& match, const GraphView& view) {
  const ir::Node& root = match.root();
  std::vector<ir::ValueId> values;
  factors(view, root.outputs[0], values);
  for (ir::ValueId gate : values) {
    const ir::Node* f = function_in(view, gate);
    if (f == nullptr) continue;
    const bool exact = f->op->name == "Erf";
    for (ir::ValueId x : values) {
      if (x == gate || x == root.outputs[0] || view.constant(x) != nullptr) continue;
      const DType dtype = view.dtype(x);
      Region region(view);
      const auto outer = gated(view, root.outputs[0], x, gate, region);
      if (!outer || outer->of_x != 1 || outer->of_gate != 1) continue;
      const auto sum = Reader(view, f->outputs[0], region).polynomial(gate);
      const auto inner = Reader(view, x, region).polynomial(f->inputs[0]);
      if (!sum || !inner) continue;
      const double k = exact ? std::sqrt(0.5) : std::sqrt(2 / M_PI), cubic = exact ? 0 : k * 0.044715;
      if (!is_close(outer->coefficient * (*sum)[0], 0.5, dtype) || !is_close(outer->coefficient * (*sum)[1], 0.5, dtype) ||
          (*sum)[2] != 0 || (*sum)[3] != 0 || (*inner)[0] != 0 || !is_close((*inner)[1], k, dtype) || (*inner)[2] != 0 ||
          !is_close((*inner)[3], cubic, dtype))
        continue;
      region.add(*f);
      if (const std::string outside = region.used_outside(root); !outside.empty()) return Reject{outside};
      if (!view.same_shape(x, root.outputs[0])) return Reject{"a constant of a higher rank changes its shape"};
      Patch patch(view);
      const ir::ValueId y = patch.node("Gelu", {x}, {{"approximate", std::string(exact ? "none" : "tanh")}});
      patch.add_sources(region.sources());
      patch.replace(root.outputs[0], y);
      return patch;
    }
  }
  return NoMatch{};
}

std::vector<Rule> rules() { return {{op_list({"Mul", "Div"}, {any(), any()}), &gelu}}; }

}  // namespace

CAMEO_DEFINE_PASS(fuse_gelu) = {
    .name = "fuse_gelu",
    .summary = "finds Gelu that is written out with erf or tanh",
    .rules = &rules,
};

}  // namespace cameo::passes
