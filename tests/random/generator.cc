#include "generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "ops/infer.h"
#include "passes/attributes.h"

namespace cameo::test {
namespace {

using ir::ValueId;
using passes::AttrList;
using Ints = std::vector<int64_t>;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  RandomGraph run() {
    const ir::Dim n = ir::Dim::symbol("n"), s = ir::Dim::symbol("s");
    image_ = input("image", {n, pick({2, 3, 4, 8}), pick({5, 8, 9}), pick({6, 8})});
    sequence_ = input("sequence", {n, s, pick({4, 6, 16})});
    if (chance(3)) pool_.push_back(input("signal", {n, pick({1, 4}), pick({12, 17})}));
    if (chance(3)) pool_.push_back(input("rows", {n, pick({3, 8})}));
    if (chance(4)) pool_.push_back(input("fixed", {pick({1, 2}), pick({3, 4}), pick({4, 5})}));
    pool_.push_back(image_);
    pool_.push_back(sequence_);
    const int steps = 3 + static_cast<int>(below(14));
    for (int i = 0; i < steps; ++i) step();
    // Everything that nothing reads, and a value in between now and then.
    const auto uses = result_.graph.use_counts();
    for (ValueId id : pool_)
      if (result_.graph.producers()[id] >= 0 && (uses[id] == 0 || chance(12)) && !is_output(id)) result_.graph.outputs.push_back(id);
    if (result_.graph.outputs.empty()) result_.graph.outputs.push_back(unary("Relu", image_));
    result_.graph.name = "random";
    return std::move(result_);
  }

 private:
  uint64_t below(uint64_t n) { return random_() % n; }
  bool chance(uint64_t n) { return below(n) == 0; }
  int64_t pick(std::initializer_list<int64_t> list) { return list.begin()[below(list.size())]; }
  const char* pick(std::initializer_list<const char*> list) { return list.begin()[below(list.size())]; }

  bool is_output(ValueId id) const { return std::ranges::find(result_.graph.outputs, id) != result_.graph.outputs.end(); }
  const ir::Shape& shape(ValueId id) const { return *facts_[id].type.shape; }
  size_t rank(ValueId id) const { return shape(id).size(); }
  int64_t extent(ValueId id, size_t axis) const { return shape(id)[axis].is_const() ? shape(id)[axis].value() : -1; }
  DType dtype(ValueId id) const { return facts_[id].type.dtype; }

  ValueId input(const std::string& name, ir::Shape shape, DType type = DType::kFloat32) {
    const ValueId id = result_.graph.add_value(name, ir::Type::tensor(type, std::move(shape)));
    result_.graph.inputs.push_back(id);
    facts_.resize(id + 1);
    facts_[id] = ops::Fact::of(result_.graph.value(id).type);
    for (size_t k = 0; k < std::size(kSizes); ++k) {
      ir::Type type = result_.graph.value(id).type;
      for (ir::Dim& d : *type.shape)
        d = *d.evaluate([&](const std::string& symbol) { return std::optional(symbol == "n" ? kSizes[k].n : kSizes[k].s); });
      sized_[k].resize(id + 1);
      sized_[k][id] = ops::Fact::of(type);
    }
    exact_.resize(id + 1, 0);
    exact_[id] = 1;
    return id;
  }
  ValueId constant(Tensor t) {
    const ValueId id = result_.graph.add_constant("c", t);
    facts_.resize(id + 1);
    facts_[id] = ops::Fact::of(t);
    for (auto& facts : sized_) {
      facts.resize(id + 1);
      facts[id] = facts_[id];
    }
    exact_.resize(id + 1, 0);
    exact_[id] = 1;
    return id;
  }
  // Numbers around 0 of about that size.
  ValueId floats(const Dims& dims, double size) {
    Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
    for (float& x : t.span<float>()) x = static_cast<float>(size * (static_cast<double>(below(2001)) / 1000 - 1));
    return constant(t);
  }
  ValueId positive(const Dims& dims) {
    Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
    for (float& x : t.span<float>()) x = static_cast<float>(0.5 + static_cast<double>(below(1000)) / 1000);
    return constant(t);
  }
  ValueId scalar(double v) { return constant(Tensor::of<float>({}, {static_cast<float>(v)})); }
  ValueId ints(const Ints& values) { return constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span(values))); }

  // A node; nothing where it would be wrong, or its result too large.
  std::optional<std::vector<ValueId>> nodes(std::string_view op, std::vector<ValueId> inputs, size_t num_outputs,
                                            const AttrList& attrs = {}, std::vector<ir::Subgraph> subgraphs = {}) {
    ir::Node node;
    node.op = ops::find_op("", op);
    node.version = 23;  // the newest that all operators here have
    node.name = std::string(op) + "_" + std::to_string(result_.graph.nodes.size());
    node.inputs = std::move(inputs);
    node.subgraphs = std::move(subgraphs);
    auto made = passes::make_attrs(*node.op, attrs);
    if (!made.ok()) return std::nullopt;
    node.attrs = std::move(made).value();
    auto facts = facts_;
    for (size_t i = 0; i < num_outputs; ++i) {
      node.outputs.push_back(static_cast<ValueId>(facts.size()));
      facts.emplace_back();
    }
    if (!ops::infer_node(node, facts).ok()) return std::nullopt;
    auto sized = sized_;
    for (auto& each : sized) {
      each.resize(facts.size());
      if (!ops::infer_node(node, each).ok()) return std::nullopt;
    }
    bool exact = op != "Cast" || facts[node.outputs[0]].type.dtype != DType::kFloat16;
    for (ValueId id : node.outputs) {
      const auto& type = facts[id].type;
      if (!type.is_tensor() || !type.shape || type.shape->size() > 6) return std::nullopt;
      int64_t elements = 1;
      for (const ir::Dim& d : *type.shape)
        elements *= d.evaluate([](const std::string&) { return std::optional<int64_t>(3); }).value_or(1 << 20);
      if (elements > 20000 || elements < 1) return std::nullopt;
    }
    static const std::vector<std::string_view> kMoves = {"Transpose", "Reshape", "Slice", "Concat", "Split", "Squeeze", "Unsqueeze",
                                                         "Flatten",   "Gather",  "Pad",   "Cast",   "Shape", "Expand",  "Identity"};
    exact &= std::ranges::find(kMoves, op) != kMoves.end();
    for (ValueId id : node.inputs) exact &= id == ir::kNoValue || exact_[id] != 0;
    for (size_t i = 0; i < num_outputs; ++i) {
      const ValueId id = result_.graph.add_value(node.name + ":" + std::to_string(i));
      result_.graph.value(id).type = facts[node.outputs[i]].type;
      exact_.push_back(exact);
    }
    facts_ = std::move(facts);
    sized_ = std::move(sized);
    result_.graph.nodes.push_back(std::move(node));
    return result_.graph.nodes.back().outputs;
  }
  // The value itself where there is no such node.
  ValueId node(std::string_view op, std::vector<ValueId> inputs, const AttrList& attrs = {}) {
    const ValueId otherwise = inputs[0];
    const auto made = nodes(op, std::move(inputs), 1, attrs);
    return made ? (*made)[0] : otherwise;
  }
  ValueId unary(std::string_view op, ValueId x) { return node(op, {x}); }

  ValueId any() { return pool_[pool_.size() - 1 - below(std::min<uint64_t>(pool_.size(), 6))]; }
  std::optional<ValueId> of_rank(size_t rank_wanted) {
    for (int tries = 0; tries < 8; ++tries)
      if (const ValueId id = any(); rank(id) == rank_wanted && dtype(id) == DType::kFloat32) return id;
    return std::nullopt;
  }

  ValueId activation(ValueId x) {
    switch (below(12)) {
      case 0:
        return node("Mul", {x, unary("Sigmoid", x)});
      case 1:
        return node("Mul", {x, node("Div", {node("Clip", {node("Add", {x, scalar(3)}), scalar(0), scalar(6)}), scalar(6)})});
      case 2:
        return node("Mul",
                    {node("Mul", {x, scalar(0.5)}), node("Add", {unary("Erf", node("Div", {x, scalar(std::sqrt(2.0))})), scalar(1)})});
      case 3:
        return node("LeakyRelu", {x}, {{"alpha", 0.1f}});
      case 4:
        return node("Clip", {x, scalar(-1), scalar(2)});
      case 5:
        return node("Gelu", {x}, {{"approximate", std::string(pick({"none", "tanh"}))}});
      default:
        return unary(pick({"Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Softplus", "Mish", "Elu", "Selu", "Softsign", "Abs",
                           "Neg", "Erf"}),
                     x);
    }
  }

  // Constants that broadcast to x.
  ValueId broadcasting(ValueId x) {
    if (rank(x) == 0 || chance(4)) return scalar(static_cast<double>(below(400)) / 100 - 2);
    Dims dims;
    for (size_t i = below(rank(x)); i < rank(x); ++i) dims.push_back(extent(x, i) > 0 && !chance(3) ? extent(x, i) : 1);
    return floats(dims, 1.5);
  }

  ValueId arithmetic(ValueId x) {
    const ValueId other = chance(2) ? broadcasting(x) : chance(2) ? any() : activation(x);
    if (dtype(other) != dtype(x)) return x;
    switch (below(6)) {
      case 0:
        return node("Sub", {x, other});
      case 1:
        return unary("Tanh", node("Mul", {x, other}));
      case 2:
        return node("Div", {x, node("Add", {unary("Abs", other), scalar(0.5)})});
      case 3:
        return node(pick({"Min", "Max"}), {x, other});
      case 4:
        return unary("Sqrt", node("Add", {node("Pow", {unary("Tanh", x), scalar(2)}), scalar(0.25)}));
      default:
        return node("Add", {x, other});
    }
  }

  AttrList window(size_t axes, bool may_dilate) {
    Ints kernel, strides, pads(2 * axes), dilations;
    for (size_t i = 0; i < axes; ++i) {
      kernel.push_back(pick({1, 2, 3, 3}));
      strides.push_back(pick({1, 1, 2}));
      dilations.push_back(may_dilate && chance(4) ? 2 : 1);
      for (size_t side : {i, i + axes}) pads[side] = static_cast<int64_t>(below(static_cast<uint64_t>(kernel[i] + 1) / 2));
    }
    AttrList attrs = {{"kernel_shape", kernel}, {"strides", strides}, {"dilations", dilations}};
    if (chance(5))
      attrs.emplace_back("auto_pad", std::string(pick({"SAME_UPPER", "SAME_LOWER", "VALID"})));
    else
      attrs.emplace_back("pads", pads);
    return attrs;
  }

  ValueId convolution(ValueId x) {
    const int64_t channels = extent(x, 1);
    if (channels < 1) return x;
    const int64_t group = chance(4) ? channels : channels % 2 == 0 && chance(4) ? 2 : 1;
    const int64_t out = group * pick({1, 2, 4, 5});
    AttrList attrs = window(rank(x) - 2, true);
    const auto& kernel = std::get<Ints>(attrs[0].second);
    Dims dims = {out, channels / group};
    int64_t taps = channels / group;
    for (int64_t k : kernel) {
      dims.push_back(k);
      taps *= k;
    }
    attrs.emplace_back("group", group);
    std::vector<ValueId> inputs = {x, floats(dims, 2 / std::sqrt(static_cast<double>(taps)))};
    if (chance(2)) inputs.push_back(floats({out}, 1));
    ValueId y = node("Conv", inputs, attrs);
    if (y != x && chance(2)) y = normalization(y);
    if (chance(2)) y = activation(y);
    if (chance(3) && same_shape(x, y)) y = node("Add", {y, x});
    return y;
  }
  bool same_shape(ValueId a, ValueId b) const {
    return dtype(a) == dtype(b) && rank(a) == rank(b) && std::equal(shape(a).begin(), shape(a).end(), shape(b).begin());
  }

  ValueId normalization(ValueId x) {
    const int64_t channels = rank(x) >= 2 ? extent(x, 1) : -1;
    if (channels < 1) return x;
    if (rank(x) > 2 && chance(4))
      return node("InstanceNormalization", {x, positive({channels}), floats({channels}, 1)}, {{"epsilon", 0.1f}});
    return node("BatchNormalization", {x, floats({channels}, 1.5), floats({channels}, 1), floats({channels}, 1), positive({channels})});
  }

  // What works on [n, C, spatial…].
  ValueId image_step(ValueId x) {
    const size_t axes = rank(x) - 2;
    const int64_t channels = extent(x, 1);
    switch (below(13)) {
      case 0:
        return normalization(x);
      case 1:
        return node("MaxPool", {x}, window(axes, true));
      case 2: {
        AttrList attrs = window(axes, false);
        attrs.emplace_back("count_include_pad", static_cast<int64_t>(below(2)));
        attrs.emplace_back("ceil_mode", static_cast<int64_t>(below(2)));
        return node("AveragePool", {x}, attrs);
      }
      case 3: {  // squeeze and excite
        const ValueId gate = unary(pick({"Sigmoid", "HardSigmoid"}), convolution(unary(pick({"GlobalAveragePool", "GlobalMaxPool"}), x)));
        return node("Mul", {x, gate});
      }
      case 4: {  // channel shuffle
        if (channels < 4 || channels % 2 != 0) return x;
        Ints split = {0, 2, channels / 2}, merge = {0, channels}, perm = {0, 2, 1};
        for (size_t i = 0; i < axes; ++i) {
          split.push_back(extent(x, 2 + i));
          merge.push_back(extent(x, 2 + i));
          perm.push_back(static_cast<int64_t>(3 + i));
        }
        return node("Reshape", {node("Transpose", {node("Reshape", {x, ints(split)})}, {{"perm", perm}}), ints(merge)});
      }
      case 5: {
        if (axes != 2) return x;
        const ValueId scales = constant(Tensor::of<float>({4}, {1, 1, 2, static_cast<float>(pick({1, 2}))}));
        return node("Resize", {x, ir::kNoValue, scales}, {{"mode", std::string(pick({"nearest", "linear"}))}});
      }
      case 6: {
        Ints pads(2 * rank(x), 0);
        for (size_t i = 2; i < rank(x); ++i) pads[i] = static_cast<int64_t>(below(3)), pads[rank(x) + i] = static_cast<int64_t>(below(2));
        return node("Pad", {x, ints(pads), scalar(0.5)}, {{"mode", std::string(pick({"constant", "edge"}))}});
      }
      case 7:
        return node("ReduceMean", {x, ints(axes == 2 ? Ints{2, 3} : Ints{2})}, {{"keepdims", static_cast<int64_t>(below(2))}});
      case 8:  // as a transformer embeds patches
        return node("Transpose", {node("Reshape", {x, ints({0, channels, -1})})}, {{"perm", Ints{0, 2, 1}}});
      case 9: {
        if (channels < 1) return x;
        const ValueId w = floats(axes == 2 ? Dims{channels, 2, 2, 2} : Dims{channels, 2, 2}, 1 / std::sqrt(static_cast<double>(channels)));
        return node("ConvTranspose", {x, w}, {{"strides", Ints(axes, 2)}});
      }
      default:
        return convolution(x);
    }
  }

  // What works on [n, s, features].
  ValueId sequence_step(ValueId x) {
    const int64_t width = extent(x, rank(x) - 1);
    if (width < 1) return x;
    const auto project = [&](ValueId v, int64_t columns) {
      ValueId y = node("MatMul", {v, floats({width, columns}, 2 / std::sqrt(static_cast<double>(width)))});
      return chance(2) ? node("Add", {floats({columns}, 1), y}) : y;
    };
    switch (below(8)) {
      case 6: {  // root mean square, written out
        const ValueId square = node("ReduceMean", {node("Pow", {x, scalar(2)}), ints({-1})});
        return node("Mul", {floats({width}, 1), node("Mul", {x, unary("Reciprocal", unary("Sqrt", node("Add", {square, scalar(0.1)})))})});
      }
      case 0:
        return node("LayerNormalization", {x, floats({width}, 1.5), floats({width}, 1)}, {{"epsilon", 0.1f}});
      case 1: {  // the same, written out
        const ValueId centred = node("Sub", {x, node("ReduceMean", {x, ints({-1})})});
        const ValueId variance = node("ReduceMean", {node("Pow", {centred, scalar(2)}), ints({-1})});
        return node("Mul", {node("Div", {centred, unary("Sqrt", node("Add", {variance, scalar(0.1)}))}), floats({width}, 1)});
      }
      case 2: {  // a layer with a residual
        const ValueId y = activation(project(x, width));
        return same_shape(x, y) ? node("Add", {y, x}) : y;
      }
      case 3: {  // attention
        const int64_t heads = pick({1, 2});
        if (rank(x) != 3) return x;
        const auto head = [&](ValueId v) {
          return node("Transpose", {node("Reshape", {project(v, 4 * heads), ints({0, -1, heads, 4})})}, {{"perm", Ints{0, 2, 1, 3}}});
        };
        const ValueId q = head(x), k = head(x), v = head(x);
        if (rank(q) != 4 || rank(k) != 4 || rank(v) != 4) return x;
        const ValueId product = node("MatMul", {q, node("Transpose", {k}, {{"perm", Ints{0, 1, 3, 2}}})});
        const ValueId scores = chance(2) ? node("Mul", {product, scalar(0.5)}) : node("Div", {product, scalar(2)});
        const ValueId y = node("MatMul", {node("Softmax", {scores}), v});
        return node("Reshape", {node("Transpose", {y}, {{"perm", Ints{0, 2, 1, 3}}}), ints({0, -1, 4 * heads})});
      }
      case 4: {  // rows in one axis, as a layer of GPT-2
        const ValueId flat = node("Reshape", {x, ints({-1, width})});
        const ValueId y = node("Gemm", {flat, floats({width, 6}, 1), floats({6}, 1)});
        if (rank(x) != 3 || y == flat) return y;
        const ValueId lead = node("Slice", {node("Shape", {x}), ints({0}), ints({2}), ints({0})});
        return node("Reshape", {y, node("Concat", {lead, ints({6})}, {{"axis", int64_t{0}}})});
      }
      case 5: {
        const ValueId y = project(x, 8);
        if (y == x) return x;
        const auto parts = nodes("Split", {y, ints({3, 5})}, 2, {{"axis", int64_t{-1}}});
        if (!parts) return y;
        pool_.push_back((*parts)[0]);
        return (*parts)[1];
      }
      default:
        return activation(project(x, pick({3, 8, 17})));
    }
  }

  ValueId shape_step(ValueId x) {
    const auto r = static_cast<int64_t>(rank(x));
    if (r == 0) return x;
    const auto axis = static_cast<int64_t>(below(static_cast<uint64_t>(r)));
    switch (below(10)) {
      case 0: {
        Ints perm(static_cast<size_t>(r));
        for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
        std::shuffle(perm.begin(), perm.end(), random_);
        return node("Transpose", {x}, {{"perm", perm}});
      }
      case 1:
        if (r != 4) return x;
        return node("Transpose", {x}, {{"perm", chance(2) ? Ints{0, 2, 3, 1} : Ints{0, 3, 1, 2}}});
      case 2:
        return node("Concat", {x, chance(2) ? x : any()}, {{"axis", axis}});
      case 3: {
        if (extent(x, static_cast<size_t>(axis)) < 2) return x;
        const int64_t step = pick({1, 1, 2, -1});
        return step > 0 ? node("Slice", {x, ints({1}), ints({INT64_MAX}), ints({axis}), ints({step})})
                        : node("Slice", {x, ints({-1}), ints({-INT64_MAX}), ints({axis - r}), ints({step})});
      }
      case 4:
        return node("Unsqueeze", {x, ints({axis})});
      case 5:
        return node("Flatten", {x}, {{"axis", int64_t{1}}});
      case 6:
        return node(pick({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"}), {x, ints({axis})},
                    {{"keepdims", static_cast<int64_t>(below(2))}});
      case 7:
        return node("Softmax", {x}, {{"axis", axis}});
      case 8: {
        const auto half = extent(x, static_cast<size_t>(axis));
        if (half < 2) return x;
        const auto parts = nodes("Split", {x}, 2, {{"axis", axis}, {"num_outputs", int64_t{2}}});
        if (!parts) return x;
        return node("Concat", {(*parts)[1], activation((*parts)[0])}, {{"axis", axis}});
      }
      default: {
        if (extent(x, static_cast<size_t>(axis)) < 2) return x;
        return node("Gather", {x, ints({1, 0, -1})}, {{"axis", axis}});
      }
    }
  }

  ValueId type_step(ValueId x) {
    switch (below(4)) {
      case 0:
        return node("Cast", {unary("Tanh", node("Cast", {x}, {{"to", int64_t{11}}}))}, {{"to", int64_t{1}}});
      case 1:
        result_.tolerance = 2e-2;
        return node(
            "Cast",
            {node("Add", {node("Cast", {unary("Tanh", x)}, {{"to", int64_t{10}}}), node("Cast", {scalar(1)}, {{"to", int64_t{10}}})})},
            {{"to", int64_t{1}}});
      case 2:
        if (!exact_[x]) return x;
        return node("Where", {node(pick({"Greater", "Less"}), {x, scalar(0.25)}), x, activation(x)});
      default:
        if (!exact_[x]) return x;
        return node(
            "Cast",
            {node("Add", {node("Cast", {node("Mul", {x, scalar(4)})}, {{"to", int64_t{7}}}), constant(Tensor::of<int64_t>({}, {3}))})},
            {{"to", int64_t{1}}});
    }
  }

  // A graph over captured values.
  ir::Subgraph branch(const char* attribute, ValueId x, std::vector<std::pair<std::string, ir::Type>> formal) {
    ir::Subgraph subgraph;
    subgraph.attribute = attribute;
    subgraph.graph = std::make_unique<ir::Graph>();
    ir::Graph& g = *subgraph.graph;
    g.name = attribute;
    for (auto& [name, type] : formal) g.inputs.push_back(g.add_value(name, type));
    const ValueId captured = g.add_value("captured", facts_[x].type);
    g.inputs.push_back(captured);
    subgraph.captures = {x};
    ValueId last = formal.size() > 2 ? g.inputs[2] : captured;
    const auto add = [&](std::string_view op, std::vector<ValueId> inputs) {
      ir::Node node;
      node.op = ops::find_op("", op);
      node.version = 23;
      node.name = std::string(attribute) + std::string(op) + std::to_string(g.nodes.size());
      node.attrs = node.op->make_attrs();
      node.inputs = std::move(inputs);
      node.outputs = {g.add_value(node.name)};
      g.nodes.push_back(std::move(node));
      return g.nodes.back().outputs[0];
    };
    for (uint64_t i = 0, n = 1 + below(3); i < n; ++i) {
      const ValueId k = g.add_constant("k", Tensor::of<float>({}, {static_cast<float>(below(200)) / 100}));
      last = chance(2) ? add(pick({"Tanh", "Sigmoid", "Softsign"}), {last})
                       : add("Tanh", {add(pick({"Add", "Mul"}), {last, chance(2) ? captured : k})});
    }
    if (!formal.empty()) g.outputs.push_back(g.inputs[1]);
    g.outputs.push_back(last);
    return subgraph;
  }

  ValueId control_step(ValueId x) {
    std::vector<ir::Subgraph> subgraphs;
    if (chance(2)) {
      ValueId condition;
      if (chance(2)) {
        condition = constant(Tensor::of<bool>({}, {chance(2)}));
      } else {
        if (flag_ == ir::kNoValue) flag_ = input("flag", {}, DType::kBool);
        condition = flag_;
      }
      subgraphs.push_back(branch("then_branch", x, {}));
      subgraphs.push_back(branch("else_branch", x, {}));
      const auto made = nodes("If", {condition}, 1, {}, std::move(subgraphs));
      return made ? (*made)[0] : x;
    }
    subgraphs.push_back(branch(
        "body", x,
        {{"iteration", ir::Type::tensor(DType::kInt64, {})}, {"going", ir::Type::tensor(DType::kBool, {})}, {"carried", facts_[x].type}}));
    const auto made = nodes("Loop", {constant(Tensor::of<int64_t>({}, {pick({1, 3})})), constant(Tensor::of<bool>({}, {true})), x}, 1, {},
                            std::move(subgraphs));
    return made ? (*made)[0] : x;
  }

  void step() {
    const ValueId x = any();
    if (dtype(x) != DType::kFloat32) return;
    ValueId y = x;
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        if (const auto image = of_rank(chance(4) ? 3 : 4)) y = image_step(*image);
        break;
      case 3:
      case 4:
        if (const auto rows = of_rank(chance(4) ? 2 : 3)) y = sequence_step(*rows);
        break;
      case 5:
      case 6:
        y = arithmetic(x);
        break;
      case 7:
      case 8:
        y = activation(x);
        break;
      case 9:
        y = chance(2) ? type_step(x) : control_step(x);
        break;
      default:
        y = shape_step(x);
    }
    if (std::ranges::find(pool_, y) == pool_.end() && dtype(y) == DType::kFloat32) pool_.push_back(y);
  }

  std::mt19937_64 random_;
  RandomGraph result_;
  std::vector<ops::Fact> facts_;
  std::array<std::vector<ops::Fact>, std::size(kSizes)> sized_;  // the same at each of kSizes
  std::vector<char> exact_;                                      // values that no rounding stands behind
  std::vector<ValueId> pool_;
  ValueId image_ = 0, sequence_ = 0, flag_ = ir::kNoValue;
};

}  // namespace

RandomGraph random_graph(uint64_t seed) { return Generator(seed).run(); }

}  // namespace cameo::test
