// Finds the layers of a decoder in a graph.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "backends/cuda/attributes.h"
#include "backends/cuda/decoder_model.h"
#include "ops/evaluate.h"
#include "ops/op.h"
#include "ops/pointwise_program.h"

namespace cameo::cuda {
namespace {

using ops::PointOp;

Error refuse(std::string reason) { return Error(ErrorCode::kUnsupported, std::move(reason)); }

bool is(const ir::Node& node, std::string_view name) { return node.op->name == name; }

// A product with what is fused to it.
struct Product {
  ir::ValueId x = ir::kNoValue, residual = ir::kNoValue, gate = ir::kNoValue;
  Activation activation = Activation::kNone;
  DecoderColumns columns;
};

class Finder {
 public:
  explicit Finder(const ir::Graph& graph) : graph_(graph), producers_(graph.producers()) {}

  Result<DecoderGraph> run() {
    for (ir::ValueId id : graph_.inputs) {
      const std::string& name = graph_.value(id).name;
      if (name == "input_ids") ids_ = id;
      if (name == "last_positions") last_ = id;
    }
    if (ids_ == ir::kNoValue || last_ == ir::kNoValue || graph_.outputs.empty()) return refuse("it is no plan with a cache");
    CAMEO_ASSIGN(const Product head, product(graph_.outputs[0]));
    if (head.residual != ir::kNoValue || head.gate != ir::kNoValue || head.activation != Activation::kNone)
      return refuse("the logits are more than a product");
    found_.head = head.columns;
    ir::ValueId x = ir::kNoValue;
    CAMEO_ASSIGN(found_.norm, norm(head.x, x));
    while (!is_embedding(x)) CAMEO_TRY(layer(x));
    if (found_.layers.empty()) return refuse("it has no layers");
    std::reverse(found_.layers.begin(), found_.layers.end());
    CAMEO_TRY(embedding(x));
    for (const auto& l : found_.layers)
      if (l.cosines != found_.layers[0].cosines || l.sines != found_.layers[0].sines || l.rotary_index != found_.layers[0].rotary_index ||
          l.scale != found_.layers[0].scale)
        return refuse("layers differ in positions or scale");
    if (found_.positions.defined() == (found_.layers[0].cosines != ir::kNoValue))
      return refuse("its positions are neither learned nor rotary");
    if (found_.positions.defined()) found_.most_positions = found_.positions.dim(0);
    if (found_.layers[0].rotary_index != ir::kNoValue) found_.most_positions = constant(found_.layers[0].cosines)->dim(0);
    return std::move(found_);
  }

 private:
  const ir::Node* node_of(ir::ValueId id) const {
    return id == ir::kNoValue || producers_[id] < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(producers_[id])];
  }
  const Tensor* constant(ir::ValueId id) const {
    return id != ir::kNoValue && graph_.value(id).is_constant() ? &graph_.value(id).constant : nullptr;
  }

  // Through what only moves whole rows, or picks each sequence's last one.
  ir::ValueId skip(ir::ValueId id) const {
    while (const ir::Node* n = node_of(id)) {
      if (is(*n, "Reshape") || is(*n, "Squeeze") || is(*n, "Unsqueeze") || is(*n, "Identity")) {
        const auto &a = graph_.value(n->inputs[0]).type.shape, &b = graph_.value(id).type.shape;
        const bool rows = !a || !b || a->empty() || b->empty() || a->back() == b->back() || is(*n, "Squeeze") || is(*n, "Unsqueeze");
        if (!rows) return id;
      } else if (is(*n, "GatherND")) {
        if (Attributes(*n->attrs).integer("batch_dims") != 1 || skip(n->inputs[1]) != last_) return id;
      } else {
        return id;
      }
      id = n->inputs[0];
    }
    return id;
  }

  // The product that makes the value, or some of whose columns it is.
  Result<Product> product(ir::ValueId id) {
    id = skip(id);
    const ir::Node* n = node_of(id);
    if (!n || !is(*n, "MatMul") || n->inputs.size() < 2) return refuse(fmt::format("'{}' is no product", graph_.value(id).name));
    const Attributes attrs(*n->attrs);
    Product p;
    p.x = skip(n->inputs[0]);
    const Tensor* w = constant(n->inputs[1]);
    if (!w || w->rank() != 2) return refuse(fmt::format("{} has no constant matrix", n->describe()));
    if (attrs.integer("trans_a") != 0 || (attrs.has("alpha") && attrs.real("alpha") != 1.f))
      return refuse(fmt::format("{} is scaled or transposed", n->describe()));
    p.columns.weight = *w;
    p.columns.transposed = attrs.integer("trans_b") != 0;
    p.columns.k = w->dim(p.columns.transposed ? 1 : 0);
    const int64_t all = w->dim(p.columns.transposed ? 0 : 1);
    p.columns.n = all;
    const std::vector<int64_t> splits = attrs.integers("splits");
    int64_t at = 0;
    for (size_t i = 0; i < splits.size() && i < n->outputs.size(); at += splits[i++])
      if (n->outputs[i] == id) p.columns.first = at, p.columns.n = splits[i];
    CAMEO_TRY(read_program(*n, attrs, p));
    if (p.columns.bias.defined() && p.columns.bias.num_elements() != all) return refuse("a bias is not that of columns");
    return p;
  }

  Status read_program(const ir::Node& n, const Attributes& attrs, Product& p) {
    const std::vector<int64_t> code = attrs.integers("program");
    if (n.inputs.size() == 2 && code.empty()) return {};
    const std::vector<float> constants = attrs.reals("constants");
    CAMEO_ASSIGN(const ops::PointProgram program, ops::decode_point_program(static_cast<int>(n.inputs.size()) - 1, code, constants));
    const auto other = [&] { return refuse(fmt::format("{} computes what no layer does", n.describe())); };
    int current = 0, gate = -1;  // registers
    for (size_t i = 0; i < program.code.size(); ++i) {
      const auto& c = program.code[i];
      const int made = program.num_inputs + static_cast<int>(i);
      const auto input = [&](int r) { return r >= 1 && r < program.num_inputs ? n.inputs[static_cast<size_t>(r) + 1] : ir::kNoValue; };
      if (c.op == PointOp::kSwish && input(c.a) != ir::kNoValue && p.gate == ir::kNoValue) {
        p.gate = skip(input(c.a));
        gate = made;
        continue;
      }
      if (c.op == PointOp::kMul && gate >= 0 && ((c.a == gate && c.b == current) || (c.b == gate && c.a == current))) {
        p.activation = Activation::kSwiGlu;
      } else if (c.op == PointOp::kAdd && (c.a == current || c.b == current)) {
        const ir::ValueId operand = input(c.a == current ? c.b : c.a);
        if (operand == ir::kNoValue || p.residual != ir::kNoValue) return other();
        if (const Tensor* bias = constant(operand)) {
          if (p.columns.bias.defined() || p.activation != Activation::kNone) return other();
          p.columns.bias = *bias;
        } else {
          p.residual = skip(operand);
        }
      } else if (c.a == current && p.activation == Activation::kNone && p.residual == ir::kNoValue) {
        p.activation = c.op == PointOp::kGelu       ? Activation::kGelu
                       : c.op == PointOp::kGeluTanh ? Activation::kGeluTanh
                       : c.op == PointOp::kRelu     ? Activation::kRelu
                                                    : Activation::kNone;
        if (p.activation == Activation::kNone) return other();
      } else {
        return other();
      }
      current = made;
    }
    if (current != program.num_inputs + static_cast<int>(program.code.size()) - 1) return other();
    return {};
  }

  // A sum of the residual stream and a product.
  Result<Product> addition(ir::ValueId id) {
    const ir::Node* n = node_of(id);
    if (n && is(*n, "MatMul")) {
      CAMEO_ASSIGN(Product p, product(id));
      if (p.residual == ir::kNoValue) return refuse("a product is added to nothing");
      return p;
    }
    ir::ValueId a = ir::kNoValue, b = ir::kNoValue;
    if (!is_sum(id, a, b)) return refuse(fmt::format("'{}' is no sum", graph_.value(id).name));
    for (const bool swapped : {false, true}) {
      auto p = product(swapped ? b : a);
      if (!p.ok() || p->residual != ir::kNoValue) continue;
      p->residual = skip(swapped ? a : b);
      return p;
    }
    return refuse(fmt::format("'{}' is no sum with a product", graph_.value(id).name));
  }

  bool is_sum(ir::ValueId id, ir::ValueId& a, ir::ValueId& b) const {
    const ir::Node* n = node_of(id);
    if (!n || n->inputs.size() != 2) return false;
    if (is(*n, "Pointwise")) {
      const Attributes attrs(*n->attrs);
      const std::vector<float> constants = attrs.reals("constants");
      const auto program = ops::decode_point_program(2, attrs.integers("program"), constants);
      if (!program.ok() || program->code.size() != 1 || program->code[0].op != PointOp::kAdd ||
          program->code[0].a + program->code[0].b != 1 || program->code[0].a < 0 || program->code[0].b < 0)
        return false;
    } else if (!is(*n, "Add")) {
      return false;
    }
    a = n->inputs[0], b = n->inputs[1];
    return true;
  }

  Result<DecoderNorm> norm(ir::ValueId id, ir::ValueId& x) {
    const ir::Node* n = node_of(skip(id));
    const bool layer = n && is(*n, "LayerNormalization"), rms = n && is(*n, "RMSNormalization");
    if (!layer && !rms) return refuse(fmt::format("'{}' is no norm", graph_.value(id).name));
    const Attributes attrs(*n->attrs);
    const NormKind kind = layer ? NormKind::kLayer : NormKind::kRms;
    const float epsilon = attrs.real("epsilon", 1e-5f);
    if (found_.norm_kind == NormKind::kNone) found_.norm_kind = kind, found_.epsilon = epsilon;
    const auto& shape = graph_.value(n->inputs[0]).type.shape;
    const int64_t axis = attrs.integer("axis", -1);
    const bool last = axis == -1 || (shape && axis == static_cast<int64_t>(shape->size()) - 1);
    const Tensor* weight = constant(n->inputs[1]);
    if (found_.norm_kind != kind || found_.epsilon != epsilon || !last || !weight) return refuse("norms differ");
    DecoderNorm made{*weight, {}};
    if (n->inputs.size() > 2 && n->inputs[2] != ir::kNoValue) {
      if (!constant(n->inputs[2])) return refuse("the bias of a norm is no constant");
      made.bias = *constant(n->inputs[2]);
    }
    x = skip(n->inputs[0]);
    return made;
  }

  // The layer whose result is `x`; `x` becomes what goes into it.
  Status layer(ir::ValueId& x) {
    DecoderGraph::Layer l;
    CAMEO_ASSIGN(Product down, addition(x));
    CAMEO_ASSIGN(Product up, product(down.x));
    ir::ValueId middle = ir::kNoValue, same = ir::kNoValue;
    CAMEO_ASSIGN(l.norm2, norm(up.x, middle));
    if (down.activation != Activation::kNone || up.residual != ir::kNoValue || middle != down.residual)
      return refuse("the feed-forward part of a layer is not that of a known decoder");
    if (up.activation == Activation::kSwiGlu) {
      CAMEO_ASSIGN(Product gate, product(up.gate));
      if (gate.x != up.x || gate.residual != ir::kNoValue || gate.activation != Activation::kNone)
        return refuse("a gate has another input");
      l.gate = gate.columns;
    }
    if (found_.activation == Activation::kNone) found_.activation = up.activation;
    if (up.activation == Activation::kNone || up.activation != found_.activation) return refuse("activations differ");
    l.up = up.columns;
    l.down = down.columns;
    CAMEO_ASSIGN(Product out, addition(middle));
    if (out.activation != Activation::kNone) return refuse("attention is followed by an activation");
    l.out = out.columns;
    ir::ValueId input = ir::kNoValue;
    CAMEO_TRY(attention(out.x, l, input));
    CAMEO_ASSIGN(l.norm1, norm(input, same));
    if (same != out.residual) return refuse("attention has another input than the sum");
    x = out.residual;
    found_.layers.push_back(std::move(l));
    return {};
  }

  Status attention(ir::ValueId id, DecoderGraph::Layer& l, ir::ValueId& input) {
    const ir::Node* n = node_of(id);
    if (!n || !is(*n, "Attention") || n->inputs.size() != 7)
      return refuse(fmt::format("'{}' is no attention over a cache", graph_.value(id).name));
    const Attributes attrs(*n->attrs);
    const int64_t heads = attrs.integer("q_num_heads"), kv_heads = attrs.integer("kv_num_heads");
    for (const size_t i : {3, 4, 5})
      if (n->inputs[i] != ir::kNoValue) return refuse("attention has a mask or a past of its own");
    if (attrs.real("softcap") != 0 || attrs.integer("is_causal") == 0 || attrs.integer("left_window_size", -1) >= 0 ||
        attrs.integer("right_window_size", -1) >= 0)
      return refuse("attention has a window or a cap");
    Product parts[3];
    for (size_t i = 0; i < 3; ++i) {
      ir::ValueId value = n->inputs[i];
      if (i > 0) {
        const ir::Node* scatter = node_of(value);
        if (!scatter || !is(*scatter, "TensorScatter")) return refuse("keys or values come from no cache");
        (i == 1 ? l.present_key : l.present_value) = value;
        const auto& shape = graph_.value(value).type.shape;
        if (!shape || shape->size() != 3) return refuse("a cache is not [batch, capacity, heads * size]");
        value = scatter->inputs[1];
      }
      if (const ir::Node* rotary = node_of(value); i < 2 && rotary && is(*rotary, "RotaryEmbedding")) {
        const Attributes r(*rotary->attrs);
        const ir::ValueId index = rotary->inputs.size() > 3 ? rotary->inputs[3] : ir::kNoValue;
        if (r.integer("interleaved") != 0 || r.integer("rotary_embedding_dim") != 0 ||
            (index != ir::kNoValue && (!constant(rotary->inputs[1]) || !constant(rotary->inputs[2]))))
          return refuse("rotary positions are of another kind");
        if (i == 1 && (l.cosines != rotary->inputs[1] || l.sines != rotary->inputs[2] || l.rotary_index != index))
          return refuse("queries and keys differ in positions");
        l.cosines = rotary->inputs[1], l.sines = rotary->inputs[2], l.rotary_index = index;
        value = rotary->inputs[0];
      } else if (i == 1 && l.cosines != ir::kNoValue) {
        return refuse("queries and keys differ in positions");
      }
      CAMEO_ASSIGN(parts[i], product(value));
      if (parts[i].residual != ir::kNoValue || parts[i].activation != Activation::kNone || parts[i].x != parts[0].x)
        return refuse("queries, keys and values differ");
    }
    input = parts[0].x;
    l.q = parts[0].columns, l.k = parts[1].columns, l.v = parts[2].columns;
    if (heads < 1 || kv_heads < 1 || l.q.n % heads != 0 || l.k.n % kv_heads != 0 || l.v.n != l.k.n) return refuse("heads do not divide");
    const int64_t size = l.q.n / heads;
    if (found_.heads == 0) found_.heads = heads, found_.kv_heads = kv_heads, found_.head_size = size;
    if (found_.heads != heads || found_.kv_heads != kv_heads || found_.head_size != size || l.k.n / kv_heads != size)
      return refuse("layers differ in heads");
    l.scale = attrs.has("scale") ? attrs.real("scale") : 1.f / std::sqrt(static_cast<float>(size));
    return {};
  }

  const ir::Node* gather(ir::ValueId id) const {
    const ir::Node* n = node_of(skip(id));
    return n && is(*n, "Gather") && Attributes(*n->attrs).integer("axis") == 0 && constant(n->inputs[0]) &&
                   constant(n->inputs[0])->rank() == 2
               ? n
               : nullptr;
  }
  bool is_embedding(ir::ValueId x) const {
    ir::ValueId a = ir::kNoValue, b = ir::kNoValue;
    return gather(x) || (is_sum(x, a, b) && gather(a) && gather(b));
  }
  Status embedding(ir::ValueId x) {
    ir::ValueId a = x, b = ir::kNoValue;
    if (!gather(x)) is_sum(x, a, b);
    const ir::Node *tokens = gather(a), *positions = b == ir::kNoValue ? nullptr : gather(b);
    if (positions && skip(tokens->inputs[1]) != ids_) std::swap(tokens, positions);
    if (skip(tokens->inputs[1]) != ids_) return refuse("no table is read at the tokens");
    found_.tokens = *constant(tokens->inputs[0]);
    if (positions) found_.positions = *constant(positions->inputs[0]), found_.position_index = positions->inputs[1];
    return {};
  }

  const ir::Graph& graph_;
  const std::vector<int32_t> producers_;
  ir::ValueId ids_ = ir::kNoValue, last_ = ir::kNoValue;
  DecoderGraph found_;
};

// The value where one row of `count` tokens follows `past` others.
Result<Tensor> evaluate_at(const ir::Graph& graph, ir::ValueId wanted, int64_t past, int64_t count) {
  const std::vector<int32_t> producers = graph.producers();
  std::vector<char> needed(graph.nodes.size(), 0);
  std::vector<ir::ValueId> open = {wanted};
  while (!open.empty()) {
    const ir::ValueId id = open.back();
    open.pop_back();
    if (producers[id] < 0 || needed[static_cast<size_t>(producers[id])]) continue;
    needed[static_cast<size_t>(producers[id])] = 1;
    ir::for_each_use(graph.nodes[static_cast<size_t>(producers[id])], [&](ir::ValueId use) { open.push_back(use); });
  }
  std::map<ir::ValueId, ops::RtValue> values;
  for (ir::ValueId id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    if (name == "input_ids") {
      CAMEO_ASSIGN(Tensor ids, Tensor::allocate(graph.value(id).type.dtype, Dims{1, count}));
      std::fill_n(static_cast<std::byte*>(ids.raw()), ids.num_bytes(), std::byte{0});
      values[id] = ops::RtValue::of(std::move(ids));
    } else if (name == "past_lengths") {
      values[id] = ops::RtValue::of(Tensor::of<int64_t>(Dims{1}, {past}));
    }
  }
  for (size_t k = 0; k < graph.nodes.size(); ++k) {
    if (!needed[k]) continue;
    const ir::Node& node = graph.nodes[k];
    std::vector<ops::RtValue> inputs;
    if (!node.subgraphs.empty()) return refuse("positions come from control flow");
    for (ir::ValueId id : node.inputs) {
      if (id == ir::kNoValue) {
        inputs.emplace_back();
      } else if (graph.value(id).is_constant()) {
        inputs.push_back(ops::RtValue::of(graph.value(id).constant));
      } else if (const auto it = values.find(id); it != values.end()) {
        inputs.push_back(it->second);
      } else {
        return refuse("positions depend on more than the lengths");
      }
    }
    CAMEO_ASSIGN(std::vector<ops::RtValue> made, ops::evaluate_node(node, inputs, {}));
    for (size_t i = 0; i < node.outputs.size() && i < made.size(); ++i)
      if (node.outputs[i] != ir::kNoValue) values[node.outputs[i]] = std::move(made[i]);
  }
  const auto it = values.find(wanted);
  if (it == values.end() || !it->second.is_tensor()) return refuse("positions are no tensor");
  return it->second.tensor;
}

}  // namespace

Result<DecoderGraph> find_decoder(const ir::Graph& graph) { return Finder(graph).run(); }

Result<Tensor> at_positions(const ir::Graph& graph, ir::ValueId value, int64_t count) {
  CAMEO_ASSIGN(Tensor all, evaluate_at(graph, value, 0, count));
  // The same where they are reached step by step.
  const int64_t probe = count / 2;
  CAMEO_ASSIGN(const Tensor one, evaluate_at(graph, value, probe, 1));
  if (all.num_elements() != one.num_elements() * count || all.dtype() != one.dtype()) return refuse("positions have another shape");
  const size_t bytes = one.num_bytes();
  if (!std::equal(static_cast<const std::byte*>(one.raw()), static_cast<const std::byte*>(one.raw()) + bytes,
                  static_cast<const std::byte*>(all.raw()) + static_cast<size_t>(probe) * bytes))
    return refuse("positions do not follow from lengths");
  return all.reshaped(Dims{count, one.num_elements()});
}

Result<Tensor> rotary_table(const ir::Graph& graph, const DecoderGraph::Layer& layer, bool cosines, int64_t count) {
  const ir::ValueId value = cosines ? layer.cosines : layer.sines;
  if (layer.rotary_index == ir::kNoValue) return at_positions(graph, value, count);
  CAMEO_ASSIGN(const Tensor index, at_positions(graph, layer.rotary_index, count));
  const Tensor& table = graph.value(value).constant;
  if (index.dtype() != DType::kInt64 || index.num_elements() != count || table.rank() != 2)
    return refuse("rotary positions are of another kind");
  CAMEO_ASSIGN(Tensor rows, Tensor::allocate(table.dtype(), Dims{count, table.dim(1)}));
  const size_t bytes = static_cast<size_t>(table.dim(1)) * dtype_size(table.dtype());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = index.data<int64_t>()[i];
    if (row < 0 || row >= table.dim(0)) return refuse("rotary positions lie outside of their tables");
    std::memcpy(static_cast<std::byte*>(rows.raw()) + static_cast<size_t>(i) * bytes,
                static_cast<const std::byte*>(table.raw()) + static_cast<size_t>(row) * bytes, bytes);
  }
  return rows;
}

}  // namespace cameo::cuda
