#include "backends/cuda/layout_fusion.h"

#include <algorithm>
#include <optional>
#include <set>

#include "backends/cuda/program.h"

namespace cameo::cuda {
namespace {

using runtime::Specialization;
using Place = Specialization::Place;
using Kind = LayoutExpression::Kind;

constexpr int64_t kSmall = 1024;         // elements; steps of fewer become one kernel with their neighbours
constexpr int64_t kTurned = 8;           // extents from which on a transposition by tiles reads and writes faster
constexpr size_t kMostInputs = 32;       // of a step
constexpr size_t kMostExpressions = 64;  // of a step
constexpr int64_t kMostElements = INT32_MAX / 2;

bool is(const ir::Node& node, std::string_view name) { return node.op->domain.empty() && node.op->name == name; }
bool is_pointwise(const ir::Node& node) { return node.op->domain == "ai.cameo" && node.op->name == "Pointwise"; }

class Fuser {
 public:
  Fuser(const ir::Graph& graph, Specialization& spec, const InputsOf& inputs_of)
      : graph_(graph),
        spec_(spec),
        maker_(spec.values.size(), kNone),
        readers_(spec.values.size()),
        moves_(graph.nodes.size()),
        alone_(graph.nodes.size(), 0) {
    for (const auto& step : spec_.steps) {
      const ir::Node& node = graph_.nodes[step.node];
      const std::vector<ir::ValueId> inputs = inputs_of(step.node);
      alone_[step.node] = inputs == node.inputs;
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) maker_[id] = step.node;
      const auto read = [&](ir::ValueId id) {
        if (id != ir::kNoValue) readers_[source(id)].push_back(step.node);
      };
      ir::for_each_use(node, read);
      std::for_each(inputs.begin(), inputs.end(), read);
      if (alone_[step.node]) moves_[step.node] = moved(node);
    }
    for (ir::ValueId id : graph_.outputs) readers_[source(id)].push_back(kNone);
  }

  std::map<uint32_t, FusedLayout> run() {
    find_inner();
    std::map<uint32_t, FusedLayout> found;
    for (const auto& step : spec_.steps) {
      const ir::Node& node = graph_.nodes[step.node];
      if (!is_root(step.node) || inner_.count(node.outputs[0])) continue;
      const bool takes = std::any_of(node.inputs.begin(), node.inputs.end(),
                                     [&](ir::ValueId id) { return id != ir::kNoValue && inner_.count(source(id)); });
      if (!takes && !(is(node, "Concat") && node.inputs.size() > 1)) continue;
      FusedLayout layout;
      layout.expression = of_node(step.node, node.outputs[0], layout);
      found.emplace(step.node, std::move(layout));
    }
    leave_away();
    return found;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  ir::ValueId source(ir::ValueId id) const { return spec_.values[id].place == Place::kView ? spec_.values[id].source : id; }
  Dims dims_of(ir::ValueId id) const {
    const ir::Type& type = spec_.facts[id].type;
    return type.is_tensor() && type.shape ? ir::to_dims(*type.shape).value_or(Dims()) : Dims();
  }
  bool is_large(ir::ValueId id) const {
    const int64_t elements = dims_of(id).num_elements();
    return elements > kSmall && elements <= kMostElements;
  }
  std::optional<std::vector<int64_t>> integers(const ir::Node& node, size_t input) const {
    if (input >= node.inputs.size() || node.inputs[input] == ir::kNoValue) return std::vector<int64_t>();
    const Tensor& t = spec_.facts[node.inputs[input]].constant;
    if (!t.defined()) return std::nullopt;
    if (t.dtype() == DType::kInt64) return std::vector<int64_t>(t.data<int64_t>(), t.data<int64_t>() + t.num_elements());
    if (t.dtype() == DType::kInt32) return std::vector<int64_t>(t.data<int32_t>(), t.data<int32_t>() + t.num_elements());
    return std::nullopt;
  }

  // What the node does with its input, or with its inputs: an expression for each output, without `from`. None where it is no such node.
  std::vector<LayoutExpression> moved(const ir::Node& node) const {
    if (node.inputs.empty() || node.inputs[0] == ir::kNoValue || node.outputs.empty() || !node.subgraphs.empty()) return {};
    for (ir::ValueId id : node.outputs)
      if (id == ir::kNoValue || dims_of(id).num_elements() == 0 || dims_of(id).num_elements() > kMostElements) return {};
    const Attributes attrs(*node.attrs);
    const Dims x = dims_of(node.inputs[0]), y = dims_of(node.outputs[0]);
    if (x.num_elements() == 0 || x.num_elements() > kMostElements || x.rank() == 0) return {};
    LayoutExpression e{.dims = y};
    const auto axis_in = [&](int64_t axis, size_t rank) {
      return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
    };
    if (is(node, "Transpose")) {
      e.kind = Kind::kTranspose;
      e.numbers.assign(x.rank(), 0);
      std::vector<int64_t> perm = attrs.integers("perm");
      if (perm.empty())
        for (size_t i = x.rank(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
      if (perm.size() != x.rank()) return {};
      for (size_t i = 0; i < perm.size(); ++i) e.numbers[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
      // The innermost axes with extents above 1 on both sides.
      size_t from = x.rank(), to = y.rank();
      while (from > 0 && x[from - 1] == 1) --from;
      while (to > 0 && y[to - 1] == 1) --to;
      if (from > 0 && to > 0 && static_cast<size_t>(perm[to - 1]) != from - 1 && x[from - 1] >= kTurned && y[to - 1] >= kTurned) return {};
      return {e};
    }
    if (is(node, "Expand")) {
      e.kind = Kind::kExpand;
      return {e};
    }
    if (is(node, "Concat")) {
      e.kind = Kind::kConcat;
      e.axis = axis_in(attrs.integer("axis", node.version < 4 ? 1 : 0), y.rank());
      if (e.axis >= y.rank() || node.inputs.size() > kMostInputs) return {};
      for (ir::ValueId id : node.inputs)
        if (id == ir::kNoValue || dims_of(id).rank() != y.rank()) return {};
      return {e};
    }
    if (is(node, "Slice")) return sliced(node, attrs, x, y);
    if (is(node, "Split")) {
      std::vector<LayoutExpression> parts;
      const size_t axis = axis_in(attrs.integer("axis"), x.rank());
      if (axis >= x.rank()) return {};
      int64_t first = 0;
      for (ir::ValueId id : node.outputs) {
        LayoutExpression part{.kind = Kind::kSlice, .dims = dims_of(id)};
        for (size_t i = 0; i < x.rank(); ++i) part.numbers.insert(part.numbers.end(), {i == axis ? first : 0, 1});
        first += part.dims[axis];
        parts.push_back(std::move(part));
      }
      return parts;
    }
    return {};
  }

  std::vector<LayoutExpression> sliced(const ir::Node& node, const Attributes& attrs, const Dims& x, const Dims& y) const {
    std::optional<std::vector<int64_t>> starts, axes, steps;
    if (node.version < 10) {
      starts = attrs.integers("starts");
      axes = attrs.integers("axes");
      steps.emplace();
    } else {
      starts = integers(node, 1), axes = integers(node, 3), steps = integers(node, 4);
    }
    if (!starts || !axes || !steps || (!axes->empty() && axes->size() != starts->size()) ||
        (!steps->empty() && steps->size() != starts->size()))
      return {};
    LayoutExpression e{.kind = Kind::kSlice, .dims = y};
    for (size_t i = 0; i < x.rank(); ++i) e.numbers.insert(e.numbers.end(), {0, 1});
    for (size_t k = 0; k < starts->size(); ++k) {
      int64_t axis = axes->empty() ? static_cast<int64_t>(k) : (*axes)[k];
      if (axis < 0) axis += static_cast<int64_t>(x.rank());
      if (axis < 0 || axis >= static_cast<int64_t>(x.rank())) return {};
      const auto a = static_cast<size_t>(axis);
      const int64_t step = steps->empty() ? 1 : (*steps)[k], extent = x[a];
      if (step == 0) return {};
      int64_t start = (*starts)[k] < 0 ? (*starts)[k] + extent : (*starts)[k];
      start = std::clamp<int64_t>(start, 0, step > 0 ? extent : extent - 1);
      const int64_t last = start + (y[a] - 1) * step;
      if (last < 0 || last >= extent) return {};
      e.numbers[2 * a] = start;
      e.numbers[2 * a + 1] = step;
    }
    return {e};
  }

  bool is_root(uint32_t n) const {
    if (n == kNone || !alone_[n]) return false;
    const ir::Node& node = graph_.nodes[n];
    if (node.outputs.size() != 1 || node.outputs[0] == ir::kNoValue || !is_large(node.outputs[0])) return false;
    if (is_pointwise(node)) {
      for (ir::ValueId id : node.inputs)
        if (id == ir::kNoValue) return false;
      return true;
    }
    return moves_[n].size() == 1;
  }

  // Values that all that reads them can do without: each reader is such a step itself.
  void find_inner() {
    for (const auto& step : spec_.steps) {
      const ir::Node& node = graph_.nodes[step.node];
      if (moves_[step.node].empty()) continue;
      bool all = true;
      for (ir::ValueId id : node.outputs) {
        all = all && spec_.values[id].place == Place::kArena && !readers_[id].empty();
        for (const uint32_t reader : readers_[id]) all = all && is_root(reader) && takes_elements(reader, id);
      }
      if (!all) continue;
      for (ir::ValueId id : node.outputs) inner_.insert(id);
    }
    // What a step would take in has a limit; where it is passed, values are kept, those made last first.
    for (bool changed = true; changed;) {
      changed = false;
      for (auto step = spec_.steps.rbegin(); step != spec_.steps.rend() && !changed; ++step) {
        const ir::Node& node = graph_.nodes[step->node];
        if (!is_root(step->node) || inner_.count(node.outputs[0])) continue;
        size_t leaves = 0, expressions = 0;
        count(step->node, leaves, expressions);
        if (leaves <= kMostInputs && expressions <= kMostExpressions) continue;
        for (ir::ValueId id : node.inputs) {
          const ir::ValueId from = source(id);
          if (!inner_.count(from)) continue;
          for (ir::ValueId other : graph_.nodes[maker_[from]].outputs) inner_.erase(other);
          changed = true;
        }
        if (!changed) break;
      }
    }
  }
  // Whether the reader takes the value's elements, and not as numbers that say what to do.
  bool takes_elements(uint32_t reader, ir::ValueId id) const {
    const ir::Node& node = graph_.nodes[reader];
    if (is_pointwise(node) || is(node, "Concat")) return true;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] != ir::kNoValue && source(node.inputs[i]) == id) return false;
    return true;
  }
  void count(uint32_t n, size_t& leaves, size_t& expressions) const {
    const ir::Node& node = graph_.nodes[n];
    ++expressions;
    if (leaves > kMostInputs || expressions > kMostExpressions) return;
    const size_t inputs = is_pointwise(node) || is(node, "Concat") ? node.inputs.size() : 1;
    for (size_t i = 0; i < inputs; ++i) {
      const ir::ValueId from = source(node.inputs[i]);
      if (inner_.count(from))
        count(maker_[from], leaves, expressions);
      else
        ++leaves, ++expressions;
    }
  }

  LayoutExpression of_node(uint32_t n, ir::ValueId output, FusedLayout& layout) {
    const ir::Node& node = graph_.nodes[n];
    LayoutExpression e;
    size_t inputs = 1;
    if (is_pointwise(node)) {
      e.kind = Kind::kProgram;
      e.dims = dims_of(output);
      const Attributes attrs(*node.attrs);
      e.program = *ops::decode_point_program(static_cast<int>(node.inputs.size()), attrs.integers("program"), attrs.reals("constants"));
      inputs = node.inputs.size();
    } else {
      e = moves_[n][static_cast<size_t>(std::find(node.outputs.begin(), node.outputs.end(), output) - node.outputs.begin())];
      if (e.kind == Kind::kConcat) inputs = node.inputs.size();
    }
    for (size_t i = 0; i < inputs; ++i) {
      LayoutExpression from = of_value(node.inputs[i], layout);
      if (e.kind == Kind::kProgram && !(from.dims == e.dims))
        from = LayoutExpression{.kind = Kind::kExpand, .dims = e.dims, .from = {std::move(from)}};
      e.from.push_back(std::move(from));
    }
    return e;
  }
  LayoutExpression of_value(ir::ValueId id, FusedLayout& layout) {
    const ir::ValueId from = source(id);
    LayoutExpression e;
    if (inner_.count(from)) {
      e = of_node(maker_[from], from, layout);
    } else {
      // A view is read as what it is one of, which the step's memory is known by.
      const auto at = std::find(layout.inputs.begin(), layout.inputs.end(), id);
      e.input = static_cast<size_t>(at - layout.inputs.begin());
      e.dims = dims_of(id);
      if (at == layout.inputs.end()) layout.inputs.push_back(id);
      return e;
    }
    const Dims dims = dims_of(id);
    if (e.dims == dims) return e;
    return {.kind = Kind::kReshape, .dims = dims, .from = {std::move(e)}};
  }

  // Takes the steps away that others do.
  void leave_away() {
    std::erase_if(spec_.steps, [&](const auto& step) { return inner_.count(graph_.nodes[step.node].outputs[0]) > 0; });
    for (ir::ValueId id : inner_) spec_.values[id].place = Place::kUnused;
    for (ir::ValueId id : spec_.views)
      if (inner_.count(spec_.values[id].source)) spec_.values[id].place = Place::kUnused;
    std::erase_if(spec_.views, [&](ir::ValueId id) { return spec_.values[id].place != Place::kView; });
  }

  const ir::Graph& graph_;
  Specialization& spec_;
  std::vector<uint32_t> maker_;                       // by value: the node
  std::vector<std::vector<uint32_t>> readers_;        // by value: nodes; kNone for the graph's outputs
  std::vector<std::vector<LayoutExpression>> moves_;  // by node
  std::vector<char> alone_;                           // by node: its step reads what it reads
  std::set<ir::ValueId> inner_;
};

// Writes the lines that compute `width` neighbours along the last axis.
class Emitter {
 public:
  Emitter(Source& s, std::span<const Operand> operands, DType result) : s_(s), operands_(operands), result_(result) {}

  // Declares an array of them; `at`: the index of the first one.
  std::string emit(const LayoutExpression& e, const std::vector<std::string>& at, int width) {
    const std::string to = s_.name("e");
    s_.line(fmt::format("{} {}[{}];", type_of(e), to, width));
    fill(e, at, width, to);
    return to;
  }

 private:
  std::string type_of(const LayoutExpression& e) const {
    if (e.kind == Kind::kProgram) return "float";
    return e.kind == Kind::kInput ? compute_type(operands_[e.input].dtype) : type_of(e.from[0]);
  }

  void fill(const LayoutExpression& e, const std::vector<std::string>& at, int width, const std::string& to) {
    switch (e.kind) {
      case Kind::kInput:
        return load(e, at, width, to);
      case Kind::kReshape: {
        const std::string index = s_.name("l");
        s_.line(fmt::format("const I {} = {};", index, s_.offset(at, dense_strides(e.dims))));
        return fill(e.from[0], s_.unravel(index, e.from[0].dims), width, to);
      }
      case Kind::kTranspose: {
        std::vector<std::string> from;
        for (const int64_t axis : e.numbers) from.push_back(at[static_cast<size_t>(axis)]);
        return fill(e.from[0], from, width, to);
      }
      case Kind::kSlice: {
        std::vector<std::string> from = at;
        for (size_t i = 0; i < from.size(); ++i) {
          const int64_t start = e.numbers[2 * i], step = e.numbers[2 * i + 1];
          if (step != 1) from[i] = fmt::format("({} * {})", from[i], s_.number(step));
          if (start != 0) from[i] = fmt::format("({} + {})", from[i], s_.number(start));
        }
        return fill(e.from[0], from, width, to);
      }
      case Kind::kExpand: {
        const Dims& own = e.from[0].dims;
        std::vector<std::string> from(at.end() - static_cast<ptrdiff_t>(own.rank()), at.end());
        for (size_t i = 0; i < own.rank(); ++i)
          if (own[i] == 1) from[i] = "0";
        if (width == 1 || (own.rank() > 0 && own.back() != 1)) return fill(e.from[0], from, width, to);
        const std::string one = emit(e.from[0], from, 1);
        s_.line(fmt::format("for (int u = 0; u < {}; ++u) {}[u] = {}[0];", width, to, one));
        return;
      }
      case Kind::kConcat: {
        const std::string index = s_.name("p");
        s_.line(fmt::format("const I {} = {};", index, at[e.axis]));
        std::string before;
        int64_t end = 0;
        for (size_t i = 0; i < e.from.size(); ++i) {
          std::vector<std::string> from = at;
          from[e.axis] = before.empty() ? index : fmt::format("({} - {})", index, before);
          end += e.from[i].dims[e.axis];
          const bool last = i + 1 == e.from.size();
          if (!last) before = s_.number(end);
          s_.line(last ? "{" : fmt::format("if ({} < {}) {{", index, before));
          fill(e.from[i], from, width, to);
          s_.line(last ? "}" : "} else");
        }
        return;
      }
      case Kind::kProgram: {
        std::vector<std::string> values;
        for (const LayoutExpression& from : e.from) values.push_back(emit(from, at, width) + "[u]");
        s_.line("#pragma unroll");
        s_.line(fmt::format("for (int u = 0; u < {}; ++u) {{", width));
        const std::string value = emit_program(s_, e.program, values, result_);
        s_.line(fmt::format("{}[u] = {};", to, value));
        s_.line("}");
        return;
      }
    }
  }

  void load(const LayoutExpression& e, const std::vector<std::string>& at, int width, const std::string& to) {
    const Operand& o = operands_[e.input];
    const std::string offset = s_.offset(at, dense_strides(e.dims)), from = s_.read(o);
    if (width == 1) {
      s_.line(fmt::format("{}[0] = get({}[{}]);", to, from, offset));
      return;
    }
    const std::string v = s_.name("v");
    s_.line(fmt::format("const auto {} = *(const Vec<{}, {}>*)({} + {});", v, storage_type(o.dtype, o.narrowed), width, from, offset));
    s_.line("#pragma unroll");
    s_.line(fmt::format("for (int u = 0; u < {}; ++u) {}[u] = get({}.v[u]);", width, to, v));
  }

  Source& s_;
  const std::span<const Operand> operands_;
  const DType result_;
};

// Whether `width` neighbours along the last axis, of which the first has a number that is a multiple of `width`, are neighbours in the
// inputs, and there all or none of them in a part of what is put together.
bool keeps_neighbours(const LayoutExpression& e, std::span<const Operand> operands, int width) {
  if (e.dims.rank() == 0 || e.dims.back() % width != 0) return false;
  const auto all = [&] {
    return std::all_of(e.from.begin(), e.from.end(), [&](const LayoutExpression& f) { return keeps_neighbours(f, operands, width); });
  };
  switch (e.kind) {
    case Kind::kInput: {
      const Operand& o = operands[e.input];
      const size_t bytes = static_cast<size_t>(width) * dtype_size(o.dtype);
      return (o.kind == Operand::Kind::kFixed ? reinterpret_cast<uintptr_t>(o.fixed) : o.offset) % bytes == 0;
    }
    case Kind::kTranspose:
      return e.numbers.back() == static_cast<int64_t>(e.dims.rank()) - 1 && all();
    case Kind::kSlice:
      return e.numbers[e.numbers.size() - 2] % width == 0 && e.numbers.back() == 1 && all();
    case Kind::kExpand:
      return e.from[0].dims.rank() == 0 || e.from[0].dims.back() == 1 || all();
    default:
      return all();
  }
}

}  // namespace

std::map<uint32_t, FusedLayout> fuse_layouts(const ir::Graph& graph, Specialization& spec, const InputsOf& inputs_of) {
  return Fuser(graph, spec, inputs_of).run();
}

Status make_fused_layout(StepBuilder& b, const FusedLayout& layout) {
  std::vector<Operand> operands;
  size_t widest = 1;
  const Operand y = b.output(0);
  for (size_t i = 0; i < layout.inputs.size(); ++i) {
    CAMEO_ASSIGN(Operand o, b.input(i));
    widest = std::max(widest, dtype_size(o.dtype));
    operands.push_back(std::move(o));
  }
  widest = std::max(widest, dtype_size(y.dtype));
  int width = std::max(1, std::min(8, static_cast<int>(16 / widest)));
  while (width > 1 && !keeps_neighbours(layout.expression, operands, width)) width /= 2;
  Source s;
  Dims groups = y.dims;
  groups[groups.rank() - 1] /= width;
  std::vector<std::string> at = s.unravel("i", groups);
  if (width > 1 && at.back() != "0") at.back() = fmt::format("({} * {})", at.back(), width);
  Emitter emitter(s, operands, y.dtype);
  const std::string values = emitter.emit(layout.expression, at, width);
  if (width == 1) {
    s.store(y, "i", values + "[0]");
  } else {
    const std::string vector = fmt::format("Vec<{}, {}>", storage_type(y.dtype, y.narrowed), width);
    s.line(fmt::format("{} r;", vector));
    s.line("#pragma unroll");
    s.line(fmt::format("for (int u = 0; u < {}; ++u) put(r.v[u], {}[u]);", width, values));
    s.line(fmt::format("*({}*)({} + (i64)i * {}) = r;", vector, s.write(y), width));
  }
  return s.launch_elements(b, groups.num_elements());
}

}  // namespace cameo::cuda
