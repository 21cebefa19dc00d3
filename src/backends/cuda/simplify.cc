#include "backends/cuda/simplify.h"

#include <algorithm>
#include <set>

#include "backends/cuda/attributes.h"
#include "ops/evaluate.h"
#include "ops/pointwise_program.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using runtime::Specialization;
using Place = Specialization::Place;

constexpr int64_t kMostElements = int64_t{8} << 20;   // of one node's outputs
constexpr int64_t kMostTogether = int64_t{32} << 20;  // of all
constexpr size_t kAttentionMask = 3;
constexpr int64_t kFewChannels = 4;

bool is(const ir::Node& node, std::string_view domain, std::string_view name) { return node.op->domain == domain && node.op->name == name; }

bool all_true(const Tensor& t) {
  if (t.dtype() != DType::kBool) return false;
  const auto* bytes = static_cast<const uint8_t*>(t.raw());
  return std::all_of(bytes, bytes + t.num_elements(), [](uint8_t b) { return b != 0; });
}

// The table of a bias [1, heads, queries, keys] or [heads, queries, keys] that is the same along diagonals; else undefined.
Tensor diagonals(const Tensor& bias) {
  const Dims& d = bias.dims();
  if (bias.dtype() != DType::kFloat32 || d.rank() < 3 || d.rank() > 4 || (d.rank() == 4 && d[0] != 1)) return {};
  const int64_t heads = d[d.rank() - 3], queries = d[d.rank() - 2], keys = d[d.rank() - 1], length = queries + keys - 1;
  if (heads * queries * keys == 0) return {};
  auto table = Tensor::allocate(DType::kFloat32, {heads, length});
  if (!table.ok()) return {};
  for (int64_t h = 0; h < heads; ++h) {
    const float* from = bias.data<float>() + h * queries * keys;
    float* to = table->data<float>() + h * length;
    for (int64_t i = 0; i < queries; ++i) to[queries - 1 - i] = from[i * keys];
    std::copy_n(from, keys, to + queries - 1);
    for (int64_t i = 0; i < queries; ++i)
      if (!std::equal(from + i * keys, from + (i + 1) * keys, to + queries - 1 - i)) return {};
  }
  return *std::move(table);
}

class Simplifier {
 public:
  Simplifier(const ir::Graph& graph, Specialization& spec)
      : graph_(graph),
        spec_(spec),
        step_of_(graph.nodes.size(), kNone),
        dropped_(spec.steps.size(), 0),
        is_output_(graph.values.size(), 0) {
    for (uint32_t k = 0; k < spec.steps.size(); ++k) step_of_[spec.steps[k].node] = k;
    for (ir::ValueId id : graph.outputs) is_output_[id] = 1;
  }

  Result<Simplified> run() {
    CAMEO_TRY(fold());
    CAMEO_TRY(pass_masks_through());
    split_biases();
    leave_images();
    join_roundings();
    finish();
    return std::move(result_);
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  bool has_step(size_t node) const { return step_of_[node] != kNone && !dropped_[step_of_[node]]; }
  Specialization::ValuePlan& value(ir::ValueId id) { return spec_.values[id]; }
  bool is_constant(ir::ValueId id) const { return spec_.values[id].place == Place::kConstant && spec_.facts[id].constant.defined(); }
  Dims dims_of(ir::ValueId id) const {
    const auto& shape = spec_.facts[id].type.shape;
    return shape ? ir::to_dims(*shape).value_or(Dims()) : Dims();
  }

  void make_constant(ir::ValueId id, Tensor tensor) {
    spec_.facts[id].constant = std::move(tensor);
    value(id).place = Place::kConstant;
    folded_.insert(id);
  }

  // Arithmetic with constants, which is left of the plan where its results are much larger than they.
  static bool repeats_constants(const ir::Node& node) {
    if (is(node, "ai.cameo", "Pointwise")) return true;
    for (std::string_view name : {"Add", "And", "Equal", "Expand", "Greater", "Less", "Mul", "Not", "Or", "Sub", "Unsqueeze", "Where"})
      if (is(node, "", name)) return true;
    return false;
  }

  // Values that were not there when the plan was built, for they follow from its shapes, or were too large.
  bool follows_from_shapes(const ir::Node& node) const {
    if (node.op->flags & (ops::kRandom | ops::kControlFlow | ops::kDataDependent | ops::kNotFolded) || !node.subgraphs.empty())
      return false;
    bool derived = repeats_constants(node);
    for (ir::ValueId id : node.inputs) {
      if (id == ir::kNoValue) continue;
      if (!is_constant(id)) return false;
      derived |= !graph_.values[id].constant.defined();
    }
    return derived;
  }

  Status fold() {
    int64_t room = kMostTogether;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (node.outputs.size() == 1 && value(node.outputs[0]).place == Place::kView) {
        if (folded_.count(node.inputs[0]))
          make_constant(node.outputs[0], spec_.facts[node.inputs[0]].constant.reshaped(value(node.outputs[0]).dims));
        continue;
      }
      if (!has_step(n) || !follows_from_shapes(node)) continue;
      int64_t elements = 0;
      bool placed = true;
      for (ir::ValueId id : node.outputs) {
        if (id == ir::kNoValue) continue;
        placed &= value(id).place == Place::kArena;
        elements += value(id).dims.num_elements();
      }
      if (!placed || elements > std::min(room, kMostElements)) continue;
      std::vector<RtValue> inputs;
      for (ir::ValueId id : node.inputs) inputs.push_back(id == ir::kNoValue ? RtValue() : RtValue::of(spec_.facts[id].constant));
      CAMEO_ASSIGN(std::vector<RtValue> outputs, ops::evaluate_node(node, inputs, {}));
      for (size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != ir::kNoValue) make_constant(node.outputs[i], std::move(outputs[i].tensor));
      room -= elements;
      dropped_[step_of_[n]] = 1;
    }
    return {};
  }

  // Whether nothing changes for what reads the value if it is not repeated along axes but the last.
  bool may_be_narrower(ir::ValueId id) const {
    if (is_output_[id]) return false;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      bool reads = false;
      ir::for_each_use(node, [&](ir::ValueId used) { reads |= used == id; });
      if (!reads) continue;
      if (!has_step(n) || !node.subgraphs.empty()) return false;
      if (is(node, "", "Attention")) {
        for (size_t i = 0; i < node.inputs.size(); ++i)
          if (node.inputs[i] == id && i != kAttentionMask) return false;
        continue;
      }
      const bool elementwise = is(node, "", "Where") || is(node, "", "And") || is(node, "", "Or") || is(node, "", "Not") ||
                               is(node, "", "Cast") || is(node, "", "Add") || is(node, "", "Mul") || is(node, "", "Sub") ||
                               is(node, "ai.cameo", "Pointwise");
      if (!elementwise || !may_be_narrower(node.outputs[0])) return false;
    }
    return true;
  }

  Status pass_masks_through() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (!has_step(n) || !is(node, "", "And") || value(node.outputs[0]).place != Place::kArena) continue;
      const ir::ValueId to = node.outputs[0];
      for (const size_t side : {0, 1}) {
        const ir::ValueId known = node.inputs[side], other = node.inputs[1 - side];
        const Place place = value(other).place;
        if (!is_constant(known) || (place != Place::kArena && place != Place::kView && place != Place::kInput) ||
            !all_true(spec_.facts[known].constant))
          continue;
        const Dims narrow = dims_of(other), wide = dims_of(to);
        if (narrow != wide && (narrow.rank() != wide.rank() || narrow.rank() == 0 || narrow.back() != wide.back() || !may_be_narrower(to)))
          continue;
        auto& plan = value(to);
        plan.place = Place::kView;
        plan.source = place == Place::kView ? value(other).source : other;
        plan.dims = narrow;
        spec_.views.push_back(to);
        spec_.facts[to].type.shape = ir::to_shape(narrow);
        dropped_[step_of_[n]] = 1;
        if (narrow != wide) CAMEO_TRY(infer_again(n + 1, to));
        break;
      }
    }
    return {};
  }

  Status infer_again(size_t first, ir::ValueId changed) {
    std::set<ir::ValueId> narrower = {changed};
    for (size_t n = first; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (!has_step(n) || is(node, "", "Attention")) continue;
      bool reads = false;
      ir::for_each_use(node, [&](ir::ValueId used) { reads |= narrower.count(used) > 0; });
      if (!reads) continue;
      CAMEO_TRY(ops::infer_node(node, spec_.facts, {.fold_elements = 0}));
      const ir::ValueId out = node.outputs[0];
      const Dims now = dims_of(out);
      if (!(now == value(out).dims)) narrower.insert(out);
      value(out).dims = now;
    }
    return {};
  }

  // The operands of a sum of two, which may stand in a program.
  static bool is_sum(const ir::Node& node) {
    if (node.inputs.size() != 2) return false;
    if (is(node, "", "Add")) return true;
    if (!is(node, "ai.cameo", "Pointwise")) return false;
    const Attributes attrs(*node.attrs);
    const auto program = ops::decode_point_program(2, attrs.integers("program"), attrs.reals("constants"));
    if (!program.ok() || program->code.size() != 1) return false;
    const ops::PointInstruction& i = program->code[0];
    return i.op == ops::PointOp::kAdd && std::min(i.a, i.b) == 0 && std::max(i.a, i.b) == 1;
  }

  void split_biases() {
    std::map<ir::ValueId, std::optional<RelativeBias>> known;  // by mask input
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (!has_step(n) || !is(node, "", "Attention") || node.inputs.size() <= kAttentionMask) continue;
      const ir::ValueId mask = node.inputs[kAttentionMask];
      if (mask == ir::kNoValue) continue;
      auto [it, fresh] = known.try_emplace(mask);
      if (fresh) it->second = split(mask);
      if (it->second) result_.biases.emplace(static_cast<uint32_t>(n), *it->second);
    }
  }

  std::optional<RelativeBias> split(ir::ValueId mask) {
    uint32_t maker = kNone;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (std::find(node.outputs.begin(), node.outputs.end(), mask) != node.outputs.end()) maker = static_cast<uint32_t>(n);
      bool elsewhere = false;
      ir::for_each_use(node, [&](ir::ValueId used) { elsewhere |= used == mask && !is(node, "", "Attention"); });
      if (is(node, "", "Attention"))
        for (size_t i = 0; i < node.inputs.size(); ++i) elsewhere |= node.inputs[i] == mask && i != kAttentionMask;
      if (elsewhere) return std::nullopt;
    }
    if (is_constant(mask)) {
      RelativeBias bias{.table = diagonals(spec_.facts[mask].constant)};
      return bias.table.defined() ? std::optional(bias) : std::nullopt;
    }
    if (maker == kNone || !has_step(maker) || value(mask).place != Place::kArena || !is_sum(graph_.nodes[maker])) return std::nullopt;
    const ir::Node& sum = graph_.nodes[maker];
    for (const size_t side : {0, 1}) {
      const ir::ValueId constant = sum.inputs[side], other = sum.inputs[1 - side];
      if (!is_constant(constant) || is_constant(other) || spec_.facts[other].type.dtype != DType::kFloat32) continue;
      const Dims rest = dims_of(other);
      const Tensor& bias = spec_.facts[constant].constant;
      if (rest.rank() < 2 || bias.dims().rank() == 0 || rest.back() != bias.dims().back()) continue;
      RelativeBias split{.mask = other, .table = diagonals(bias)};
      if (!split.table.defined()) continue;
      dropped_[step_of_[maker]] = 1;
      value(mask).place = Place::kUnused;
      return split;
    }
    return std::nullopt;
  }

  void leave_images() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& turn = graph_.nodes[n];
      if (!has_step(n) || !is(turn, "", "Transpose")) continue;
      const ir::ValueId from = turn.inputs[0], to = turn.outputs[0];
      const Dims dims = dims_of(from);
      const std::vector<int64_t> perm = Attributes(*turn.attrs).integers("perm");
      if (dims.rank() != 4 || dims[1] > kFewChannels || perm != std::vector<int64_t>{0, 2, 3, 1} || is_output_[to] || is_constant(from) ||
          value(to).place != Place::kArena)
        continue;
      bool alone = std::none_of(spec_.views.begin(), spec_.views.end(), [&](ir::ValueId id) { return value(id).source == to; });
      std::vector<uint32_t> readers;
      for (size_t r = 0; r < graph_.nodes.size(); ++r) {
        const ir::Node& reader = graph_.nodes[r];
        int uses = 0;
        ir::for_each_use(reader, [&](ir::ValueId used) { uses += used == to; });
        if (uses == 0) continue;
        alone = alone && uses == 1 && has_step(r) && is(reader, "ai.cameo", "Conv") && reader.inputs[0] == to &&
                Attributes(*reader.attrs).integer("channels_last") != 0;
        readers.push_back(static_cast<uint32_t>(r));
      }
      if (!alone || readers.empty()) continue;
      for (const uint32_t r : readers) result_.images[r] = from;
      dropped_[step_of_[n]] = 1;
      value(to).place = Place::kUnused;
    }
  }

  // Whether a node rounds a whole tensor to float8e4m3fn by one scale.
  bool rounds_to_float8(const ir::Node& node) const {
    if (!is(node, "", "QuantizeLinear") || spec_.facts[node.outputs[0]].type.dtype != DType::kFloat8E4M3FN) return false;
    const Attributes attrs(*node.attrs);
    if (attrs.integer("saturate", 1) == 0 || attrs.integer("precision") != 0 || !is_constant(node.inputs[1])) return false;
    const Tensor& scale = spec_.facts[node.inputs[1]].constant;
    if (scale.dtype() != DType::kFloat32 || scale.num_elements() != 1) return false;
    if (node.inputs.size() < 3 || node.inputs[2] == ir::kNoValue) return true;
    if (!is_constant(node.inputs[2])) return false;
    const Tensor& zero = spec_.facts[node.inputs[2]].constant;
    return zero.num_elements() == 1 && (*static_cast<const uint8_t*>(zero.raw()) & 0x7f) == 0;
  }

  bool read_once(ir::ValueId id) const {
    int uses = is_output_[id];
    for (const ir::Node& node : graph_.nodes) ir::for_each_use(node, [&](ir::ValueId used) { uses += used == id; });
    return uses == 1;
  }

  void join_roundings() {
    std::map<ir::ValueId, uint32_t> makers;
    for (uint32_t n = 0; n < graph_.nodes.size(); ++n) {
      const ir::Node& node = graph_.nodes[n];
      if (!has_step(n)) continue;
      const bool rounds = is(node, "", "LayerNormalization") || is(node, "", "RMSNormalization") || is(node, "", "Attention");
      const RoundingPlace place = rounding_place(node);
      if (rounds && node.inputs.size() <= place.scale && node.outputs.size() <= place.output &&
          value(node.outputs[0]).place == Place::kArena)
        makers[node.outputs[0]] = n;
      if (!rounds_to_float8(node) || value(node.outputs[0]).place != Place::kArena) continue;
      const auto from = makers.find(node.inputs[0]);
      if (from == makers.end() || !result_.roundings.emplace(from->second, Rounding{n, read_once(node.inputs[0])}).second) continue;
      dropped_[step_of_[n]] = 1;
    }
  }

  // Takes away the steps that are left out, and constants that only they read.
  void finish() {
    std::vector<Specialization::Step> steps;
    std::set<ir::ValueId> read(graph_.outputs.begin(), graph_.outputs.end());
    for (size_t k = 0; k < spec_.steps.size(); ++k) {
      if (dropped_[k]) continue;
      const uint32_t n = spec_.steps[k].node;
      const auto bias = result_.biases.find(n);
      const ir::Node& node = graph_.nodes[n];
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (bias == result_.biases.end() || i != kAttentionMask) read.insert(node.inputs[i]);
      ir::for_each_use(node, [&](ir::ValueId id) {
        if (bias == result_.biases.end()) read.insert(id);
      });
      steps.push_back(std::move(spec_.steps[k]));
    }
    spec_.steps = std::move(steps);
    for (ir::ValueId id : folded_)
      if (!read.count(id)) {
        value(id).place = Place::kUnused;
        spec_.facts[id].constant = {};
      }
    std::erase_if(spec_.views, [&](ir::ValueId id) { return value(id).place != Place::kView; });
  }

  const ir::Graph& graph_;
  Specialization& spec_;
  std::vector<uint32_t> step_of_;  // by node
  std::vector<char> dropped_;      // by step
  std::vector<char> is_output_;
  std::set<ir::ValueId> folded_;
  Simplified result_;
};

}  // namespace

RoundingPlace rounding_place(const ir::Node& node) { return is(node, "", "Attention") ? kAttentionRounding : kNormRounding; }

Result<Simplified> simplify(const ir::Graph& graph, Specialization& spec) { return Simplifier(graph, spec).run(); }

}  // namespace cameo::cuda
