#include "passes/sequence_axes.h"

#include <algorithm>

#include "ops/cameo_quantized_weight_matmul.h"
#include "passes/attributes.h"
#include "passes/elementwise.h"

namespace cameo::passes {
namespace {

using Axes = SequenceAxes;

class Rules {
 public:
  Rules(const ir::Node& node, const SequenceContext& context) : node_(node), c_(context), name_(node.op->name) {}

  Result<Axes> run() {
    for (size_t i = 0; i < node_.inputs.size(); ++i)
      if (node_.inputs[i] != ir::kNoValue && !shape(i)) return refuse("the rank of an input is not known");
    for (ir::ValueId id : node_.outputs)
      if (id != ir::kNoValue && !c_.facts[id].type.shape) return refuse("the rank of its result is not known");
    if (is_elementwise(node_)) return elementwise();
    if (name_ == "QuantizedWeightMatMul") return quantized_matmul();
    if (name_ == "MatMul") return matmul();
    if (name_ == "Gemm") return gemm();
    if (name_ == "Gather") return gather();
    if (name_ == "Reshape" || name_ == "Flatten") return reshape();
    if (name_ == "Transpose") return transpose();
    if (name_ == "Unsqueeze" || name_ == "Squeeze") return squeeze();
    if (name_ == "RotaryEmbedding") return rotary();
    if (name_ == "Expand") return expand();
    if (name_ == "Slice") return slice();
    if (name_ == "LayerNormalization" || name_ == "RMSNormalization") return normalize();
    if (name_ == "Softmax" || name_ == "LogSoftmax" || name_ == "LpNormalization" || name_ == "Split" || name_ == "Concat")
      return one_axis();
    if (name_ == "QuantizeLinear" || name_ == "DequantizeLinear") return quantize();
    if (name_.starts_with("Reduce")) return reduce();
    return refuse("it is not known to treat each position by itself");
  }

 private:
  Error refuse(std::string_view why) const { return error(ErrorCode::kUnsupported, "{}: {}", node_.describe(), why); }
  std::optional<Axes> axes(size_t i) const {
    return i < node_.inputs.size() && node_.inputs[i] != ir::kNoValue ? c_.axes(node_.inputs[i]) : std::nullopt;
  }
  const std::optional<ir::Shape>& shape(size_t i) const { return c_.facts[node_.inputs[i]].type.shape; }
  int rank(size_t i) const { return static_cast<int>(shape(i)->size()); }
  const ir::Shape& result() const { return *c_.facts[node_.outputs[0]].type.shape; }
  std::optional<std::vector<int64_t>> ints(size_t i) const {
    if (i >= node_.inputs.size() || node_.inputs[i] == ir::kNoValue || !c_.facts[node_.inputs[i]].constant.defined()) return std::nullopt;
    const auto values = ops::index_values(c_.facts[node_.inputs[i]].constant);
    if (!values) return std::nullopt;
    std::vector<int64_t> list;
    for (const ir::Dim& d : *values) list.push_back(d.value());
    return list;
  }
  // Whether an input other than the first may be there as well: all of them are the same for all rows and positions.
  bool others_have_none(size_t first) const {
    for (size_t i = 0; i < node_.inputs.size(); ++i)
      if (i != first && axes(i)) return false;
    return true;
  }
  static bool touches(const Axes& a, int64_t axis) { return axis == a.batch || axis == a.sequence; }

  // Whether broadcasting repeats the value along the axis, or has done so for the rows of the batch.
  bool is_one(const ir::Shape& shape, int axis, bool is_batch) const {
    const ir::Dim& extent = shape[static_cast<size_t>(axis)];
    return extent.is(1) || (is_batch && extent == c_.batch);
  }

  Result<Axes> elementwise() const {
    const int out = static_cast<int>(result().size());
    std::optional<Axes> common;
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      const auto own = axes(i);
      if (!own) continue;
      const int shift = out - rank(i);
      const Axes aligned = {own->batch + shift, own->sequence + shift};
      if (common && !(*common == aligned)) return refuse("its inputs have rows or positions along different axes");
      common = aligned;
    }
    // What is the same for all positions may not have an extent of its own there.
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      if (node_.inputs[i] == ir::kNoValue || axes(i)) continue;
      for (int axis : {common->batch, common->sequence}) {
        const int own = axis - (out - rank(i));
        if (own >= 0 && !is_one(*shape(i), own, axis == common->batch)) return refuse("a constant differs from position to position");
      }
    }
    return *common;
  }

  Result<Axes> matmul() const {
    const auto a = axes(0), b = axes(1);
    const int out = static_cast<int>(result().size());
    if (a && b) return refuse("it multiplies values of different positions");
    if (rank(0) < 2 || rank(1) < 2) return refuse("one of its inputs is a vector");
    if (a) {
      if (touches(*a, rank(0) - 1)) return refuse("it sums over positions");
      return shifted(*a, out - rank(0), rank(1));
    }
    if (touches(*b, rank(1) - 2)) return refuse("it sums over positions");
    return shifted(*b, out - rank(1), rank(0));
  }

  // Axes of the operand in the result; the other one, of that rank, may not be broadcast against them.
  Result<Axes> shifted(const Axes& a, int shift, int other_rank) const {
    const int out = static_cast<int>(result().size());
    const Axes moved = {a.batch + shift, a.sequence + shift};
    const size_t other = axes(0) ? 1 : 0;
    for (int axis : {moved.batch, moved.sequence}) {
      const int own = axis - (out - other_rank);
      if (axis < out - 2 && own >= 0 && !is_one(*shape(other), own, axis == moved.batch))
        return refuse("a constant differs from position to position");
    }
    return moved;
  }

  Result<Axes> gemm() const {
    const auto a = axes(0);
    if (!a || !others_have_none(0) || attr<int64_t>(node_, "transA").value_or(0) != 0 || !a->merged() || a->batch != 0)
      return refuse("it multiplies values of different positions");
    if (node_.inputs.size() > 2 && node_.inputs[2] != ir::kNoValue && rank(2) == 2 && !(*shape(2))[0].is(1))
      return refuse("a constant differs from position to position");
    return *a;
  }

  Result<Axes> gather() const {
    const int64_t axis = normal(attr<int64_t>(node_, "axis").value_or(0), rank(0));
    const auto data = axes(0), indices = axes(1);
    if (data && indices) return refuse("it picks by values of positions");
    if (indices) return Axes{static_cast<int>(indices->batch + axis), static_cast<int>(indices->sequence + axis)};
    if (touches(*data, axis)) return refuse("it picks positions");
    const auto moved = [&](int a) { return a > axis ? a + rank(1) - 1 : a; };
    return Axes{moved(data->batch), moved(data->sequence)};
  }

  static int64_t normal(int64_t axis, int64_t rank) { return axis < 0 ? axis + rank : axis; }

  // Rows and positions lie in memory as before: in the result they are the axes with as many elements behind them.
  Result<Axes> reshape() const {
    const auto a = axes(0);
    if (!a || !others_have_none(0)) return refuse("its shape depends on values of positions");
    const ir::Shape &from = *shape(0), &to = result();
    const auto behind = [](const ir::Shape& s, size_t axis) {
      ir::Dim n = 1;
      for (size_t i = axis + 1; i < s.size(); ++i) n = n * s[i];
      return n;
    };
    if (!a->merged() && a->sequence < a->batch) return refuse("positions stand before rows");
    const ir::Dim inner = behind(from, static_cast<size_t>(a->sequence));
    const ir::Dim outer = a->merged() ? inner * c_.length : behind(from, static_cast<size_t>(a->batch));
    for (size_t k = 0; k < to.size(); ++k) {
      if (!(behind(to, k) == inner)) continue;
      if (to[k] == c_.length)
        for (size_t j = 0; j < k; ++j)
          if (to[j] == c_.batch && behind(to, j) == outer) return Axes{static_cast<int>(j), static_cast<int>(k)};
      if (to[k] == c_.batch * c_.length && outer == inner * c_.length) return Axes{static_cast<int>(k), static_cast<int>(k)};
    }
    return refuse("it puts positions together with something else");
  }

  Result<Axes> transpose() const {
    auto perm = attr<std::vector<int64_t>>(node_, "perm");
    const auto a = *axes(0);
    if (!perm || perm->empty()) {
      perm.emplace();
      for (int i = rank(0); i-- > 0;) perm->push_back(i);
    }
    const auto moved = [&](int axis) { return static_cast<int>(std::find(perm->begin(), perm->end(), axis) - perm->begin()); };
    return Axes{moved(a.batch), moved(a.sequence)};
  }

  Result<Axes> squeeze() const {
    const bool adds = name_ == "Unsqueeze";
    auto list = node_.version >= 13 ? ints(1) : attr<std::vector<int64_t>>(node_, "axes");
    if (!list || !axes(0)) return refuse("its axes are not known");
    const int64_t wide = adds ? static_cast<int64_t>(result().size()) : rank(0);
    std::vector<char> is_one(static_cast<size_t>(wide), 0);
    for (int64_t axis : *list) {
      axis = normal(axis, wide);
      if (axis < 0 || axis >= wide) return refuse("its axes are out of range");
      is_one[static_cast<size_t>(axis)] = 1;
    }
    // Where each axis of the narrower tensor lies in the wider one.
    std::vector<int> kept;
    for (int i = 0; i < wide; ++i)
      if (!is_one[static_cast<size_t>(i)]) kept.push_back(i);
    const Axes a = *axes(0);
    if (adds) return Axes{kept.at(static_cast<size_t>(a.batch)), kept.at(static_cast<size_t>(a.sequence))};
    if (is_one[static_cast<size_t>(a.batch)] || is_one[static_cast<size_t>(a.sequence)]) return refuse("it drops the axis of positions");
    const auto narrow = [&](int axis) { return static_cast<int>(std::find(kept.begin(), kept.end(), axis) - kept.begin()); };
    return Axes{narrow(a.batch), narrow(a.sequence)};
  }

  // X [batch, sequence, heads * size] or [batch, heads, sequence, size]; tables by position or [batch, sequence, half].
  Result<Axes> rotary() const {
    const auto x = axes(0);
    const Axes expected = rank(0) == 4 ? Axes{0, 2} : Axes{0, 1};
    if (!x || !(*x == expected)) return refuse("rows and positions are not where the operator has them");
    for (size_t i : {1, 2, 3})
      if (const auto own = axes(i); own && !(*own == Axes{0, 1})) return refuse("its angles are not one for each position");
    const bool by_position = node_.inputs.size() > 3 && node_.inputs[3] != ir::kNoValue;
    if (by_position ? !axes(3) || axes(1) || axes(2) : !axes(1) || !axes(2)) return refuse("its angles do not depend on the position");
    return *x;
  }

  Result<Axes> expand() const {
    const auto a = axes(0);
    if (!a || axes(1)) return refuse("its shape depends on values of positions");
    const int shift = static_cast<int>(result().size()) - rank(0);
    const Axes moved = {a->batch + shift, a->sequence + shift};
    for (int axis : {moved.batch, moved.sequence})
      if (!(result()[static_cast<size_t>(axis)] == (*shape(0))[static_cast<size_t>(axis - shift)])) return refuse("it repeats positions");
    return moved;
  }

  Result<Axes> slice() const {
    const auto a = axes(0);
    const auto list = ints(3);
    if (!a || !others_have_none(0) || !list) return refuse("its axes are not known");
    for (int64_t axis : *list)
      if (touches(*a, normal(axis, rank(0)))) return refuse("it leaves out positions");
    return *a;
  }

  Result<Axes> normalize() const {
    const auto a = axes(0);
    const int64_t axis = normal(attr<int64_t>(node_, "axis").value_or(-1), rank(0));
    if (!a || !others_have_none(0)) return refuse("its scale depends on values of positions");
    if (axis <= std::max(a->batch, a->sequence)) return refuse("it takes a mean over positions");
    return *a;
  }

  Result<Axes> one_axis() const {
    const int64_t fallback = name_ == "Split" || (name_.ends_with("Softmax") && node_.version < 13) ? (name_ == "Split" ? 0 : 1) : -1;
    const int64_t axis = normal(attr<int64_t>(node_, "axis").value_or(fallback), rank(0));
    const auto a = axes(0);
    if (!a || (name_ != "Concat" && !others_have_none(0))) return refuse("some of its inputs have no positions");
    if (name_ == "Concat")
      for (size_t i = 1; i < node_.inputs.size(); ++i)
        if (!axes(i) || !(*axes(i) == *a)) return refuse("some of its inputs have no positions");
    if (touches(*a, axis)) return refuse("it works along positions");
    // The old form takes all axes from that one on.
    if (name_.ends_with("Softmax") && node_.version < 13 && (axis <= a->batch || axis <= a->sequence))
      return refuse("it works along positions");
    return *a;
  }

  Result<Axes> reduce() const {
    const auto a = axes(0);
    auto list = attr<std::vector<int64_t>>(node_, "axes");
    if (!list || list->empty()) list = ints(1);
    if (!a || !others_have_none(0) || !list || list->empty()) return refuse("it reduces all axes, or it is not known which");
    const bool keeps = attr<int64_t>(node_, "keepdims").value_or(1) != 0;
    Axes moved = *a;
    for (int64_t axis : *list) {
      axis = normal(axis, rank(0));
      if (touches(*a, axis)) return refuse("it reduces over positions");
      if (keeps) continue;
      moved.batch -= axis < a->batch;
      moved.sequence -= axis < a->sequence;
    }
    return moved;
  }

  // Rows times a constant matrix of few bits, then element by element with others.
  Result<Axes> quantized_matmul() const {
    const auto a = axes(0);
    if (!a || touches(*a, rank(0) - 1)) return refuse("it sums over positions");
    for (size_t i = 1; i < node_.inputs.size(); ++i) {
      if (node_.inputs[i] == ir::kNoValue) continue;
      const auto own = axes(i);
      if (own ? i < ops::kQuantizedWeightOperands || !(*own == *a) || rank(i) != rank(0)
              : i >= ops::kQuantizedWeightOperands && rank(i) > 1)
        return refuse("its operands differ from position to position");
    }
    return *a;
  }

  // Scales and zero points are numbers, constants along another axis, or blocks of each position, as rows of a table in few bits have.
  Result<Axes> quantize() const {
    const auto a = axes(0);
    if (!a) return refuse("its scale depends on values of positions");
    const int64_t axis = normal(attr<int64_t>(node_, "axis").value_or(1), rank(0));
    const bool blocked = attr<int64_t>(node_, "block_size").value_or(0) > 0;
    for (size_t i = 1; i < node_.inputs.size(); ++i) {
      if (node_.inputs[i] == ir::kNoValue || (!axes(i) && rank(i) == 0)) continue;
      if (touches(*a, axis)) return refuse("its scale differs from position to position");
      const auto own = axes(i);
      if (own ? !(*own == *a) || !blocked || rank(i) != rank(0) : rank(i) != 1) return refuse("its scale is none of each position");
    }
    return *a;
  }

  const ir::Node& node_;
  const SequenceContext& c_;
  std::string_view name_;
};

}  // namespace

bool is_position_wise_domain(const ir::Node& node) {
  return node.op->domain.empty() || (node.op->domain == ops::kCameoDomain && node.op->name == "QuantizedWeightMatMul");
}

Result<SequenceAxes> sequence_axes(const ir::Node& node, const SequenceContext& context) {
  if (!is_position_wise_domain(node) || !node.subgraphs.empty())
    return error(ErrorCode::kUnsupported, "{}: it is not known to treat each position by itself", node.describe());
  return Rules(node, context).run();
}

}  // namespace cameo::passes
