#include "passes/lower_float8.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/numeric.h"
#include "ops/cameo_conv.h"
#include "ops/cameo_float8_conv.h"
#include "ops/cameo_matmul.h"
#include "passes/program_builder.h"
#include "passes/quantization.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

constexpr DType kFloat8 = DType::kFloat8E4M3FN;
// Columns whose largest weights differ by no more than this share one scale, which is cheaper: the codes' relative error is the same
// over a range of 2^14.
constexpr float kSharedScale = 64;

struct Float8Weight {
  Tensor codes, scales;  // [n, k], [n]
};

// The weight of a convolution: row tap * channels + c of each output channel.
Result<Float8Weight> round_kernel(const Tensor& w) {
  const int64_t n = w.dim(0), channels = w.dim(1), taps = w.num_elements() / std::max<int64_t>(n * channels, 1), k = taps * channels;
  Float8Weight result;
  CAMEO_ASSIGN(result.codes, Tensor::allocate(kFloat8, {n, k}));
  CAMEO_ASSIGN(result.scales, Tensor::allocate(DType::kFloat32, {n}));
  for (int64_t j = 0; j < n; ++j) {
    const float* from = w.data<float>() + j * k;
    float most = 0;
    for (int64_t i = 0; i < k; ++i) most = std::max(most, std::fabs(from[i]));
    const float scale = std::isnormal(most / ops::kFloat8Most) ? most / ops::kFloat8Most : 1;
    for (int64_t i = 0; i < k; ++i)
      result.codes.data<Float8E4M3FN>()[j * k + i] = Float8E4M3FN(from[i % channels * taps + i / channels] / scale);
    result.scales.data<float>()[j] = scale;
  }
  return result;
}

// w, a matrix [k, n] or transposed, times alpha.
Result<Float8Weight> round_weight(const Tensor& w, bool transposed, float alpha) {
  const int64_t n = w.dim(transposed ? 0 : 1), k = w.dim(transposed ? 1 : 0);
  Float8Weight result;
  CAMEO_ASSIGN(result.codes, Tensor::allocate(kFloat8, {n, k}));
  CAMEO_ASSIGN(result.scales, Tensor::allocate(DType::kFloat32, {n}));
  const auto at = [&](int64_t column, int64_t row) { return w.data<float>()[transposed ? column * k + row : row * n + column]; };
  std::vector<float> most(static_cast<size_t>(n), 0);
  float least = INFINITY, all = 0;
  for (int64_t j = 0; j < n; ++j) {
    float& m = most[static_cast<size_t>(j)];
    for (int64_t i = 0; i < k; ++i) m = std::max(m, std::fabs(at(j, i)));
    all = std::max(all, m);
    if (m > 0) least = std::min(least, m);
  }
  const bool shared = all <= kSharedScale * least;
  for (int64_t j = 0; j < n; ++j) {
    float scale = (shared ? all : most[static_cast<size_t>(j)]) / ops::kFloat8Most;
    if (!std::isnormal(scale)) scale = 1;
    for (int64_t i = 0; i < k; ++i) result.codes.data<Float8E4M3FN>()[j * k + i] = Float8E4M3FN(at(j, i) / scale);
    result.scales.data<float>()[j] = scale * alpha;
  }
  return result;
}

// The scale of a QuantizeLinear or DequantizeLinear node to or from float8e4m3fn with one for the whole tensor; 0: it is none.
float float8_scale(const GraphView& view, const ir::Node& node) {
  const bool quantizes = node.op->name == "QuantizeLinear";
  if (!node.op->domain.empty() || (!quantizes && node.op->name != "DequantizeLinear")) return 0;
  if (view.dtype(quantizes ? node.outputs[0] : node.inputs[0]) != kFloat8 ||
      view.dtype(quantizes ? node.inputs[0] : node.outputs[0]) != DType::kFloat32)
    return 0;
  const Tensor* scale = view.constant(GraphView::input(node, 1));
  if (scale == nullptr || scale->dtype() != DType::kFloat32 || scale->num_elements() != 1) return 0;
  if (const ir::ValueId zero_id = GraphView::input(node, 2); zero_id != ir::kNoValue) {
    const Tensor* zero = view.constant(zero_id);
    if (zero == nullptr || zero->num_elements() != 1 || (zero->data<Float8E4M3FN>()[0].bits & 0x7f) != 0) return 0;
  }
  if (quantizes && attr<int64_t>(node, "saturate").value_or(1) == 0) return 0;
  const float s = scale->data<float>()[0];
  return std::isfinite(s) && s > 0 ? s : 0;
}

class Lowering {
 public:
  Lowering(Editor& editor, const std::map<std::string, ValueRange>& ranges, const std::function<bool(const ir::Node&)>& choose,
           PassReport& report)
      : editor_(editor), ranges_(ranges), choose_(choose), report_(report) {}

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      if (!editor_.alive(index)) continue;
      const ir::Node& node = editor_.node(index);
      const bool convolves = is_cameo(node, "Conv");
      if (!convolves && !is_cameo(node, "MatMul")) continue;
      if (is_float8_candidate(editor_, node)) {
        if (choose_(node)) CAMEO_TRY(convolves ? lower_conv(index) : lower(index));
      } else {
        CAMEO_TRY(convolves ? lower_quantised_conv(index) : lower_quantised(index));
      }
    }
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index))
      if (editor_.alive(index) && editor_.node(index).op->name == "QuantizeLinear") CAMEO_TRY(take_in(index));
    return {};
  }

 private:
  // What was seen of a value; of one that a lowered product makes, what was seen of that product's result. Null: nothing.
  const ValueRange* range_of(ir::ValueId id) const {
    if (const auto moved = moved_.find(id); moved != moved_.end()) return &moved->second;
    const auto found = ranges_.find(editor_.graph().value(id).name);
    return found == ranges_.end() ? nullptr : &found->second;
  }

  static std::shared_ptr<ops::CameoFloat8MatMulAttrs> attrs_of(const ir::Node& node, const Tensor& codes, float x_scale) {
    const auto& old = node.attrs_as<ops::CameoMatMulAttrs>();
    auto attrs = std::make_shared<ops::CameoFloat8MatMulAttrs>();
    static_cast<ops::ProgramAttrs&>(*attrs) = old;
    attrs->splits = old.splits;
    attrs->n = codes.dim(0);
    attrs->k = codes.dim(1);
    attrs->x_scale = x_scale;
    return attrs;
  }

  Status replace(uint32_t index, Patch patch, ir::ValueId x, const Float8Weight& weight, float x_scale) {
    const ir::Node& node = editor_.node(index);
    std::vector<ir::ValueId> inputs = {x, patch.constant(weight.codes), patch.constant(weight.scales)};
    inputs.insert(inputs.end(), node.inputs.begin() + 2, node.inputs.end());
    ir::Node made = cameo_node("Float8MatMul", std::move(inputs), attrs_of(node, weight.codes, x_scale), node.outputs.size());
    made.name = node.name;
    const std::vector<ir::ValueId> outputs = patch.node(std::move(made));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == ir::kNoValue) continue;
      if (const ValueRange* range = range_of(node.outputs[i])) moved_.emplace(outputs[i], *range);
      patch.replace(node.outputs[i], outputs[i]);
    }
    const std::string what = node.describe();
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(what);
    ++report_.changes;
    return {};
  }

  struct Rounded {
    ir::ValueId value = ir::kNoValue;
    float scale = 0;
  };
  // The value as 8-bit floats; none where nothing is known of its range.
  std::optional<Result<Rounded>> rounded_input(Patch& patch, ir::ValueId x) {
    if (const auto known = rounded_.find(x); known != rounded_.end()) return known->second;
    const ValueRange* range = range_of(x);
    if (range == nullptr) return std::nullopt;
    float scale = std::max(std::fabs(range->min), std::fabs(range->max)) / ops::kFloat8Most;
    if (!std::isnormal(scale)) scale = 1;
    auto zero = Tensor::allocate(kFloat8, {});
    if (!zero.ok()) return std::move(zero).error();
    const Rounded made{patch.node("QuantizeLinear", {x, patch.constant(Tensor::of<float>({}, {scale})), patch.constant(*zero)}), scale};
    rounded_.emplace(x, made);
    return made;
  }

  // The operand of a convolution as 8-bit floats, where it is there as such and only added.
  std::optional<Rounded> rounded_operand(const ir::Node& node, size_t operand, const ops::PointProgram& program) const {
    const ir::ValueId id = node.inputs[2 + operand];
    if (!editor_.same_shape(id, node.outputs[0])) return std::nullopt;
    const int reg = static_cast<int>(operand) + 1;
    int uses = 0;
    for (const ops::PointInstruction& step : program.code) {
      const bool adds = step.op == ops::PointOp::kAdd;
      if (!adds && step.op != ops::PointOp::kRelu && step.op != ops::PointOp::kClip) return std::nullopt;
      if (!adds && step.a == reg) return std::nullopt;
      uses += adds && (step.a == reg) + (step.b == reg);
    }
    if (uses != 1) return std::nullopt;
    if (const auto known = rounded_.find(id); known != rounded_.end()) return known->second;
    const ir::Node* from = made_by(editor_, id, "DequantizeLinear");
    const float scale = from == nullptr || editor_.constant(from->inputs[0]) != nullptr ? 0 : float8_scale(editor_, *from);
    return scale == 0 ? std::nullopt : std::optional(Rounded{from->inputs[0], scale});
  }

  Status replace_conv(uint32_t index, Patch patch, const Rounded& x, const Float8Weight& weight, const Dims& kernel) {
    const ir::Node& node = editor_.node(index);
    const auto& old = node.attrs_as<ops::CameoConvAttrs>();
    auto attrs = std::make_shared<ops::CameoFloat8ConvAttrs>();
    static_cast<ops::WindowAttrs&>(*attrs) = old;
    static_cast<ops::ProgramAttrs&>(*attrs) = old;
    attrs->kernel_shape.assign(kernel.begin() + 2, kernel.end());
    attrs->n = kernel[0];
    attrs->channels = kernel[1];
    attrs->x_scale = x.scale;
    const size_t operands = node.inputs.size() - 2;
    CAMEO_ASSIGN(const ops::PointProgram program, attrs->decode(operands + 1));
    std::vector<ir::ValueId> inputs = {x.value, patch.constant(weight.codes), patch.constant(weight.scales)};
    bool rounds = false;
    for (size_t i = 0; i < operands; ++i) {
      const auto rounded = rounds ? std::nullopt : rounded_operand(node, i, program);
      rounds |= rounded.has_value();
      inputs.push_back(rounded ? rounded->value : node.inputs[2 + i]);
      attrs->operand_scales.push_back(rounded ? rounded->scale : 0);
    }
    if (!rounds) attrs->operand_scales.clear();
    ir::Node made = cameo_node("Float8Conv", std::move(inputs), std::move(attrs));
    made.name = node.name;
    const ir::ValueId y = patch.node(std::move(made))[0];
    if (const ValueRange* range = range_of(node.outputs[0])) moved_.emplace(y, *range);
    if (const auto known = rounded_.find(node.outputs[0]); known != rounded_.end()) rounded_.emplace(y, known->second);
    patch.replace(node.outputs[0], y);
    const std::string what = node.describe();
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(what);
    ++report_.changes;
    return {};
  }

  Status lower_conv(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    const Tensor& w = editor_.graph().value(node.inputs[1]).constant;
    CAMEO_ASSIGN(const Float8Weight weight, round_kernel(w));
    Patch patch(editor_);
    const auto rounded = rounded_input(patch, node.inputs[0]);
    if (!rounded) {
      report_.notes.push_back(fmt::format("{}: nothing is known of its input's range", node.describe()));
      return {};
    }
    CAMEO_ASSIGN(const Rounded x, *rounded);
    return replace_conv(index, std::move(patch), x, weight, w.dims());
  }

  Status lower_quantised_conv(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    const auto& old = node.attrs_as<ops::CameoConvAttrs>();
    if (old.channels_last == 0 || old.group != 1) return {};
    // Codes are cheaper to transpose than floats.
    const ir::Node* transpose = made_by(editor_, node.inputs[0], "Transpose");
    const ir::Node* from = made_by(editor_, transpose == nullptr ? node.inputs[0] : transpose->inputs[0], "DequantizeLinear");
    const float scale = from == nullptr ? 0 : float8_scale(editor_, *from);
    const ir::Node* constant = made_by(editor_, node.inputs[1], "DequantizeLinear");
    const Tensor* codes = constant == nullptr ? nullptr : editor_.constant(constant->inputs[0]);
    const Tensor* scales = constant == nullptr ? nullptr : editor_.constant(constant->inputs[1]);
    if (scale == 0 || editor_.constant(from->inputs[0]) != nullptr || codes == nullptr || scales == nullptr || codes->dtype() != kFloat8 ||
        scales->dtype() != DType::kFloat32 || codes->rank() < 3 || !all_zero(GraphView::input(*constant, 2)))
      return {};
    const Dims dims = codes->dims();
    const int64_t n = dims[0], channels = dims[1], k = n == 0 ? 0 : codes->num_elements() / n;
    const bool one = scales->num_elements() == 1;
    int64_t axis = attr<int64_t>(*constant, "axis").value_or(1);
    if (axis < 0) axis += static_cast<int64_t>(dims.rank());
    if (k == 0 || (!one && (scales->num_elements() != n || axis != 0 || attr<int64_t>(*constant, "block_size").value_or(0) != 0)))
      return {};
    Float8Weight weight;
    CAMEO_ASSIGN(weight.codes, Tensor::allocate(kFloat8, {n, k}));
    CAMEO_ASSIGN(weight.scales, Tensor::allocate(DType::kFloat32, {n}));
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < k; ++i)
        weight.codes.data<Float8E4M3FN>()[j * k + i] = codes->data<Float8E4M3FN>()[j * k + i % channels * (k / channels) + i / channels];
      weight.scales.data<float>()[j] = scales->data<float>()[one ? 0 : j];
    }
    Patch patch(editor_);
    Rounded x{from->inputs[0], scale};
    if (transpose != nullptr) {
      ir::Node of_codes = *transpose;
      of_codes.inputs = {x.value};
      of_codes.outputs = {0};
      x.value = patch.node(std::move(of_codes))[0];
    }
    return replace_conv(index, std::move(patch), x, weight, dims);
  }

  // Whether zero points of 8-bit floats are absent or zero.
  bool all_zero(ir::ValueId id) const {
    if (id == ir::kNoValue) return true;
    const Tensor* zero = editor_.constant(id);
    if (zero == nullptr || zero->dtype() != kFloat8) return false;
    const auto codes = zero->span<Float8E4M3FN>();
    return std::ranges::all_of(codes, [](Float8E4M3FN code) { return (code.bits & 0x7f) == 0; });
  }

  Status lower(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    const auto& old = node.attrs_as<ops::CameoMatMulAttrs>();
    const Tensor& w = editor_.graph().value(node.inputs[1]).constant;
    CAMEO_ASSIGN(const Float8Weight weight, round_weight(w, old.trans_b != 0, old.alpha));
    Patch patch(editor_);
    ir::ValueId x = node.inputs[0];
    float scale = 0;
    if (const auto rounded = rounded_input(patch, x)) {
      CAMEO_ASSIGN(const Rounded known, *rounded);
      x = known.value, scale = known.scale;
    }
    return replace(index, std::move(patch), x, weight, scale);
  }

  // The weight of a product, quantised by the model; nothing where it is not as we have it.
  Result<std::optional<Float8Weight>> quantised_weight(const ir::Node& node) {
    const auto& old = node.attrs_as<ops::CameoMatMulAttrs>();
    const ir::Node* from = made_by(editor_, node.inputs[1], "DequantizeLinear");
    const Tensor* codes = from == nullptr ? nullptr : editor_.constant(from->inputs[0]);
    const Tensor* scale = from == nullptr ? nullptr : editor_.constant(from->inputs[1]);
    const bool transposed = old.trans_b != 0;
    if (codes == nullptr || scale == nullptr || codes->dtype() != kFloat8 || codes->rank() != 2 || scale->dtype() != DType::kFloat32)
      return std::optional<Float8Weight>();
    const int64_t n = codes->dim(transposed ? 0 : 1), k = codes->dim(transposed ? 1 : 0);
    if (!all_zero(GraphView::input(*from, 2))) return std::optional<Float8Weight>();
    int64_t axis = attr<int64_t>(*from, "axis").value_or(1);
    if (axis < 0) axis += 2;
    const bool one = scale->num_elements() == 1;
    if (!one && (scale->num_elements() != n || axis != (transposed ? 0 : 1) || attr<int64_t>(*from, "block_size").value_or(0) != 0))
      return std::optional<Float8Weight>();
    Float8Weight weight;
    CAMEO_ASSIGN(weight.codes, Tensor::allocate(kFloat8, {n, k}));
    CAMEO_ASSIGN(weight.scales, Tensor::allocate(DType::kFloat32, {n}));
    const auto* c = codes->data<Float8E4M3FN>();
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < k; ++i) weight.codes.data<Float8E4M3FN>()[j * k + i] = c[transposed ? j * k + i : i * n + j];
      weight.scales.data<float>()[j] = scale->data<float>()[one ? 0 : j] * old.alpha;
    }
    return std::optional<Float8Weight>(std::move(weight));
  }

  Status lower_quantised(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    if (node.attrs_as<ops::CameoMatMulAttrs>().trans_a != 0) return {};
    const ir::Node* from = made_by(editor_, node.inputs[0], "DequantizeLinear");
    const float scale = from == nullptr ? 0 : float8_scale(editor_, *from);
    if (scale == 0 || editor_.constant(from->inputs[0]) != nullptr) return {};
    CAMEO_ASSIGN(const auto weight, quantised_weight(node));
    if (!weight) return {};
    return replace(index, Patch(editor_), from->inputs[0], *weight, scale);
  }

  // A QuantizeLinear that alone reads a product's or a convolution's result.
  Status take_in(uint32_t index) {
    const ir::Node& q = editor_.node(index);
    const float scale = float8_scale(editor_, q);
    if (scale == 0 || editor_.uses(q.inputs[0]) != 1 || editor_.is_output(q.inputs[0])) return {};
    const ir::Node* product = editor_.producer(q.inputs[0]);
    if (product == nullptr) return {};
    std::shared_ptr<ir::Attrs> attrs;
    if (is_cameo(*product, "Float8MatMul")) {
      const auto& old = product->attrs_as<ops::CameoFloat8MatMulAttrs>();
      if (old.splits.empty()) attrs = rounding(old, scale);
    } else if (is_cameo(*product, "Float8Conv")) {
      attrs = rounding(product->attrs_as<ops::CameoFloat8ConvAttrs>(), scale);
    }
    if (!attrs) return {};
    uint32_t maker = editor_.first();
    while (maker != Editor::kEnd && &editor_.node(maker) != product) maker = editor_.next(maker);
    if (maker == Editor::kEnd) return {};
    Patch patch(editor_);
    ir::Node made = cameo_node(product->op->name, product->inputs, std::move(attrs));
    made.name = product->name;
    patch.replace(q.outputs[0], patch.node(std::move(made))[0]);
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index, maker});
    if (!applied.ok()) return std::move(applied).error();
    ++report_.changes;
    return {};
  }
  // The attributes with a result of 8-bit floats; null where it is one already.
  template <class A>
  static std::shared_ptr<ir::Attrs> rounding(const A& old, float scale) {
    if (old.y_type != 1) return nullptr;
    auto attrs = std::make_shared<A>(old);
    attrs->y_type = static_cast<int64_t>(kFloat8);
    attrs->y_scale = scale;
    return attrs;
  }

  Editor& editor_;
  const std::map<std::string, ValueRange>& ranges_;
  const std::function<bool(const ir::Node&)>& choose_;
  PassReport& report_;
  std::map<ir::ValueId, Rounded> rounded_;
  std::map<ir::ValueId, ValueRange> moved_;
};

Result<Editor> open(ir::Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  return Editor::open(graph, inputs);
}

}  // namespace

bool is_float8_candidate(const GraphView& view, const ir::Node& node) {
  const auto is_finite = [](const Tensor& w) { return std::ranges::all_of(w.span<float>(), [](float v) { return std::isfinite(v); }); };
  if (is_cameo(node, "Conv")) {
    const auto& attrs = node.attrs_as<ops::CameoConvAttrs>();
    const Tensor& w = view.graph().value(node.inputs[1]).constant;
    return w.defined() && w.dtype() == DType::kFloat32 && w.rank() >= 3 && attrs.group == 1 && attrs.channels_last != 0 &&
           w.num_elements() > 0 && w.dim(0) % 16 == 0 && w.dim(1) % 16 == 0 && view.constant(node.inputs[0]) == nullptr &&
           view.dtype(node.inputs[0]) == DType::kFloat32 && is_finite(w);
  }
  if (!is_cameo(node, "MatMul")) return false;
  const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
  const Tensor& w = view.graph().value(node.inputs[1]).constant;
  if (!w.defined() || w.dtype() != DType::kFloat32 || w.rank() != 2 || attrs.trans_a != 0 || view.constant(node.inputs[0]) != nullptr)
    return false;
  const auto& shape = view.shape(node.inputs[0]);
  if (!shape || shape->empty() || view.dtype(node.inputs[0]) != DType::kFloat32) return false;
  return is_finite(w);
}

Result<std::vector<ir::ValueId>> float8_candidates(ir::Graph& graph) {
  CAMEO_ASSIGN(const Editor editor, open(graph));
  std::vector<ir::ValueId> found;
  for (const ir::Node& node : graph.nodes)
    if (is_float8_candidate(editor, node)) found.push_back(node.outputs[0]);
  return found;
}

Status lower_float8(ir::Graph& graph, const std::map<std::string, ValueRange>& ranges, const std::function<bool(const ir::Node&)>& choose,
                    PassReport& report) {
  report.name = "lower_float8";
  const auto start = std::chrono::steady_clock::now();
  CAMEO_ASSIGN(Editor editor, open(graph));
  CAMEO_TRY(Lowering(editor, ranges, choose, report).run());
  editor.drop_unused_values();
  CAMEO_TRY(editor.finish());
  CAMEO_TRY(ir::infer_types(graph));
  report.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return {};
}

}  // namespace cameo::passes
