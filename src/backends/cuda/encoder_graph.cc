#include "backends/cuda/encoder_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>

#include "backends/cuda/attributes.h"
#include "backends/cuda/encoder_chain.h"
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/ops/ops.h"
#include "ops/pointwise_program.h"

namespace cameo::cuda {
namespace {

using ops::PointOp;
using runtime::Specialization;
using Place = Specialization::Place;

constexpr size_t kMask = 3;  // an input of Attention
constexpr uint32_t kNone = UINT32_MAX;

bool is(const ir::Node& node, std::string_view domain, std::string_view name) { return node.op->domain == domain && node.op->name == name; }

// A product with what is fused to it.
struct Product {
  uint32_t node = kNone;
  ir::ValueId x = ir::kNoValue, residual = ir::kNoValue;
  EncoderConstant weight, bias;
  Activation activation = Activation::kNone;
  int64_t n = 0, k = 0;  // of the columns that were asked for
};

struct Norm {
  uint32_t node = kNone;
  ir::ValueId x = ir::kNoValue;
  EncoderConstant weight, bias;
  float epsilon = 0;
};

template <typename F>
void for_each_constant(const EncoderChain& chain, F&& f) {
  f(chain.first), f(chain.first_bias);
  for (const EncoderChain::Layer& l : chain.layers) {
    for (int i = 0; i < 3; ++i) f(l.weight[i]), f(l.bias[i]);
    for (const EncoderConstant* c :
         {&l.out, &l.out_bias, &l.up, &l.up_bias, &l.down, &l.down_bias, &l.norm1, &l.norm1_bias, &l.norm2, &l.norm2_bias})
      f(*c);
  }
}

class Finder {
 public:
  Finder(const ir::Graph& graph, const Specialization& spec, const Simplified& simplified)
      : graph_(graph), spec_(spec), simplified_(simplified), maker_(graph.values.size(), kNone), readers_(graph.values.size()) {
    for (const auto& step : spec.steps) {
      const ir::Node& node = graph.nodes[step.node];
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) maker_[id] = step.node;
      const bool split = simplified.biases.count(step.node) > 0;
      ir::for_each_use(node, [&](ir::ValueId id) {
        if (!(split && id == node.inputs[kMask])) readers_[source(id)].insert(step.node);
      });
      if (split && simplified.biases.at(step.node).mask != ir::kNoValue)
        readers_[source(simplified.biases.at(step.node).mask)].insert(step.node);
    }
    for (ir::ValueId id : graph.outputs) readers_[source(id)].insert(kNone);
  }

  std::vector<EncoderChain> run(Scalar type, const DeviceTraits& device) {
    std::vector<EncoderChain> chains;
    for (const auto& step : spec_.steps) {
      if (!is(graph_.nodes[step.node], "", "Attention")) continue;
      std::optional<EncoderChain> one = layer(step.node);
      if (!one) continue;
      one->args.type = type;
      if (one->persistent && one->args.tokens > kEncoderFewTokens && lie_together(one->layers[0], one->args.hidden))
        one->persistent = encoder_chain_refusal(one->args, device) != nullptr;
      if (one->persistent ? encoder_refusal(with_addresses(*one), device) : encoder_chain_refusal(one->args, device)) continue;
      if (!chains.empty() && follows(chains.back(), *one))
        append(chains.back(), std::move(*one));
      else
        chains.push_back(std::move(*one));
    }
    for (EncoderChain& chain : chains) {
      take_first_norm(chain);
      for_each_constant(chain, [&](const EncoderConstant& c) {
        if (c.value != ir::kNoValue && std::find(chain.inputs.begin() + 2, chain.inputs.end(), c.value) == chain.inputs.end())
          chain.inputs.push_back(c.value);
      });
    }
    return chains;
  }

 private:
  ir::ValueId source(ir::ValueId id) const { return spec_.values[id].place == Place::kView ? spec_.values[id].source : id; }
  Dims dims(ir::ValueId id) const {
    const auto& shape = spec_.facts[id].type.shape;
    return shape ? ir::to_dims(*shape).value_or(Dims()) : Dims();
  }
  const Tensor* constant(ir::ValueId id) const {
    return id != ir::kNoValue && spec_.values[id].place == Place::kConstant && spec_.facts[id].constant.defined() &&
                   spec_.facts[id].constant.dtype() == DType::kFloat32
               ? &spec_.facts[id].constant
               : nullptr;
  }
  bool vector_of(ir::ValueId id, int64_t n) const {
    const Tensor* t = constant(id);
    return t && t->rank() > 0 && t->num_elements() == n && t->dims().back() == n;
  }
  // The one node that reads a value, if no other does.
  uint32_t only_reader(ir::ValueId id) const {
    const auto& readers = readers_[source(id)];
    return readers.size() == 1 ? *readers.begin() : kNone;
  }

  // The product of constant weights that makes the value, or some of whose columns it is.
  std::optional<Product> product(ir::ValueId id) const {
    const uint32_t at = maker_[source(id)];
    return at == kNone ? std::nullopt : product(at, source(id));
  }
  std::optional<Product> product(uint32_t at, ir::ValueId made) const {
    const ir::Node& n = graph_.nodes[at];
    const bool fused = is(n, "ai.cameo", "MatMul");
    if ((!fused && !is(n, "", "MatMul")) || n.inputs.size() < 2) return std::nullopt;
    Product p;
    p.node = at;
    p.x = source(n.inputs[0]);
    const Tensor* w = constant(n.inputs[1]);
    if (!w || w->rank() != 2 || spec_.facts[n.inputs[0]].type.dtype != DType::kFloat32) return std::nullopt;
    p.weight.value = n.inputs[1];
    std::vector<int64_t> splits, code;
    const Attributes attrs(*n.attrs);
    if (fused) {
      if (attrs.integer("trans_a") != 0 || attrs.real("alpha", 1) != 1) return std::nullopt;
      p.weight.transposed = attrs.integer("trans_b") != 0;
      splits = attrs.integers("splits"), code = attrs.integers("program");
    }
    p.k = w->dim(p.weight.transposed ? 1 : 0);
    const int64_t all = w->dim(p.weight.transposed ? 0 : 1);
    p.n = all;
    for (size_t i = 0, first = 0; i < splits.size() && i < n.outputs.size(); first += static_cast<size_t>(splits[i++]))
      if (n.outputs[i] == made) p.weight.first = static_cast<int64_t>(first), p.n = splits[i];
    const Dims x = dims(n.inputs[0]);
    if (x.rank() < 2 || x.back() != p.k) return std::nullopt;
    if (code.empty()) return n.inputs.size() == 2 ? std::optional(p) : std::nullopt;
    const auto program = ops::decode_point_program(static_cast<int>(n.inputs.size()) - 1, code, attrs.reals("constants"));
    if (!program.ok()) return std::nullopt;
    int current = 0;  // register
    for (size_t i = 0; i < program->code.size(); ++i) {
      const auto& c = program->code[i];
      if (c.op == PointOp::kAdd && (c.a == current) != (c.b == current)) {
        const int other = c.a == current ? c.b : c.a;
        if (other < 1 || other >= program->num_inputs || p.residual != ir::kNoValue) return std::nullopt;
        const ir::ValueId operand = n.inputs[static_cast<size_t>(other) + 1];
        if (p.bias.value == ir::kNoValue && p.activation == Activation::kNone && vector_of(operand, all))
          p.bias = {.value = operand, .first = p.weight.first};
        else if (splits.empty() && !constant(operand) && dims(operand).num_elements() == dims(made).num_elements())
          p.residual = source(operand);
        else
          return std::nullopt;
      } else if (c.a == current && p.activation == Activation::kNone && p.residual == ir::kNoValue) {
        p.activation = c.op == PointOp::kGelu       ? Activation::kGelu
                       : c.op == PointOp::kGeluTanh ? Activation::kGeluTanh
                       : c.op == PointOp::kRelu     ? Activation::kRelu
                       : c.op == PointOp::kSwish    ? Activation::kSilu
                                                    : Activation::kNone;
        if (p.activation == Activation::kNone) return std::nullopt;
      } else {
        return std::nullopt;
      }
      current = program->num_inputs + static_cast<int>(i);
    }
    return p;
  }

  std::optional<Norm> norm(uint32_t at) const {
    if (at == kNone || simplified_.roundings.count(at)) return std::nullopt;
    const ir::Node& n = graph_.nodes[at];
    if (!is(n, "", "LayerNormalization") || n.inputs.size() < 2) return std::nullopt;
    for (size_t i = 1; i < n.outputs.size(); ++i)
      if (n.outputs[i] != ir::kNoValue) return std::nullopt;
    const Attributes attrs(*n.attrs);
    const Dims x = dims(n.inputs[0]);
    const int64_t axis = attrs.integer("axis", -1);
    if (x.rank() == 0 || (axis != -1 && axis != static_cast<int64_t>(x.rank()) - 1) || !vector_of(n.inputs[1], x.back()))
      return std::nullopt;
    Norm made{.node = at, .x = source(n.inputs[0]), .weight = {.value = n.inputs[1]}, .bias = {}, .epsilon = attrs.real("epsilon", 1e-5f)};
    if (n.inputs.size() > 2 && n.inputs[2] != ir::kNoValue) {
      if (!vector_of(n.inputs[2], x.back())) return std::nullopt;
      made.bias.value = n.inputs[2];
    }
    return made;
  }

  // The layer around an attention.
  std::optional<EncoderChain> layer(uint32_t at) const {
    const ir::Node& n = graph_.nodes[at];
    const Attributes attrs(*n.attrs);
    for (size_t i = kMask + 1; i < n.inputs.size(); ++i)
      if (n.inputs[i] != ir::kNoValue) return std::nullopt;
    for (size_t i = 1; i < n.outputs.size(); ++i)
      if (n.outputs[i] != ir::kNoValue) return std::nullopt;
    const Dims q = dims(n.inputs[0]);
    EncoderChain chain;
    EncoderArgs& a = chain.args;
    const int64_t heads = attrs.integer("q_num_heads");
    if (q.rank() != 3 || q[0] < 1 || q[1] < 1 || q[0] * q[1] > kEncoderChainRows || heads < 1 || heads > q[2] || q[2] > INT16_MAX ||
        q[2] % heads || attrs.integer("kv_num_heads") != heads || attrs.real("softcap") != 0 ||
        attrs.integer("left_window_size", -1) >= 0 || attrs.integer("right_window_size", -1) >= 0)
      return std::nullopt;
    a.layers = 1, a.batch = static_cast<int32_t>(q[0]), a.tokens = static_cast<int32_t>(q[1]), a.hidden = static_cast<int32_t>(q[2]);
    a.heads = static_cast<int32_t>(heads), a.head_size = static_cast<int32_t>(q[2] / heads);
    a.scale = attrs.has("scale") ? attrs.real("scale") : 1.f / std::sqrt(static_cast<float>(a.head_size));
    a.causal = attrs.integer("is_causal") != 0;
    EncoderChain::Layer l;
    std::set<uint32_t> nodes{at};
    ir::ValueId x = ir::kNoValue;
    for (size_t i = 0; i < 3; ++i) {
      const auto p = product(n.inputs[i]);
      if (!p || !(dims(n.inputs[i]) == q) || p->n != a.hidden || p->k != a.hidden || p->residual != ir::kNoValue ||
          p->activation != Activation::kNone || (i > 0 && p->x != x))
        return std::nullopt;
      x = p->x, l.weight[i] = p->weight, l.bias[i] = p->bias;
      nodes.insert(p->node);
    }
    const uint32_t out_node = only_reader(n.outputs[0]);
    const auto out = out_node == kNone ? std::nullopt : product(out_node, graph_.nodes[out_node].outputs[0]);
    if (!out || out->x != source(n.outputs[0]) || out->n != a.hidden || out->k != a.hidden || out->activation != Activation::kNone ||
        out->residual == ir::kNoValue)
      return std::nullopt;
    nodes.insert(out_node);
    l.out = out->weight, l.out_bias = out->bias;
    const ir::ValueId sum1 = graph_.nodes[out_node].outputs[0];
    a.pre = out->residual != x;
    // norm1 and the input of the feed-forward part
    std::optional<Norm> norm1, norm2;
    ir::ValueId middle = source(sum1), in = x;
    if (a.pre) {
      norm1 = norm(maker_[x]);
      if (!norm1 || norm1->x != out->residual) return std::nullopt;
      in = norm1->x;
      for (const uint32_t reader : readers_[middle])
        if (reader != kNone && !norm2) norm2 = norm(reader);
      if (!norm2) return std::nullopt;
      nodes.insert(norm2->node);
    } else {
      norm1 = norm(only_reader(sum1));
      if (!norm1) return std::nullopt;
      middle = source(graph_.nodes[norm1->node].outputs[0]);
    }
    nodes.insert(norm1->node);
    const ir::ValueId fed = a.pre ? source(graph_.nodes[norm2->node].outputs[0]) : middle;
    // of the readers of `fed`, up is the one whose result goes into down
    for (const uint32_t reader : readers_[fed]) {
      if (reader == kNone) continue;
      const auto up = product(reader, graph_.nodes[reader].outputs[0]);
      if (!up || up->x != fed || up->residual != ir::kNoValue || graph_.nodes[reader].outputs.size() != 1) continue;
      const uint32_t down_node = only_reader(graph_.nodes[reader].outputs[0]);
      const auto down = down_node == kNone ? std::nullopt : product(down_node, graph_.nodes[down_node].outputs[0]);
      if (!down || down->residual != middle || down->x != source(graph_.nodes[reader].outputs[0]) ||
          down->activation != Activation::kNone || up->k != a.hidden || down->n != a.hidden || down->k != up->n || up->n > INT16_MAX)
        continue;
      a.ffn = static_cast<int32_t>(up->n), a.activation = up->activation;
      l.up = up->weight, l.up_bias = up->bias, l.down = down->weight, l.down_bias = down->bias;
      nodes.insert(reader), nodes.insert(down_node);
      chain.output = graph_.nodes[down_node].outputs[0];
    }
    if (chain.output == ir::kNoValue) return std::nullopt;
    if (!a.pre) {
      norm2 = norm(only_reader(chain.output));
      if (!norm2) return std::nullopt;
      nodes.insert(norm2->node);
      chain.output = graph_.nodes[norm2->node].outputs[0];
    }
    if (norm1->epsilon != norm2->epsilon) return std::nullopt;
    a.epsilon = norm1->epsilon;
    l.norm1 = norm1->weight, l.norm1_bias = norm1->bias, l.norm2 = norm2->weight, l.norm2_bias = norm2->bias;
    // What lies between is read by nothing else.
    for (const uint32_t node : nodes)
      for (ir::ValueId id : graph_.nodes[node].outputs)
        if (id != ir::kNoValue && id != chain.output)
          for (const uint32_t reader : readers_[source(id)])
            if (!nodes.count(reader)) return std::nullopt;
    ir::ValueId mask = n.inputs.size() > kMask ? n.inputs[kMask] : ir::kNoValue;
    if (const auto bias = simplified_.biases.find(at); bias != simplified_.biases.end())
      mask = bias->second.mask, chain.table = bias->second.table;
    if (!read_bias(chain, mask)) return std::nullopt;
    chain.persistent = a.batch * a.tokens <= kEncoderRows;
    if (!chain.persistent && !lie_together(l, a.hidden)) return std::nullopt;
    chain.layers.push_back(l);
    chain.nodes.assign(nodes.begin(), nodes.end());
    chain.inputs = {in, mask};
    if (spec_.facts[in].type.dtype != DType::kFloat32) return std::nullopt;
    return chain;
  }

  // Whether queries, keys and values have one matrix, and one bias if any.
  static bool lie_together(const EncoderChain::Layer& l, int64_t hidden) {
    for (int i = 0; i < 3; ++i)
      if (l.weight[i].value != l.weight[0].value || l.weight[i].first != i * hidden || l.bias[i].value != l.bias[0].value) return false;
    return true;
  }

  bool read_bias(EncoderChain& chain, ir::ValueId mask) const {
    EncoderArgs& a = chain.args;
    if (chain.table.defined()) {
      const Dims& d = chain.table.dims();
      if ((d[0] != 1 && d[0] != a.heads) || d[1] != 2 * a.tokens - 1) return false;
      a.relative_stride = d[0] == 1 ? 0 : static_cast<int32_t>(d[1]);
      a.relative_origin = a.tokens - 1;
    }
    if (mask == ir::kNoValue) return true;
    const Dims m = dims(mask);
    const DType type = spec_.facts[mask].type.dtype;
    if (m.rank() < 1 || m.rank() > 4 || (type != DType::kFloat32 && type != DType::kBool)) return false;
    const int64_t most[] = {a.batch, a.heads, a.tokens};
    int64_t strides[3] = {}, stride = m.back();
    for (size_t i = 3, axis = m.rank() - 1; i-- > 0 && axis-- > 0; stride *= m[axis]) {
      if (m[axis] != 1 && m[axis] != most[i]) return false;
      strides[i] = m[axis] == 1 ? 0 : stride;
    }
    a.bias_type = type == DType::kBool ? BiasType::kBool : BiasType::kFloat32;
    a.bias_strides = {strides[0], strides[1], strides[2]};
    a.bias_keys = static_cast<int32_t>(std::min<int64_t>(m.back(), a.tokens));
    return true;
  }

  static bool same_table(const Tensor& a, const Tensor& b) {
    if (!a.defined() || !b.defined()) return a.defined() == b.defined();
    return a.dims() == b.dims() && (a.raw() == b.raw() || std::equal(a.data<float>(), a.data<float>() + a.num_elements(), b.data<float>()));
  }

  // Whether `next` is a layer of the same kind that alone reads what the chain gives.
  bool follows(const EncoderChain& chain, const EncoderChain& next) const {
    const EncoderArgs &a = chain.args, &b = next.args;
    if (next.inputs[0] != source(chain.output) || next.inputs[1] != chain.inputs[1] || !same_table(chain.table, next.table)) return false;
    for (const uint32_t reader : readers_[source(chain.output)])
      if (std::find(next.nodes.begin(), next.nodes.end(), reader) == next.nodes.end()) return false;
    return chain.persistent == next.persistent && a.batch == b.batch && a.tokens == b.tokens && a.hidden == b.hidden &&
           a.heads == b.heads && a.ffn == b.ffn && a.pre == b.pre && a.epsilon == b.epsilon && a.scale == b.scale &&
           a.activation == b.activation && a.causal == b.causal && a.layers < kEncoderLayers;
  }
  static void append(EncoderChain& chain, EncoderChain next) {
    chain.layers.push_back(next.layers[0]);
    chain.nodes.insert(chain.nodes.end(), next.nodes.begin(), next.nodes.end());
    chain.output = next.output;
    ++chain.args.layers;
  }

  // Where the input of layers with norms behind their sums is a norm that they alone read, they do that too.
  void take_first_norm(EncoderChain& chain) const {
    const ir::ValueId x = chain.inputs[0];
    if (chain.args.pre || maker_[x] == kNone || graph_.nodes[maker_[x]].outputs[0] != x) return;
    const auto made = norm(maker_[x]);
    if (!made || made->epsilon != chain.args.epsilon || spec_.facts[made->x].type.dtype != DType::kFloat32) return;
    for (const uint32_t reader : readers_[x])
      if (std::find(chain.nodes.begin(), chain.nodes.end(), reader) == chain.nodes.end()) return;
    chain.first = made->weight, chain.first_bias = made->bias;
    chain.nodes.push_back(made->node);
    chain.inputs[0] = made->x;
  }

  // For encoder_refusal(): with addresses that are aligned as those of the run will be.
  const EncoderArgs& with_addresses(const EncoderChain& chain) {
    layers_.assign(chain.layers.size(), {});
    args_ = chain.args;
    args_.layer = layers_.data();
    return args_;
  }

  const ir::Graph& graph_;
  const Specialization& spec_;
  const Simplified& simplified_;
  std::vector<uint32_t> maker_;              // by value: the node of a step
  std::vector<std::set<uint32_t>> readers_;  // by value that is no view: nodes of steps; kNone for the graph's end
  std::vector<EncoderLayer> layers_;
  EncoderArgs args_;
};

class EncoderOperation final : public Operation {
 public:
  EncoderOperation(const EncoderArgs& args, std::vector<EncoderLayer> layers, const DeviceTraits& traits, Operand x, Operand mask,
                   Operand y)
      : args_(args), layers_(std::move(layers)), traits_(traits), x_(std::move(x)), mask_(std::move(mask)), y_(std::move(y)) {
    args_.layer = layers_.data();
  }
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.bias = at.of(mask_);
    args_.y = at.of(y_);
    return check(encoder(args_, traits_, stream), "the layers of an encoder");
  }

 private:
  EncoderArgs args_;
  const std::vector<EncoderLayer> layers_;
  const DeviceTraits traits_;
  const Operand x_, mask_, y_;
};

class NormSums final : public Operation {
 public:
  NormSums(Scalar type, int32_t n, int32_t k, const void* w, const void* bias, const void* norm_weight, const void* norm_bias, Operand to)
      : type_(type), n_(n), k_(k), w_(w), bias_(bias), norm_weight_(norm_weight), norm_bias_(norm_bias), to_(std::move(to)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    return check(norm_sums(type_, n_, k_, w_, bias_, norm_weight_, norm_bias_, static_cast<float*>(at.of(to_)), stream), "sums of a norm");
  }

 private:
  const Scalar type_;
  const int32_t n_, k_;
  const void *const w_, *const bias_, *const norm_weight_, *const norm_bias_;
  const Operand to_;
};

}  // namespace

std::vector<EncoderChain> find_encoders(const ir::Graph& graph, const Specialization& spec, const Simplified& simplified, Scalar type,
                                        const DeviceTraits& device) {
  return Finder(graph, spec, simplified).run(type, device);
}

uint32_t replace_steps(const EncoderChain& chain, const ir::Graph& graph, Specialization& spec) {
  std::set<uint32_t> nodes(chain.nodes.begin(), chain.nodes.end());
  const auto last = std::find_if(spec.steps.rbegin(), spec.steps.rend(), [&](const auto& s) { return nodes.count(s.node) > 0; });
  const uint32_t kept = last->node;
  nodes.erase(kept);
  for (const uint32_t n : nodes)
    for (ir::ValueId id : graph.nodes[n].outputs)
      if (id != ir::kNoValue) spec.values[id].place = Place::kUnused;
  std::erase_if(spec.steps, [&](const auto& s) { return nodes.count(s.node) > 0; });
  for (ir::ValueId id : spec.views)
    if (spec.values[spec.values[id].source].place == Place::kUnused) spec.values[id].place = Place::kUnused;
  std::erase_if(spec.views, [&](ir::ValueId id) { return spec.values[id].place != Place::kView; });
  return kept;
}

Status make_encoder(StepBuilder& b, const EncoderChain& chain) {
  const DType type = activation_type(b.precision());
  EncoderArgs args = chain.args;
  CAMEO_ASSIGN(const Operand x, b.input_as(0, type));
  Operand mask;
  if (chain.inputs[1] != ir::kNoValue) {
    CAMEO_ASSIGN(mask, b.input(1));
    if (mask.dtype != DType::kBool)
      args.bias_type = mask.dtype == DType::kFloat32   ? BiasType::kFloat32
                       : mask.dtype == DType::kFloat16 ? BiasType::kFloat16
                                                       : BiasType::kBFloat16;
  }
  if (chain.table.defined()) {
    CAMEO_ASSIGN(const Operand table, b.constant(chain.table));
    args.relative = static_cast<const float*>(table.fixed);
  }
  const auto index_of = [&](const EncoderConstant& c) {
    return static_cast<size_t>(std::find(chain.inputs.begin() + 2, chain.inputs.end(), c.value) - chain.inputs.begin());
  };
  // The forms are those of products of few rows, which may be there for other shapes.
  const auto matrix = [&](const EncoderConstant& c, const void*& to) -> Status {
    const size_t i = index_of(c);
    const Dims dims = b.in_dims(i);
    Operand made;
    if (c.transposed) {
      CAMEO_ASSIGN(made, b.input_as(i, type));
    } else {
      CAMEO_ASSIGN(made, b.prepared(i, "rows of K " + std::string(dtype_name(type)), type, Dims{dims[1], dims[0]},
                                    [&](StepBuilder& inner, const Operand& from, Operand target) {
                                      target.narrowed = type != from.dtype;
                                      return transpose(inner, from, target, {1, 0});
                                    }));
    }
    to = static_cast<const std::byte*>(made.fixed) + c.first * dims[c.transposed ? 1 : 0] * static_cast<int64_t>(dtype_size(type));
    return {};
  };
  const auto vector = [&](const EncoderConstant& c, const void*& to) -> Status {
    if (c.value == ir::kNoValue) return {};
    CAMEO_ASSIGN(const Operand made, b.input_as(index_of(c), type));
    to = static_cast<const std::byte*>(made.fixed) + c.first * static_cast<int64_t>(dtype_size(type));
    return {};
  };
  CAMEO_TRY(vector(chain.first, args.first_weight));
  CAMEO_TRY(vector(chain.first_bias, args.first_bias));
  std::vector<EncoderLayer> layers;
  for (const EncoderChain::Layer& l : chain.layers) {
    EncoderLayer e{};
    for (int i = 0; i < 3; ++i) {
      CAMEO_TRY(matrix(l.weight[i], e.weight[i]));
      CAMEO_TRY(vector(l.bias[i], e.bias[i]));
    }
    CAMEO_TRY(matrix(l.out, e.out_weight));
    CAMEO_TRY(vector(l.out_bias, e.out_bias));
    CAMEO_TRY(matrix(l.up, e.up_weight));
    CAMEO_TRY(vector(l.up_bias, e.up_bias));
    CAMEO_TRY(matrix(l.down, e.down_weight));
    CAMEO_TRY(vector(l.down_bias, e.down_bias));
    CAMEO_TRY(vector(l.norm1, e.norm1_weight));
    CAMEO_TRY(vector(l.norm1_bias, e.norm1_bias));
    CAMEO_TRY(vector(l.norm2, e.norm2_weight));
    CAMEO_TRY(vector(l.norm2_bias, e.norm2_bias));
    layers.push_back(e);
  }
  const Operand y = b.output(0);
  const Operand made = y.dtype == type ? y : b.scratch(type, y.dims);
  if (!chain.persistent) {
    const auto place = [&](const EncoderConstant& c) { return c.value == ir::kNoValue ? nullptr : b.value(index_of(c))->raw(); };
    std::vector<EncoderSums> sums;
    for (size_t i = 0; i < layers.size(); ++i) {
      const EncoderChain::Layer& l = chain.layers[i];
      const EncoderLayer& e = layers[i];
      // Of a matrix, with its bias and the norm in front of it.
      const auto of = [&](const EncoderConstant& c, const EncoderConstant& bias, const void* w, const void* b_at, int32_t n,
                          const EncoderConstant& weight, const EncoderConstant& norm_bias, const void* weight_at,
                          const void* norm_bias_at) -> Result<const float*> {
        const std::string form = fmt::format("sums of a norm {} {} {} {}", place(bias), place(weight), place(norm_bias), dtype_name(type));
        CAMEO_ASSIGN(const Operand to, b.prepared(index_of(c), form, DType::kFloat32, Dims{n, 2},
                                                  [&](StepBuilder& inner, const Operand&, const Operand& target) -> Status {
                                                    inner.add(std::make_unique<NormSums>(args.type, n, args.hidden, w, b_at, weight_at,
                                                                                         norm_bias_at, target));
                                                    return {};
                                                  }));
        return static_cast<const float*>(to.fixed);
      };
      EncoderSums made_sums{};
      if (i > 0) {
        const EncoderChain::Layer& other = args.pre ? l : chain.layers[i - 1];
        const EncoderLayer& other_at = args.pre ? e : layers[i - 1];
        CAMEO_ASSIGN(made_sums.qkv,
                     of(l.weight[0], l.bias[0], e.weight[0], e.bias[0], 3 * args.hidden, args.pre ? other.norm1 : other.norm2,
                        args.pre ? other.norm1_bias : other.norm2_bias, args.pre ? other_at.norm1_weight : other_at.norm2_weight,
                        args.pre ? other_at.norm1_bias : other_at.norm2_bias));
      }
      CAMEO_ASSIGN(made_sums.up, of(l.up, l.up_bias, e.up_weight, e.up_bias, args.ffn, args.pre ? l.norm2 : l.norm1,
                                    args.pre ? l.norm2_bias : l.norm1_bias, args.pre ? e.norm2_weight : e.norm1_weight,
                                    args.pre ? e.norm2_bias : e.norm1_bias));
      sums.push_back(made_sums);
    }
    CAMEO_TRY(add_encoder_chain(b, args, std::move(layers), std::move(sums), x, mask, made));
    return y.dtype == type ? Status() : copy_elements(b, made, y);
  }
  const DeviceTraits traits = traits_of(b.device());
  const int64_t bytes = encoder_workspace(args, traits);
  CAMEO_ASSIGN(Tensor zeros, Tensor::allocate(DType::kUint8, {bytes}));
  std::memset(zeros.raw(), 0, zeros.num_bytes());
  CAMEO_ASSIGN(const Operand workspace, b.constant(zeros));
  args.workspace = workspace.fixed;
  b.add(std::make_unique<EncoderOperation>(args, std::move(layers), traits, x, mask, made));
  return y.dtype == type ? Status() : copy_elements(b, made, y);
}

}  // namespace cameo::cuda
