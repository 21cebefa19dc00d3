#include "backends/cuda/row_parts.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/attributes.h"

namespace cameo::cuda {
namespace {

using runtime::Specialization;
using Place = Specialization::Place;

template <size_t N>
bool is_one_of(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Input 0 has rows; the others are parameters, or operands of what is fused behind, with the extents of the output.
constexpr std::string_view kImages[] = {"AveragePool", "BatchNormalization", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"};
constexpr std::string_view kProducts[] = {"MatMul", "QuantizedWeightMatMul"};
// The same, of 8 bits: weights and their scales are the inputs 1 and 2.
constexpr std::string_view kOf8Bits[] = {"Float8Conv", "QuantizedConv", "QuantizedMatMul"};
constexpr size_t kOperands = 3;
constexpr std::string_view kElementwise[] = {"Add", "Cast", "Clip",      "Div",  "Erf",     "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
                                             "Mul", "Neg",  "Pointwise", "Relu", "Sigmoid", "Sub",  "Tanh",        "Where"};
constexpr size_t kAttentionMask = 3;

Dims dims_of(const Specialization& spec, ir::ValueId id) {
  const ir::Type& type = spec.facts[id].type;
  return type.is_tensor() && type.shape ? ir::to_dims(*type.shape).value_or(Dims()) : Dims();
}

class Check {
 public:
  Check(const ir::Graph& graph, const Specialization& whole, const Specialization& part, int64_t parts, const InputOf& input_of)
      : graph_(graph), whole_(whole), part_(part), parts_(parts), input_of_(input_of) {}

  bool apart(size_t step) const {
    const ir::Node& node = graph_.nodes[whole_.steps[step].node];
    if (!node.subgraphs.empty() || node.outputs.empty()) return false;
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue && !rows(id)) return false;
    std::vector<ir::ValueId> in;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      in.push_back(input_of_(step, i));
      if (in[i] != ir::kNoValue && !rows(in[i]) && !same(in[i])) return false;
    }
    if (in.empty() || in[0] == ir::kNoValue) return false;
    const std::string_view op = node.op->name;
    const Attributes attrs(*node.attrs);
    const auto rank = static_cast<int64_t>(rank_of(in[0]));
    const auto along = [&](int64_t axis) { return (axis < 0 ? axis + rank : axis) == 0; };
    if (is_one_of(op, kElementwise)) return aligned(in, 0, node.outputs[0]);
    if (is_one_of(op, kImages)) return rows(in[0]) && aligned(in, 1, node.outputs[0]);
    // A matrix for all rows on the right.
    if (is_one_of(op, kProducts))
      return rows(in[0]) && rank >= 2 && attrs.integer("trans_a") == 0 && in.size() > 1 && !rows(in[1]) && rank_of(in[1]) <= 2 &&
             aligned(in, 2, node.outputs[0]);
    // A scale that is not known before the run is found over all rows.
    const bool scaled = op == "Float8MatMul" && attrs.real("x_scale", 0) != 0;
    if (is_one_of(op, kOf8Bits) || scaled)
      return rows(in[0]) && rank >= 2 && in.size() >= kOperands && !rows(in[1]) && !rows(in[2]) && aligned(in, kOperands, node.outputs[0]);
    if (op == "QuantizeLinear" || op == "DequantizeLinear") return rows(in[0]) && none_has_rows(in, 1);
    if (op == "LayerNormalization" || op == "RMSNormalization")
      return rows(in[0]) && !along(attrs.integer("axis", -1)) && none_has_rows(in, 1);
    if (op == "Softmax") return rows(in[0]) && node.version >= 13 && !along(attrs.integer("axis", -1));
    if (op == "Transpose") {
      const std::vector<int64_t> perm = attrs.integers("perm");
      return rows(in[0]) && !perm.empty() && perm[0] == 0;
    }
    if (op == "ReduceMean") {
      // Axes as an attribute or as a constant.
      std::vector<int64_t> axes = attrs.integers("axes");
      if (in.size() > 1 && in[1] != ir::kNoValue) {
        const Tensor& list = whole_.facts[in[1]].constant;
        if (!list.defined() || list.dtype() != DType::kInt64) return false;
        axes.assign(list.data<int64_t>(), list.data<int64_t>() + list.num_elements());
      }
      return rows(in[0]) && !axes.empty() && std::none_of(axes.begin(), axes.end(), along);
    }
    if (op == "Gather") return in.size() == 2 && !rows(in[0]) && rows(in[1]) && attrs.integer("axis") == 0;
    if (op == "Attention") {
      if (!node.op->domain.empty()) return false;
      for (size_t i = 0; i < in.size(); ++i) {
        if (in[i] == ir::kNoValue) continue;
        if (i < kAttentionMask ? !rows(in[i]) : i > kAttentionMask) return false;
        // A mask with rows has a batch axis.
        if (i == kAttentionMask && rows(in[i]) && rank_of(in[i]) != 4) return false;
      }
      return in.size() >= kAttentionMask;
    }
    return false;
  }

 private:
  bool rows(ir::ValueId id) const { return has_rows(whole_, part_, id, parts_); }
  size_t rank_of(ir::ValueId id) const { return dims_of(whole_, id).rank(); }
  // Nothing depends on the batch.
  bool same(ir::ValueId id) const {
    if (!(dims_of(whole_, id) == dims_of(part_, id))) return false;
    const auto &a = whole_.values[id], &b = part_.values[id];
    if (a.place != b.place) return false;
    if (a.place != Place::kConstant) return a.place == Place::kInput;
    const Tensor &x = whole_.facts[id].constant, &y = part_.facts[id].constant;
    return x.defined() && y.defined() &&
           (x.raw() == y.raw() || (x.num_bytes() == y.num_bytes() && std::memcmp(x.raw(), y.raw(), x.num_bytes()) == 0));
  }
  // Operands from `first` on broadcast to the output so that rows meet the same rows.
  bool aligned(const std::vector<ir::ValueId>& in, size_t first, ir::ValueId out) const {
    for (size_t i = first; i < in.size(); ++i)
      if (in[i] != ir::kNoValue && rows(in[i]) && rank_of(in[i]) != rank_of(out)) return false;
    return true;
  }
  bool none_has_rows(const std::vector<ir::ValueId>& in, size_t first) const {
    for (size_t i = first; i < in.size(); ++i)
      if (in[i] != ir::kNoValue && rows(in[i])) return false;
    return true;
  }

  const ir::Graph& graph_;
  const Specialization &whole_, &part_;
  const int64_t parts_;
  const InputOf& input_of_;
};

}  // namespace

bool has_rows(const Specialization& whole, const Specialization& part, ir::ValueId id, int64_t parts) {
  const auto &a = whole.values[id], &b = part.values[id];
  if (a.place != b.place || a.place == Place::kConstant) return false;
  const Dims x = dims_of(whole, id), y = dims_of(part, id);
  if (x.rank() == 0 || x.rank() != y.rank() || y[0] < 1 || x[0] != y[0] * parts) return false;
  return std::equal(x.begin() + 1, x.end(), y.begin() + 1);
}

RowParts rows_apart(const ir::Graph& graph, const Specialization& whole, const Specialization& part, int64_t parts,
                    const InputOf& input_of) {
  if (parts < 2 || whole.steps.size() != part.steps.size()) return {};
  for (size_t k = 0; k < whole.steps.size(); ++k)
    if (whole.steps[k].node != part.steps[k].node) return {};
  const Check check(graph, whole, part, parts, input_of);
  const size_t steps = whole.steps.size();
  RowParts r{.head = 0, .tail = steps};
  while (r.head < steps && check.apart(r.head)) ++r.head;
  while (r.tail > 0 && check.apart(r.tail - 1)) --r.tail;
  return r;
}

}  // namespace cameo::cuda
