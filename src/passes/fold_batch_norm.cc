// BatchNormalization at inference, and products and sums with constants that have one number a channel, go into the weights and
// bias of the Conv, ConvTranspose, Gemm or MatMul before them, scales also through a MatMul's bias and a Transpose. A BatchNormalization
// that nothing can take becomes x * scale + shift. Weights that are also read elsewhere stay, for they would be needed twice. Results
// differ in rounding.
#include <algorithm>
#include <cmath>
#include <functional>

#include "passes/pass.h"
#include "passes/program_builder.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

// y[c] = x[c] * scale[c] + shift[c]
struct Affine {
  std::vector<double> scale, shift;
};

std::optional<std::vector<double>> numbers(const GraphView& view, ir::ValueId id) {
  const Tensor* t = view.constant(id);
  if (t == nullptr || t->dtype() != DType::kFloat32) return std::nullopt;
  return std::vector<double>(t->span<float>().begin(), t->span<float>().end());
}

Tensor floats(const Dims& dims, const std::vector<double>& values) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::ranges::transform(values, t.data<float>(), [](double v) { return static_cast<float>(v); });
  return t;
}

// The constant as one number a channel, where channels are `axis` of the `rank` axes of what it is combined with.
std::optional<std::vector<double>> per_channel(const GraphView& view, ir::ValueId id, size_t rank, size_t axis, size_t channels) {
  auto values = numbers(view, id);
  if (!values) return std::nullopt;
  const Tensor& t = *view.constant(id);
  if (t.rank() > rank) return std::nullopt;
  for (size_t i = 0; i < t.rank(); ++i)
    if (t.dim(i) != 1 && (i + rank - t.rank() != axis || t.dim(i) != static_cast<int64_t>(channels))) return std::nullopt;
  if (values->size() == 1) values->assign(channels, values->front());
  return values;
}

std::optional<Affine> batch_norm(const GraphView& view, const ir::Node& node) {
  const auto scale = numbers(view, node.inputs[1]), b = numbers(view, node.inputs[2]), mean = numbers(view, node.inputs[3]),
             variance = numbers(view, node.inputs[4]);
  if (!scale || !b || !mean || !variance) return std::nullopt;
  if (b->size() != scale->size() || mean->size() != scale->size() || variance->size() != scale->size()) return std::nullopt;
  const double epsilon = attr<float>(node, "epsilon").value_or(1e-5f);
  Affine affine;
  for (size_t c = 0; c < scale->size(); ++c) {
    affine.scale.push_back((*scale)[c] / std::sqrt((*variance)[c] + epsilon));
    affine.shift.push_back((*b)[c] - (*mean)[c] * affine.scale[c]);
  }
  return affine;
}

// A product or convolution that can take an affine map of its output channels.
struct Layer {
  const ir::Node* node = nullptr;
  Dims weights;             // extents
  size_t channel_axis = 1;  // of its result
  int64_t channels = 0;
};

std::optional<Layer> layer_of(const GraphView& view, ir::ValueId id) {
  const ir::Node* node = view.producer(id);
  if (node == nullptr || !node->op->domain.empty() || view.dtype(id) != DType::kFloat32) return std::nullopt;
  const std::string_view name = node->op->name;
  const auto& shape = view.shape(id);
  if (!shape || (name != "Conv" && name != "ConvTranspose" && name != "Gemm" && name != "MatMul")) return std::nullopt;
  const auto& ws = view.shape(node->inputs[1]);
  const auto weights = ws ? ir::to_dims(*ws) : std::nullopt;
  if (!weights || weights->rank() < 2) return std::nullopt;
  Layer layer{node, *weights, 1, 0};
  if (name == "Conv") {
    layer.channels = (*weights)[0];
  } else if (name == "ConvTranspose") {
    layer.channels = (*weights)[1] * attr<int64_t>(*node, "group").value_or(1);
  } else {
    if (weights->rank() != 2 || shape->size() < 2) return std::nullopt;
    layer.channel_axis = shape->size() - 1;
    layer.channels = (*weights)[attr<int64_t>(*node, "transB").value_or(0) != 0 ? 0 : 1];
  }
  if (shape->size() <= layer.channel_axis || layer.channels <= 0) return std::nullopt;
  return layer;
}

// The weights with each output channel multiplied.
Tensor scaled(const Layer& layer, const Tensor& w, const std::vector<double>& scale) {
  Tensor result = Tensor::allocate(DType::kFloat32, w.dims()).value();
  const std::string_view name = layer.node->op->name;
  const bool transposed = attr<int64_t>(*layer.node, "transB").value_or(0) != 0;
  const int64_t size = w.num_elements();
  const int64_t group = attr<int64_t>(*layer.node, "group").value_or(1);
  const int64_t inner = name == "Conv" || transposed ? size / w.dim(0) : size / w.dim(0) / w.dim(1);
  for (int64_t i = 0; i < size; ++i) {
    int64_t channel = i / inner;
    if (name == "ConvTranspose")  // [C, M / group, kernel…]: a row of C belongs to one group
      channel = i / inner % w.dim(1) + i / inner / w.dim(1) / (w.dim(0) / group) * w.dim(1);
    else if (name != "Conv" && !transposed)
      channel = i % w.dim(1);
    result.data<float>()[i] = static_cast<float>(static_cast<double>(w.data<float>()[i]) * scale[static_cast<size_t>(channel)]);
  }
  return result;
}

// The layer with the map in its weights and bias, in place of `old`.
Rewrite folded(const GraphView& view, const Layer& layer, const Affine& affine, const ir::Node& old) {
  const ir::Node& node = *layer.node;
  const std::string_view name = node.op->name;
  if (view.uses(node.outputs[0]) != 1) return Reject{fmt::format("the result of {} is also used elsewhere", node.describe())};
  const bool scales = std::ranges::any_of(affine.scale, [](double s) { return s != 1; });
  const bool shifts = std::ranges::any_of(affine.shift, [](double s) { return s != 0; });
  const Tensor* w = view.constant(node.inputs[1]);
  if (scales && (w == nullptr || w->dtype() != DType::kFloat32))
    return Reject{fmt::format("the weights of {} are not constant", node.describe())};
  if (scales && view.uses(node.inputs[1]) != 1) return Reject{fmt::format("the weights of {} are also used elsewhere", node.describe())};
  const auto channels = static_cast<size_t>(layer.channels);
  std::vector<double> bias(channels, 0);
  const float beta = attr<float>(node, "beta").value_or(1);
  const ir::ValueId old_bias = name == "MatMul" ? ir::kNoValue : GraphView::input(node, 2);
  if (old_bias != ir::kNoValue) {
    const size_t rank = name == "Gemm" ? 2 : 1;
    auto values = per_channel(view, old_bias, rank, rank - 1, channels);
    if (!values) return Reject{fmt::format("the bias of {} is not one constant a channel", node.describe())};
    std::ranges::transform(*values, bias.begin(), [&](double v) { return v * static_cast<double>(beta); });
  }
  for (size_t c = 0; c < channels; ++c) bias[c] = bias[c] * affine.scale[c] + affine.shift[c];

  Patch patch(view);
  ir::Node merged = node;
  merged.outputs = {0};
  if (scales) merged.inputs[1] = patch.constant(scaled(layer, *w, affine.scale));
  const bool biased = shifts || old_bias != ir::kNoValue;
  if (biased && name != "MatMul") {
    merged.inputs.resize(3, ir::kNoValue);
    merged.inputs[2] = patch.constant(floats({layer.channels}, bias));
    if (beta != 1) {
      AttrList list;
      for (const char* each : {"alpha"}) list.emplace_back(each, attr<float>(node, each).value_or(1));
      for (const char* each : {"transA", "transB"}) list.emplace_back(each, attr<int64_t>(node, each).value_or(0));
      auto attrs = make_attrs(*node.op, list);
      if (!attrs.ok()) return Reject{attrs.error().message()};
      merged.attrs = std::move(attrs).value();
    }
  }
  ir::ValueId y = patch.node(std::move(merged))[0];
  if (biased && name == "MatMul") y = patch.node("Add", {y, patch.constant(floats({layer.channels}, bias))});
  patch.replace(old.outputs[0], y);
  return patch;
}

Rewrite normalization(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  if (view.dtype(node.outputs[0]) != DType::kFloat32) return NoMatch{};
  if (attr<int64_t>(node, "training_mode").value_or(0) != 0 || attr<int64_t>(node, "spatial").value_or(1) == 0 ||
      std::any_of(node.outputs.begin() + 1, node.outputs.end(), [](ir::ValueId id) { return id != ir::kNoValue; }))
    return Reject{"it computes statistics"};
  const auto affine = batch_norm(view, node);
  const auto& shape = view.shape(node.inputs[0]);
  if (!affine) return Reject{"scale, shift or statistics are not constant"};
  if (!shape || shape->size() < 2) return Reject{"the rank of its input is not known, or below 2"};
  const auto layer = layer_of(view, node.inputs[0]);
  if (layer && layer->channel_axis == 1 && layer->channels == static_cast<int64_t>(affine->scale.size())) {
    Rewrite rewrite = folded(view, *layer, *affine, node);
    if (std::holds_alternative<Patch>(rewrite)) return rewrite;
  }
  Dims dims(shape->size() - 1, 1);
  dims[0] = static_cast<int64_t>(affine->scale.size());
  Patch patch(view);
  const FusedProgram fused = {{node.inputs[0], patch.constant(floats(dims, affine->scale)), patch.constant(floats(dims, affine->shift))},
                              {3, {{ops::PointOp::kFma, 0, 1, 2}}, {}}};
  patch.replace(node.outputs[0], patch.node(pointwise_node(fused))[0]);
  return patch;
}

// A Mul by one constant a channel behind a MatMul, with its bias and a Transpose between: the scale of a residual branch, which is given
// with the channels first. Scales go into weights and bias.
Rewrite scaled_branch(const ir::Node& node, const GraphView& view) {
  for (size_t side : {size_t{0}, size_t{1}}) {
    ir::ValueId id = node.inputs[side];
    if (view.constant(node.inputs[1 - side]) == nullptr || !view.same_shape(id, node.outputs[0]) || view.uses(id) != 1) continue;
    const ir::Node *transpose = view.producer(id), *sum = transpose;
    if (transpose != nullptr && transpose->op->domain.empty() && transpose->op->name == "Transpose") {
      id = transpose->inputs[0];
      sum = view.uses(id) == 1 ? view.producer(id) : nullptr;
    } else {
      transpose = nullptr;
    }
    if (sum == nullptr || !sum->op->domain.empty() || sum->op->name != "Add" || sum->version < 7) continue;
    for (size_t of : {size_t{0}, size_t{1}}) {
      const ir::ValueId product = sum->inputs[of], bias = sum->inputs[1 - of];
      const auto layer = layer_of(view, product);
      if (!layer || layer->node->op->name != "MatMul" || view.uses(product) != 1 || !view.same_shape(product, id)) continue;
      const auto rank = view.shape(product)->size();
      const auto channels = static_cast<size_t>(layer->channels);
      size_t axis = rank - 1;
      std::vector<int64_t> perm;
      if (transpose != nullptr) {
        perm = attr<std::vector<int64_t>>(*transpose, "perm").value_or(std::vector<int64_t>());
        if (perm.empty())
          for (size_t i = rank; i-- > 0;) perm.push_back(static_cast<int64_t>(i));
        axis = static_cast<size_t>(std::ranges::find(perm, static_cast<int64_t>(rank) - 1) - perm.begin());
      }
      auto shifts = per_channel(view, bias, rank, rank - 1, channels);
      const auto scales = per_channel(view, node.inputs[1 - side], rank, axis, channels);
      const Tensor* w = view.constant(layer->node->inputs[1]);
      if (!shifts || !scales || w == nullptr || w->dtype() != DType::kFloat32 || view.uses(layer->node->inputs[1]) != 1) continue;
      if (std::ranges::any_of(*scales, [](double v) { return !std::isfinite(v) || v == 0; })) continue;
      std::ranges::transform(*shifts, *scales, shifts->begin(), std::multiplies<>());
      Patch patch(view);
      ir::Node merged = *layer->node;
      merged.outputs = {0};
      merged.inputs[1] = patch.constant(scaled(*layer, *w, *scales));
      ir::ValueId y = patch.node("Add", {patch.node(std::move(merged))[0], patch.constant(floats({layer->channels}, *shifts))});
      if (transpose != nullptr) y = patch.node("Transpose", {y}, {{"perm", perm}});
      patch.replace(node.outputs[0], y);
      return patch;
    }
  }
  return NoMatch{};
}

// Mul, Div, Add, Sub of a layer and a constant.
Rewrite arithmetic(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  if (node.version < 7) return NoMatch{};
  const std::string_view name = node.op->name;
  for (size_t side : {size_t{0}, size_t{1}}) {
    if (side == 1 && name == "Div") continue;
    const auto layer = layer_of(view, node.inputs[side]);
    if (!layer || view.constant(node.inputs[1 - side]) == nullptr || !view.same_shape(node.inputs[side], node.outputs[0])) continue;
    // A bias after a MatMul belongs into its epilogue; only what scales the weights is worth it.
    if (layer->node->op->name == "MatMul" && (name == "Add" || name == "Sub")) continue;
    const auto values = per_channel(view, node.inputs[1 - side], view.shape(node.outputs[0])->size(), layer->channel_axis,
                                    static_cast<size_t>(layer->channels));
    if (!values) return Reject{"its constant is not one number a channel"};
    Affine affine{std::vector<double>(values->size(), name == "Sub" && side == 1 ? -1 : 1), std::vector<double>(values->size(), 0)};
    for (size_t c = 0; c < values->size(); ++c) {
      if (name == "Mul") affine.scale[c] = (*values)[c];
      if (name == "Div") affine.scale[c] = 1 / (*values)[c];
      if (name == "Add") affine.shift[c] = (*values)[c];
      if (name == "Sub") affine.shift[c] = side == 0 ? -(*values)[c] : (*values)[c];
      if (!std::isfinite(affine.scale[c]) || (name != "Add" && name != "Sub" && affine.scale[c] == 0))
        return Reject{"its constant holds 0 or infinity"};
    }
    return folded(view, *layer, affine, node);
  }
  return name == "Mul" ? scaled_branch(node, view) : NoMatch{};
}

std::vector<Rule> rules() {
  const Pattern x = any();
  return {{op("BatchNormalization", x, any(), any(), any(), any()), &normalization},
          {op({"Mul", "Div", "Add", "Sub"}, any("a"), any("b")), &arithmetic}};
}

}  // namespace

CAMEO_DEFINE_PASS(fold_batch_norm) = {
    .name = "fold_batch_norm",
    .summary = "puts normalisation and scaling by constants into the weights before them",
    .rules = &rules,
    .late = true,
};

}  // namespace cameo::passes
