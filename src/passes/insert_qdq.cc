#include "passes/insert_qdq.h"

#include <algorithm>
#include <cmath>

#include "ops/cameo_conv.h"
#include "ops/cameo_matmul.h"
#include "passes/program_builder.h"

namespace cameo::passes {
namespace {

// Axis of the output channels in the weight.
int64_t channel_axis(const ir::Node& node) { return is_cameo(node, "Conv") || node.attrs_as<ops::CameoMatMulAttrs>().trans_b != 0 ? 0 : 1; }

struct Int8Weight {
  Tensor codes, scales;
};

// The weight as int8, symmetric, one scale an output channel.
Result<Int8Weight> round_weight(const Tensor& w, int64_t axis) {
  const int64_t channels = w.dim(static_cast<size_t>(axis)), inner = axis == 0 ? w.num_elements() / std::max<int64_t>(channels, 1) : 1;
  Int8Weight result;
  CAMEO_ASSIGN(result.codes, Tensor::allocate(DType::kInt8, w.dims()));
  CAMEO_ASSIGN(result.scales, Tensor::allocate(DType::kFloat32, {channels}));
  const auto channel = [&](int64_t i) { return axis == 0 ? i / inner : i % channels; };
  const float* from = w.data<float>();
  float* scales = result.scales.data<float>();
  for (int64_t i = 0; i < w.num_elements(); ++i) scales[channel(i)] = std::max(scales[channel(i)], std::fabs(from[i]));
  for (int64_t c = 0; c < channels; ++c) scales[c] = std::isnormal(scales[c] / 127) ? scales[c] / 127 : 1;
  for (int64_t i = 0; i < w.num_elements(); ++i)
    result.codes.data<int8_t>()[i] = static_cast<int8_t>(std::clamp(std::nearbyint(from[i] / scales[channel(i)]), -127.f, 127.f));
  return result;
}

// What rounding takes from the weight, relative to it.
Result<double> weight_loss(const Tensor& w, int64_t axis) {
  CAMEO_ASSIGN(const Int8Weight rounded, round_weight(w, axis));
  const int64_t channels = rounded.scales.num_elements(), inner = axis == 0 ? w.num_elements() / std::max<int64_t>(channels, 1) : 1;
  double lost = 0, all = 0;
  for (int64_t i = 0; i < w.num_elements(); ++i) {
    const double v = w.data<float>()[i], scale = rounded.scales.data<float>()[axis == 0 ? i / inner : i % channels];
    lost += std::pow(v - rounded.codes.data<int8_t>()[i] * scale, 2);
    all += v * v;
  }
  return all == 0 ? 0 : std::sqrt(lost / all);
}

constexpr double kMostLoss = 0.1, kMostVanishing = 0.8;

class Inserter {
 public:
  Inserter(Editor& editor, const std::map<std::string, ValueRange>& ranges, bool symmetric,
           const std::function<bool(const ir::Node&)>& choose, PassReport& report)
      : editor_(editor), ranges_(ranges), symmetric_(symmetric), choose_(choose), report_(report) {}

  Status run() {
    std::vector<uint32_t> chosen;
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      const ir::Node& node = editor_.node(index);
      if (!is_int8_candidate(editor_, node) || !choose_(node)) continue;
      if (const std::string reason = int8_refusal(editor_.graph(), node, ranges_); !reason.empty()) {
        report_.notes.push_back(fmt::format("{}: {}", node.describe(), reason));
        continue;
      }
      chosen.push_back(index);
      bytes_.emplace(node.inputs[0], ranges_.at(name_of(node.inputs[0])));
    }
    for (uint32_t index : chosen) CAMEO_TRY(insert(index));
    return {};
  }

 private:
  const std::string& name_of(ir::ValueId id) const { return editor_.graph().value(id).name; }

  // The value rounded to uint8 and back, made once.
  Result<ir::ValueId> rounded(Patch& patch, ir::ValueId id, std::vector<std::pair<ir::ValueId, ir::ValueId>>& made) {
    if (const auto known = rounded_.find(id); known != rounded_.end()) return known->second;
    for (const auto& [value, pair] : made)
      if (value == id) return pair;
    const ValueRange range = bytes_.at(id);
    const float min = std::min(range.min, 0.f), max = std::max(range.max, 0.f);
    float scale = symmetric_ ? std::max(-min, max) / 127 : (max - min) / 255;
    if (!std::isnormal(scale)) scale = 1;
    const auto zero = symmetric_ ? uint8_t{128} : static_cast<uint8_t>(std::clamp(std::nearbyint(-min / scale), 0.f, 255.f));
    const ir::ValueId scale_id = patch.constant(Tensor::of<float>({}, {scale})), zero_id = patch.constant(Tensor::of<uint8_t>({}, {zero}));
    const ir::ValueId bytes = patch.node("QuantizeLinear", {id, scale_id, zero_id});
    made.emplace_back(id, patch.node("DequantizeLinear", {bytes, scale_id, zero_id}));
    return made.back().second;
  }

  Result<ir::ValueId> rounded_weight(Patch& patch, const Tensor& w, int64_t axis) {
    CAMEO_ASSIGN(const Int8Weight weight, round_weight(w, axis));
    return patch.node("DequantizeLinear", {patch.constant(weight.codes), patch.constant(weight.scales)}, {{"axis", axis}});
  }

  Status insert(uint32_t index) {
    const ir::Node old = editor_.node(index);
    Patch patch(editor_);
    std::vector<std::pair<ir::ValueId, ir::ValueId>> made;
    ir::Node node = old;
    CAMEO_ASSIGN(node.inputs[0], rounded(patch, old.inputs[0], made));
    CAMEO_ASSIGN(node.inputs[1], rounded_weight(patch, editor_.graph().value(old.inputs[1]).constant, channel_axis(old)));
    for (size_t i = 2; i < old.inputs.size(); ++i)
      if (bytes_.contains(old.inputs[i]) && editor_.same_shape(old.inputs[i], old.outputs[0])) {
        CAMEO_ASSIGN(node.inputs[i], rounded(patch, old.inputs[i], made));
      }
    const std::vector<ir::ValueId> outputs = patch.node(std::move(node));
    patch.replace(old.outputs[0], outputs[0]);
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(old.describe());
    rounded_.insert(made.begin(), made.end());
    // Nodes that come later know the result under its new name.
    if (const auto range = bytes_.find(old.outputs[0]); range != bytes_.end()) bytes_.emplace(outputs[0], range->second);
    ++report_.changes;
    return {};
  }

  Editor& editor_;
  const std::map<std::string, ValueRange>& ranges_;
  bool symmetric_;
  const std::function<bool(const ir::Node&)>& choose_;
  PassReport& report_;
  std::map<ir::ValueId, ValueRange> bytes_;  // values that are read as bytes
  std::map<ir::ValueId, ir::ValueId> rounded_;
};

}  // namespace

bool is_int8_candidate(const GraphView& view, const ir::Node& node) {
  const bool conv = is_cameo(node, "Conv");
  if (!conv && !is_cameo(node, "MatMul")) return false;
  const Tensor* w = &view.graph().value(node.inputs[1]).constant;
  if (!w->defined() || w->dtype() != DType::kFloat32 || node.outputs.size() != 1 || view.constant(node.inputs[0]) != nullptr) return false;
  if (!std::ranges::all_of(w->span<float>(), [](float v) { return std::isfinite(v); })) return false;
  if (conv) {
    const int64_t group = node.attrs_as<ops::CameoConvAttrs>().group;
    return w->rank() >= 3 && (group == 1 || (w->dim(1) == 1 && w->dim(0) == group));
  }
  const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
  return w->rank() == 2 && attrs.trans_a == 0 && attrs.splits.empty();
}

namespace {

Result<Editor> open(ir::Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  return Editor::open(graph, inputs);
}

}  // namespace

std::string int8_refusal(const ir::Graph& graph, const ir::Node& node, const std::map<std::string, ValueRange>& ranges) {
  const std::string& input = graph.value(node.inputs[0]).name;
  const auto range = ranges.find(input);
  if (range == ranges.end()) return fmt::format("calibration has no range for its input '{}'", input);
  const ValueRange& r = range->second;
  // The error of rounding to steps is spread evenly over a step.
  const double step = (std::max(r.max, 0.f) - std::min(r.min, 0.f)) / 255, lost = r.rms > 0 ? step / std::sqrt(12.) / r.rms : 0;
  if (lost > kMostLoss) return fmt::format("rounding its input would lose {:.0f} % of it", lost * 100);
  if (r.vanishing > kMostVanishing) return fmt::format("rounding its input would make {:.0f} % of it zero", r.vanishing * 100);
  const auto weight = weight_loss(graph.value(node.inputs[1]).constant, channel_axis(node));
  if (weight.ok() && *weight > kMostLoss) return fmt::format("rounding its weight would lose {:.0f} % of it", *weight * 100);
  return {};
}

Result<std::vector<ir::ValueId>> int8_candidates(ir::Graph& graph) {
  CAMEO_ASSIGN(const Editor editor, open(graph));
  std::vector<ir::ValueId> found;
  for (const ir::Node& node : graph.nodes)
    if (is_int8_candidate(editor, node)) found.push_back(node.outputs[0]);
  return found;
}

Result<std::vector<ir::ValueId>> int8_inputs(ir::Graph& graph) {
  CAMEO_ASSIGN(const Editor editor, open(graph));
  std::vector<ir::ValueId> found;
  for (const ir::Node& node : graph.nodes)
    if (is_int8_candidate(editor, node) && std::ranges::find(found, node.inputs[0]) == found.end()) found.push_back(node.inputs[0]);
  return found;
}

Status insert_qdq(ir::Graph& graph, const std::map<std::string, ValueRange>& ranges, bool symmetric,
                  const std::function<bool(const ir::Node&)>& choose, PassReport& report) {
  report.name = "insert_qdq";
  CAMEO_ASSIGN(Editor editor, open(graph));
  CAMEO_TRY(Inserter(editor, ranges, symmetric, choose, report).run());
  CAMEO_TRY(editor.finish());
  return ir::infer_types(graph);
}

}  // namespace cameo::passes
