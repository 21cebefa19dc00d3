#include "passes/add_kv_cache.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "passes/elementwise.h"
#include "passes/graph_builder.h"
#include "passes/last_positions.h"
#include "passes/lift_positions.h"
#include "passes/sequence_axes.h"
#include "passes/uniform_values.h"

namespace cameo::passes {
namespace {

constexpr std::string_view kPast = "past_key_values.", kPresent = "present.";
constexpr double kHidden = -1e4;  // a bias from here on down hides a key
enum AttentionInput : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kLengths };

Error refuse(std::string reason) { return Error(ErrorCode::kUnsupported, std::move(reason)); }

ir::ValueId input(const ir::Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : ir::kNoValue; }
bool has_output(const ir::Node& node, size_t i) { return i < node.outputs.size() && node.outputs[i] != ir::kNoValue; }

// Works on a graph of its own, which takes the place of the other one when all is done.
class Cacher {
 public:
  explicit Cacher(const ir::Graph& graph) : source_(graph), graph_(graph) {}

  Result<ir::Graph> run(KvCacheReport& found) {
    CAMEO_TRY(read_interface());
    CAMEO_TRY(infer());
    CAMEO_TRY(find_lengths());
    make_inputs();
    CAMEO_TRY(walk());
    if (caches_.empty()) return refuse("no Attention was found in it");
    ir::ValueId logits = replaced(logits_);
    const auto axes = axes_of(logits);
    if (!axes || !(*axes == SequenceAxes{0, 1}) || builder_->shape(logits)->size() != 3)
      return refuse("'logits' is not [batch, sequence, vocabulary]");
    CAMEO_TRY(keep_last_positions(*builder_, logits, last_positions_, [&](ir::ValueId id) { return axes_of(id); }));
    CAMEO_TRY(finish(logits));
    found.caches = static_cast<int>(caches_.size());
    found.most_positions = lifter_->most_positions();
    return std::move(graph_);
  }

 private:
  struct Cache {
    ir::ValueId past = ir::kNoValue, present = ir::kNoValue;
    std::string past_name, present_name;
  };

  Status read_interface() {
    const auto index = [&](ir::ValueId id) {
      const ir::Type& type = graph_.value(id).type;
      return type.is_tensor() && (type.dtype == DType::kInt64 || type.dtype == DType::kInt32) && type.shape && type.shape->size() == 2;
    };
    for (ir::ValueId id : graph_.inputs) {
      const std::string& name = graph_.value(id).name;
      if (name == "input_ids" && index(id)) {
        ids_ = id;
      } else if (name == "attention_mask" && graph_.value(id).type.shape && graph_.value(id).type.shape->size() == 2) {
        mask_ = id;
      } else if (name == "position_ids" && index(id)) {
        position_ids_ = id;
      } else if (name.starts_with(kPast)) {
        pasts_.insert(id);
      } else {
        return refuse(fmt::format("its input '{}' ({}) is none of a language model's", name, graph_.value(id).type.to_string()));
      }
    }
    if (ids_ == ir::kNoValue) return refuse("it has no input 'input_ids', int64[batch, sequence]");
    for (ir::ValueId id : graph_.outputs) {
      const std::string& name = graph_.value(id).name;
      if (name == "logits")
        logits_ = id;
      else if (!name.starts_with(kPresent))
        return refuse(fmt::format("its output '{}' is none of a language model's (logits, and present.N.key and .value)", name));
    }
    if (logits_ == ir::kNoValue) return refuse("it has no output 'logits'");
    return {};
  }

  Status infer() {
    std::vector<ops::Fact> inputs;
    for (ir::ValueId id : graph_.inputs) inputs.push_back(ops::Fact::of(graph_.value(id).type));
    CAMEO_ASSIGN(source_facts_, ops::infer_graph(source_, inputs));
    const ir::Shape& shape = *graph_.value(ids_).type.shape;
    batch_ = shape[0], length_ = shape[1];
    if (length_.is_const()) return refuse(fmt::format("its sequences have a fixed length, {}", length_.value()));
    if (batch_.is_unknown() || length_.is_unknown()) return refuse("the extents of 'input_ids' have no names");
    if (batch_ == length_) return refuse("the extents of 'input_ids' have the same name");
    if (!source_facts_[logits_].type.shape) return refuse("the shape of 'logits' is not known");
    uniform_.emplace(source_, source_facts_, mask_);
    builder_.emplace(graph_, source_facts_);
    return {};
  }

  // How many tokens came before: what the past's extents say.
  Status find_lengths() {
    past_ = ir::Dim(0);
    for (ir::ValueId id : pasts_) {
      const auto& type = graph_.value(id).type;
      if (!type.is_tensor() || !type.shape || type.shape->size() != 4) return refuse("a past is not [batch, heads, length, size]");
      const ir::Dim& own = (*type.shape)[2];
      if (own.is_unknown() || own.is_const()) return refuse("the length of the past has no name");
      if (!past_.is(0) && !(past_ == own)) return refuse("its pasts differ in length");
      past_ = own;
    }
    return {};
  }

  void make_inputs() {
    GraphBuilder& b = *builder_;
    past_lengths_ = b.input("past_lengths", ir::Type::tensor(DType::kInt64, {batch_}));
    last_positions_ = b.input("last_positions", ir::Type::tensor(DType::kInt64, {batch_}));
    fixed_ = {ids_, past_lengths_, last_positions_};
  }

  // Nodes that the outputs need, where masks are left out and positions are known.
  std::vector<char> needed() const {
    std::vector<char> value(source_.values.size(), 0), node(source_.nodes.size(), 0);
    for (ir::ValueId id : source_.outputs) value[id] = 1;
    for (size_t i = source_.nodes.size(); i-- > 0;) {
      const ir::Node& n = source_.nodes[i];
      for (ir::ValueId id : n.outputs) node[i] |= id != ir::kNoValue && value[id];
      if (!node[i] || (n.outputs.size() == 1 && lifter_->is_position(n.outputs[0]))) continue;
      const bool is_attention = n.op->domain.empty() && n.op->name == "Attention";
      for (size_t k = 0; k < n.inputs.size(); ++k)
        if (n.inputs[k] != ir::kNoValue && !(is_attention && k == kMask)) value[n.inputs[k]] = 1;
      for (const ir::Subgraph& subgraph : n.subgraphs)
        for (ir::ValueId id : subgraph.captures) value[id] = 1;
    }
    return node;
  }

  Status walk() {
    GraphBuilder& b = *builder_;
    std::vector<ir::Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    // [batch, sequence]: where each token stands.
    const ir::ValueId extents = b.node("Shape", {ids_}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
    const ir::ValueId zero = b.constant(Tensor::of<int64_t>({}, {0})), one = b.constant(Tensor::of<int64_t>({}, {1}));
    const ir::ValueId length = b.node("Squeeze", {extents});
    const ir::ValueId range = b.node("Range", {zero, length, one});
    const ir::ValueId column = b.node("Unsqueeze", {past_lengths_, b.ints({1})});
    const ir::ValueId positions = b.node("Add", {column, range});
    lengths_ = b.node("Add", {past_lengths_, extents});
    b.set_shape(positions, {batch_, length_});
    axes_[ids_] = SequenceAxes{0, 1};
    axes_[positions] = SequenceAxes{0, 1};
    lifter_.emplace(b, *uniform_, positions, batch_, length_, past_, axes_, replaced_);
    if (position_ids_ != ir::kNoValue) {
      const bool same_type = b.dtype(position_ids_) == DType::kInt64;
      replaced_[position_ids_] =
          same_type ? positions : b.node("Cast", {positions}, {{"to", static_cast<int64_t>(b.dtype(position_ids_))}});
      axes_[replaced_[position_ids_]] = SequenceAxes{0, 1};
    }
    CAMEO_TRY(b.status());
    const std::vector<char> wanted = needed();
    for (size_t i = 0; i < old.size(); ++i)
      if (wanted[i]) CAMEO_TRY(visit(std::move(old[i])));
    return {};
  }

  ir::ValueId replaced(ir::ValueId id) const {
    const auto it = replaced_.find(id);
    return it == replaced_.end() ? id : it->second;
  }
  std::optional<SequenceAxes> axes_of(ir::ValueId id) const {
    const auto it = axes_.find(id);
    return it == axes_.end() ? std::nullopt : std::optional(it->second);
  }

  Status visit(ir::Node node) {
    GraphBuilder& b = *builder_;
    if (node.op->domain.empty() && node.op->name == "Attention") return visit_attention(std::move(node));
    const ir::Node original = node;
    for (ir::ValueId& id : node.inputs)
      if (id != ir::kNoValue) id = replaced(id);
    if (node.op->name == "Shape" && node.inputs[0] == mask_ && mask_ != ir::kNoValue && b.same_shape(mask_, ids_)) node.inputs[0] = ids_;
    // Arithmetic on extents, whose results are known as such, and what is known without any input stay as they are.
    const bool known = std::all_of(node.outputs.begin(), node.outputs.end(), [&](ir::ValueId id) {
      return id == ir::kNoValue || b.fact(id).constant.defined() || b.fact(id).values;
    });
    if (known) return b.add(std::move(node));
    CAMEO_ASSIGN(const bool lifted, lifter_->lift(original, node));
    if (lifted) return {};
    const bool has_axes =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ir::ValueId id) { return id != ir::kNoValue && axes_of(id); });
    // Without anything of the tokens in it: whether it is the same for all positions is asked where it is used.
    if (!has_axes) return b.add(std::move(node));
    CAMEO_TRY(check_free_inputs(node));
    const SequenceContext context = {b.facts(), batch_, length_, [&](ir::ValueId id) { return axes_of(id); }};
    CAMEO_ASSIGN(const SequenceAxes axes, sequence_axes(node, context));
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue) axes_[id] = axes;
    return b.add(std::move(node));
  }

  // Inputs without positions must be the same whatever the number of tokens: those of shape arguments are known as such.
  Status check_free_inputs(ir::Node& node) {
    GraphBuilder& b = *builder_;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::ValueId id = node.inputs[i];
      if (id == ir::kNoValue || axes_of(id) || b.fact(id).constant.defined()) continue;
      const bool is_shape = (node.op->name == "Reshape" || node.op->name == "Expand" || node.op->name == "Slice") && i > 0;
      if (is_shape) continue;
      if (is_elementwise(node))
        if (const auto u = uniform_->of(id); u && u->kind == Uniform::Kind::kSame && wide_without(node, i)) {
          CAMEO_ASSIGN(node.inputs[i], b.number(b.dtype(id), u->inside));
          continue;
        }
      if (!is_free(id, 0))
        return refuse(fmt::format("{}: its input '{}' depends on the number of tokens", node.describe(), graph_.value(id).name));
    }
    return {};
  }

  // Whether another input alone has the extents of the result.
  bool wide_without(const ir::Node& node, size_t without) const {
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (i != without && node.inputs[i] != ir::kNoValue && builder_->same_shape(node.inputs[i], node.outputs[0])) return true;
    return false;
  }

  // Whether the value is made from constants alone; its extents may have the batch in them.
  bool is_free(ir::ValueId id, int depth) const {
    const GraphBuilder& b = *builder_;
    if (b.fact(id).constant.defined()) return true;
    const ir::Node* node = b.producer(id);
    if (node == nullptr || depth > 50 || !b.shape(id) || !node->op->domain.empty()) return false;
    for (const ir::Dim& d : *b.shape(id))
      if (!d.is_const() && !(d == batch_)) return false;
    const std::string_view op = node->op->name;
    if (op == "Expand" || op == "Reshape") return is_free(node->inputs[0], depth + 1);
    if (op == "ConstantOfShape") return true;
    const bool quantized = op == "QuantizeLinear" || op == "DequantizeLinear";
    if (!is_elementwise(*node) && !quantized && op != "Unsqueeze" && op != "Squeeze" && op != "Transpose") return false;
    return std::all_of(node->inputs.begin(), node->inputs.end(), [&](ir::ValueId i) { return i == ir::kNoValue || is_free(i, depth + 1); });
  }

  Status visit_attention(ir::Node node) {
    GraphBuilder& b = *builder_;
    const auto problem = [&](std::string_view why) { return refuse(fmt::format("{}: {}", node.describe(), why)); };
    for (ir::ValueId& id : node.inputs)
      if (id != ir::kNoValue) id = replaced(id);
    const bool packed = b.shape(node.inputs[kQ]) && b.shape(node.inputs[kQ])->size() == 3;
    const SequenceAxes expected = packed ? SequenceAxes{0, 1} : SequenceAxes{0, 2};
    for (size_t i : {kQ, kK, kV}) {
      const auto own = axes_of(node.inputs[i]);
      if (!own) return problem("its queries, keys or values do not come from the tokens");
      if (!(*own == expected)) return problem("rows and positions are not where the operator has them");
    }
    if (input(node, kLengths) != ir::kNoValue) return problem("it has lengths of its own");
    if (has_output(node, 3)) return problem("the products of queries and keys are used");
    CAMEO_TRY(check_causal(node));
    const bool with_past = input(node, kPastKey) != ir::kNoValue;
    if (with_past != !past_.is(0)) return problem("only some attentions have a past");
    if (with_past && (!pasts_.contains(node.inputs[kPastKey]) || !pasts_.contains(node.inputs[kPastValue])))
      return problem("its past is no input of the model");
    if (with_past && (!has_output(node, 1) || !has_output(node, 2))) return problem("its present keys and values are not used");
    ir::ValueId present[2];
    for (size_t i : {0, 1}) {
      const std::pair key(node.inputs[kK + i], i);
      if (!caches_of_.contains(key)) {
        CAMEO_ASSIGN(caches_of_[key], append(node, i, packed, with_past));
      }
      present[i] = caches_of_[key];
    }
    node.inputs = {node.inputs[kQ], present[0], present[1], ir::kNoValue, ir::kNoValue, ir::kNoValue, lengths_};
    node.outputs.resize(1);
    CAMEO_ASSIGN(node.attrs, changed_attrs(node, {{"is_causal", int64_t{1}}}));
    node.version = std::max(node.version, 24);
    axes_[node.outputs[0]] = expected;
    return b.add(std::move(node));
  }

  // Whether each token sees itself and all before it, and no other, when nothing is padded.
  Status check_causal(const ir::Node& node) {
    const auto problem = [&](std::string_view why) { return refuse(fmt::format("{}: {}", node.describe(), why)); };
    const ir::ValueId mask = input(node, kMask);
    const bool is_causal = attr<int64_t>(node, "is_causal").value_or(0) != 0;
    if (mask == ir::kNoValue) return is_causal ? Status() : problem("it is not causal: tokens see those behind them");
    const auto u = uniform_->of(mask);
    const bool boolean = builder_->dtype(mask) == DType::kBool;
    const auto visible = [&](double v) { return boolean ? v != 0 : v == 0; };
    const auto hidden = [&](double v) { return boolean ? v == 0 : v <= kHidden; };
    if (u && u->kind == Uniform::Kind::kSame && visible(u->inside))
      return is_causal ? Status() : problem("it is not causal: tokens see those behind them");
    if (!u) return problem("its mask or bias is none that is known to be causal");
    if (u->kind != Uniform::Kind::kTriangle || !visible(u->inside) || !hidden(u->outside) || !(u->offset == past_))
      return problem("its mask hides other keys than those behind a token");
    return {};
  }

  // The cache of keys (0) or values (1) with the new ones.
  Result<ir::ValueId> append(const ir::Node& node, size_t i, bool packed, bool with_past) {
    GraphBuilder& b = *builder_;
    const ir::ValueId fresh = node.inputs[kK + i];
    if (b.dtype(fresh) == DType::kUndefined) return refuse("the type of keys or values is not known");
    ir::Shape shape = *b.shape(fresh);
    const size_t axis = packed ? 1 : 2;
    shape[axis] = ir::Dim::symbol("capacity");
    for (size_t d = 1; d < shape.size(); ++d)
      if (d != axis && !shape[d].is_const()) return refuse("the size of keys or values is not known");
    Cache cache;
    const char* kind = i == 0 ? "key" : "value";
    cache.past_name = fmt::format("{}{}.{}", kPast, caches_.size() / 2, kind);
    cache.present_name = fmt::format("{}{}.{}", kPresent, caches_.size() / 2, kind);
    if (with_past) {
      cache.past_name = graph_.value(node.inputs[kPastKey + i]).name;
      for (ir::ValueId id : graph_.outputs)
        if (id == node.outputs[1 + i]) cache.present_name = graph_.value(id).name;
      if (!cache.present_name.starts_with(kPresent) || cache.present_name.substr(kPresent.size()) != cache.past_name.substr(kPast.size()))
        return refuse(fmt::format("'{}' has no output that goes with it", cache.past_name));
    }
    cache.past = b.input("past", ir::Type::tensor(b.dtype(fresh), shape));
    cache.present = b.node("TensorScatter", {cache.past, fresh, past_lengths_}, {{"axis", static_cast<int64_t>(axis)}});
    graph_.nodes.back().sources = node.sources;
    graph_.nodes.back().name = node.name + "/" + kind;
    caches_.push_back(cache);
    return cache.present;
  }

  // Inputs, outputs and names; and no way left from what is gone.
  Status finish(ir::ValueId logits) {
    std::vector<char> value(graph_.values.size(), 0);
    std::vector<ir::ValueId> outputs = {logits};
    for (const Cache& c : caches_) outputs.push_back(c.present);
    for (ir::ValueId id : outputs) value[id] = 1;
    std::vector<ir::Node> kept;
    for (size_t i = graph_.nodes.size(); i-- > 0;) {
      ir::Node& node = graph_.nodes[i];
      if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ir::ValueId id) { return id != ir::kNoValue && value[id]; })) continue;
      ir::for_each_use(node, [&](ir::ValueId id) { value[id] = 1; });
      kept.push_back(std::move(node));
    }
    std::reverse(kept.begin(), kept.end());
    graph_.nodes = std::move(kept);
    for (ir::ValueId id : graph_.inputs)
      if (value[id] && id != ids_)
        return refuse(fmt::format("something other than attention and positions depends on '{}'", graph_.value(id).name));
    for (const ir::Node& node : graph_.nodes)
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) value[id] = 0;
    for (ir::ValueId id = 0; id < value.size(); ++id)
      if (value[id] && !graph_.value(id).is_constant() && std::find(fixed_.begin(), fixed_.end(), id) == fixed_.end() &&
          std::none_of(caches_.begin(), caches_.end(), [&](const Cache& c) { return c.past == id; }))
        return refuse(fmt::format("'{}' is used in a way that is not known", graph_.value(id).name));
    graph_.inputs = fixed_;
    for (const Cache& c : caches_) graph_.inputs.push_back(c.past);
    graph_.outputs = outputs;
    return rename();
  }

  // The graph anew, with the names that it is to have.
  Status rename() {
    ir::Graph made;
    made.name = graph_.name;
    std::vector<ir::ValueId> ids(graph_.values.size(), ir::kNoValue);
    std::map<ir::ValueId, std::string> names = {
        {graph_.outputs[0], "logits"}, {past_lengths_, "past_lengths"}, {last_positions_, "last_positions"}};
    for (const Cache& c : caches_) names[c.past] = c.past_name, names[c.present] = c.present_name;
    const auto copy = [&](ir::ValueId& id) {
      if (id == ir::kNoValue) return;
      if (ids[id] == ir::kNoValue) {
        const ir::Value& v = graph_.value(id);
        const auto name = names.find(id);
        ids[id] = v.is_constant() ? made.add_constant(v.name, v.constant) : made.add_value(name == names.end() ? v.name : name->second);
      }
      id = ids[id];
    };
    for (ir::ValueId id : graph_.inputs) {
      const ir::Type type = graph_.value(id).type;
      copy(id);
      made.value(id).type = type;
      made.inputs.push_back(id);
    }
    for (ir::ValueId id : graph_.outputs) made.outputs.push_back((copy(id), id));
    for (ir::Node& node : graph_.nodes) {
      ir::for_each_use(node, copy);
      for (ir::ValueId& id : node.outputs) copy(id);
      made.nodes.push_back(std::move(node));
    }
    graph_ = std::move(made);
    CAMEO_TRY(ir::verify(graph_));
    CAMEO_TRY(ir::infer_types(graph_));
    const auto& logits = graph_.value(graph_.outputs[0]).type;
    if (!logits.shape || logits.shape->size() != 3 || !(*logits.shape)[1].is(1))
      return error(ErrorCode::kInternal, "the logits of the last positions are {}", logits.to_string());
    return {};
  }

  const ir::Graph& source_;
  std::vector<ops::Fact> source_facts_;
  ir::Graph graph_;
  ir::ValueId ids_ = ir::kNoValue, mask_ = ir::kNoValue, position_ids_ = ir::kNoValue, logits_ = ir::kNoValue;
  std::set<ir::ValueId> pasts_;
  std::vector<ir::ValueId> fixed_;
  ir::Dim batch_, length_, past_;
  ir::ValueId past_lengths_ = ir::kNoValue, last_positions_ = ir::kNoValue, lengths_ = ir::kNoValue;
  std::optional<UniformValues> uniform_;
  std::optional<GraphBuilder> builder_;
  std::optional<PositionLifter> lifter_;
  std::map<ir::ValueId, SequenceAxes> axes_;
  std::map<ir::ValueId, ir::ValueId> replaced_;
  std::map<std::pair<ir::ValueId, size_t>, ir::ValueId> caches_of_;  // by new keys (0) or values (1)
  std::vector<Cache> caches_;
};

}  // namespace

Result<KvCacheReport> add_kv_cache(ir::Graph& graph) {
  KvCacheReport found;
  CAMEO_ASSIGN(graph, Cacher(graph).run(found));
  return found;
}

}  // namespace cameo::passes
