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
// Of a product, where a channel counts as this many times the median of all at most: a few that are enormous, as in transformers, would
// hide what the rest loses.
constexpr double kMostProductLoss = 0.045, kMostPower = 100;

bool is_transposed(const ir::Node& node) { return node.attrs_as<ops::CameoMatMulAttrs>().trans_b != 0; }

// The right sides of products with the same left side, row by row.
class Weights {
 public:
  void add(const Tensor& w, bool transposed) { parts_.push_back({&w, transposed}); }
  int64_t rows() const { return parts_[0].w->dim(parts_[0].transposed ? 1 : 0); }

  // fn(row, column among all, element).
  template <class Fn>
  void for_each(Fn fn) const {
    int64_t first = 0;
    for (const Part& part : parts_) {
      const float* data = part.w->data<float>();
      const int64_t outer = part.w->dim(0), inner = part.w->dim(1);
      for (int64_t i = 0; i < outer; ++i)
        for (int64_t j = 0; j < inner; ++j) part.transposed ? fn(j, first + i, data[i * inner + j]) : fn(i, first + j, data[i * inner + j]);
      first += part.transposed ? outer : inner;
    }
  }
  int64_t columns() const {
    int64_t all = 0;
    for (const Part& part : parts_) all += part.w->dim(part.transposed ? 0 : 1);
    return all;
  }

 private:
  struct Part {
    const Tensor* w;
    bool transposed;
  };
  std::vector<Part> parts_;
};

// How a value becomes bytes: x / (factor of the channel) in steps of `scale` from `zero` on.
struct Rounding {
  float scale = 1;
  uint8_t zero = 0;
  std::vector<float> factors;  // none: all 1
  double loss = 0;             // of the products' results, as far as it is estimated
};

void set_range(Rounding& r, float min, float max, bool symmetric) {
  min = std::min(min, 0.f);
  max = std::max(max, 0.f);
  r.scale = symmetric ? std::max(-min, max) / 127 : (max - min) / 255;
  if (!std::isnormal(r.scale)) r.scale = 1;
  r.zero = symmetric ? uint8_t{128} : static_cast<uint8_t>(std::clamp(std::nearbyint(-min / r.scale), 0.f, 255.f));
}

// Factors max|x|^a / max|w|^(1 - a) a channel move outliers from activations to weights; the a with the least loss is taken. Errors of
// rounding are spread evenly over a step and do not depend on each other; channels do not either.
Rounding best_rounding(const ValueRange& range, const Weights& weights, bool symmetric) {
  const auto rows = static_cast<size_t>(weights.rows());
  std::vector<double> energy(rows, 0), most_w(rows, 0), most_x(rows, 0);
  weights.for_each([&](int64_t r, int64_t, float w) {
    energy[static_cast<size_t>(r)] += static_cast<double>(w) * w;
    most_w[static_cast<size_t>(r)] = std::max(most_w[static_cast<size_t>(r)], std::fabs(static_cast<double>(w)));
  });
  std::vector<double> power(rows);
  for (size_t c = 0; c < rows; ++c) power[c] = std::pow(range.channel_rms[c], 2);
  std::vector<double> sorted = power;
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<int64_t>(rows / 2));
  const double median = sorted[rows / 2], most_power = median > 0 ? kMostPower * median : INFINITY;
  double signal = 0;
  const auto low = [&](size_t c) { return std::max(range.channel_min[c], range.min); };
  const auto high = [&](size_t c) { return std::min(range.channel_max[c], range.max); };
  for (size_t c = 0; c < rows; ++c) {
    most_x[c] = std::max({-low(c), high(c), 0.f});
    signal += std::min(power[c], most_power) * energy[c];
  }
  const double floor_x = 1e-3 * *std::ranges::max_element(most_x), floor_w = 1e-3 * *std::ranges::max_element(most_w);
  Rounding best;
  best.loss = INFINITY;
  for (const double a : {0., 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}) {
    if (a > 0 && !(floor_x > 0 && floor_w > 0)) break;
    Rounding r;
    std::vector<float> factors(rows, 1);
    for (size_t c = 0; a > 0 && c < rows; ++c)
      factors[c] = static_cast<float>(std::pow(std::max(most_x[c], floor_x), a) / std::pow(std::max(most_w[c], floor_w), 1 - a));
    if (!std::ranges::all_of(factors, [](float f) { return std::isnormal(f); })) continue;
    float min = 0, max = 0;
    double input = 0, inverse = 0;
    for (size_t c = 0; c < rows; ++c) {
      min = std::min(min, low(c) / factors[c]);
      max = std::max(max, high(c) / factors[c]);
      input += std::pow(factors[c], 2) * energy[c];
      inverse += power[c] / std::pow(factors[c], 2);
    }
    set_range(r, min, max, symmetric);
    std::vector<float> column(static_cast<size_t>(weights.columns()), 0);
    weights.for_each([&](int64_t row, int64_t j, float w) {
      column[static_cast<size_t>(j)] = std::max(column[static_cast<size_t>(j)], std::fabs(w) * factors[static_cast<size_t>(row)]);
    });
    double weight = 0;
    for (float m : column) weight += std::pow(m / 127., 2);
    r.loss = signal > 0 ? std::sqrt((std::pow(r.scale, 2) * input + weight * inverse) / 12 / signal) : 0;
    // Factors cost a pass over the input of their own.
    if (!(r.loss < best.loss * (best.factors.empty() ? 0.8 : 1))) continue;
    best = r;
    if (a > 0) best.factors = std::move(factors);
  }
  return best;
}

bool has_channels(const ValueRange& range, int64_t rows) {
  const auto size = static_cast<size_t>(rows);
  return rows > 0 && range.channel_min.size() == size && range.channel_max.size() == size && range.channel_rms.size() == size;
}

class Inserter {
 public:
  Inserter(Editor& editor, const std::map<std::string, ValueRange>& ranges, bool symmetric,
           const std::function<bool(const ir::Node&)>& choose, PassReport& report)
      : editor_(editor), ranges_(ranges), symmetric_(symmetric), choose_(choose), report_(report) {}

  Status run() {
    std::vector<uint32_t> chosen;
    std::map<ir::ValueId, std::vector<uint32_t>> readers;
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      const ir::Node& node = editor_.node(index);
      if (!is_int8_candidate(editor_, node) || !choose_(node)) continue;
      if (!ranges_.contains(name_of(node.inputs[0]))) {
        report_.notes.push_back(fmt::format("{}: its input has no range", node.describe()));
        continue;
      }
      chosen.push_back(index);
      readers[node.inputs[0]].push_back(index);
    }
    for (const auto& [id, nodes] : readers) bytes_.emplace(id, rounding(id, nodes));
    for (uint32_t index : chosen) CAMEO_TRY(insert(index));
    return {};
  }

 private:
  const std::string& name_of(ir::ValueId id) const { return editor_.graph().value(id).name; }
  const Tensor& weight_of(const ir::Node& node) const { return editor_.graph().value(node.inputs[1]).constant; }

  Rounding rounding(ir::ValueId id, const std::vector<uint32_t>& readers) const {
    const ValueRange& range = ranges_.at(name_of(id));
    Weights weights;
    bool products = true;
    for (uint32_t reader : readers) {
      const ir::Node& node = editor_.node(reader);
      products &= is_cameo(node, "MatMul");
      if (products) weights.add(weight_of(node), is_transposed(node));
    }
    if (products && has_channels(range, weights.rows())) return best_rounding(range, weights, symmetric_);
    Rounding r;
    set_range(r, range.min, range.max, symmetric_);
    return r;
  }

  // The value, its channels divided by their factors, as uint8 and back; made once.
  Result<ir::ValueId> rounded(Patch& patch, ir::ValueId id, std::vector<std::pair<ir::ValueId, ir::ValueId>>& made) {
    if (const auto known = rounded_.find(id); known != rounded_.end()) return known->second;
    for (const auto& [value, pair] : made)
      if (value == id) return pair;
    const Rounding& r = bytes_.at(id);
    const ir::ValueId scale = patch.constant(Tensor::of<float>({}, {r.scale})), zero = patch.constant(Tensor::of<uint8_t>({}, {r.zero}));
    ir::ValueId bytes = ir::kNoValue;
    if (r.factors.empty()) {
      bytes = patch.node("QuantizeLinear", {id, scale, zero});
    } else {
      const auto channels = static_cast<int64_t>(r.factors.size());
      CAMEO_ASSIGN(Tensor scales, Tensor::allocate(DType::kFloat32, {channels}));
      CAMEO_ASSIGN(Tensor zeros, Tensor::allocate(DType::kUint8, {channels}));
      for (size_t c = 0; c < r.factors.size(); ++c) {
        scales.data<float>()[c] = r.scale * r.factors[c];
        zeros.data<uint8_t>()[c] = r.zero;
      }
      bytes = patch.node("QuantizeLinear", {id, patch.constant(scales), patch.constant(zeros)}, {{"axis", int64_t{-1}}});
    }
    made.emplace_back(id, patch.node("DequantizeLinear", {bytes, scale, zero}));
    return made.back().second;
  }

  // The weight, its rows times the factors of the input, as int8 and back.
  Result<ir::ValueId> rounded_weight(Patch& patch, const Tensor& w, int64_t axis, const std::vector<float>& factors) {
    Tensor scaled = w;
    if (!factors.empty()) {
      CAMEO_ASSIGN(scaled, w.clone());
      const int64_t inner = w.dim(1);
      for (int64_t i = 0; i < w.num_elements(); ++i)
        scaled.data<float>()[i] *= factors[static_cast<size_t>(axis == 0 ? i % inner : i / inner)];
    }
    CAMEO_ASSIGN(const Int8Weight weight, round_weight(scaled, axis));
    return patch.node("DequantizeLinear", {patch.constant(weight.codes), patch.constant(weight.scales)}, {{"axis", axis}});
  }

  // Elements [first, first + count) of a constant along an axis.
  static Result<Tensor> part(const Tensor& t, size_t axis, int64_t first, int64_t count) {
    Dims dims = t.dims();
    const int64_t extent = dims[axis];
    int64_t inner = 1, outer = 1;
    for (size_t i = 0; i < dims.rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : dims[i];
    dims[axis] = count;
    CAMEO_ASSIGN(Tensor result, Tensor::allocate(DType::kFloat32, dims));
    for (int64_t o = 0; o < outer; ++o)
      std::copy_n(t.data<float>() + (o * extent + first) * inner, count * inner, result.data<float>() + o * count * inner);
    return result;
  }

  Status insert(uint32_t index) {
    const ir::Node old = editor_.node(index);
    Patch patch(editor_);
    std::vector<std::pair<ir::ValueId, ir::ValueId>> made;
    const Rounding& input = bytes_.at(old.inputs[0]);
    CAMEO_ASSIGN(const ir::ValueId x, rounded(patch, old.inputs[0], made));
    if (is_cameo(old, "MatMul") && !old.attrs_as<ops::CameoMatMulAttrs>().splits.empty()) {
      CAMEO_TRY(insert_parts(patch, old, x, input.factors));
    } else {
      ir::Node node = old;
      node.inputs[0] = x;
      CAMEO_ASSIGN(node.inputs[1], rounded_weight(patch, weight_of(old), channel_axis(old), input.factors));
      // The sums of residual networks are made to be rounded; those of transformers have channels that are far larger than the rest.
      for (size_t i = 2; i < old.inputs.size() && is_cameo(old, "Conv"); ++i)
        if (const auto r = bytes_.find(old.inputs[i]);
            r != bytes_.end() && r->second.factors.empty() && editor_.same_shape(old.inputs[i], old.outputs[0])) {
          CAMEO_ASSIGN(node.inputs[i], rounded(patch, old.inputs[i], made));
        }
      const std::vector<ir::ValueId> outputs = patch.node(std::move(node));
      patch.replace(old.outputs[0], outputs[0]);
      // Nodes that come later know the result under its new name.
      if (const auto r = bytes_.find(old.outputs[0]); r != bytes_.end()) bytes_.emplace(outputs[0], r->second);
    }
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(old.describe());
    rounded_.insert(made.begin(), made.end());
    ++report_.changes;
    return {};
  }

  // Projections that were merged are products of their own again: columns of the weight, and of what the program adds.
  Status insert_parts(Patch& patch, const ir::Node& old, ir::ValueId x, const std::vector<float>& factors) {
    const auto& attrs = old.attrs_as<ops::CameoMatMulAttrs>();
    const Tensor& w = weight_of(old);
    const int64_t axis = channel_axis(old), n = w.dim(static_cast<size_t>(axis));
    int64_t first = 0;
    for (size_t i = 0; i < old.outputs.size() && i < attrs.splits.size(); first += attrs.splits[i++]) {
      if (old.outputs[i] == ir::kNoValue) continue;
      ir::Node node = old;
      auto own = std::make_shared<ops::CameoMatMulAttrs>(attrs);
      own->splits.clear();
      node.attrs = std::move(own);
      node.inputs[0] = x;
      CAMEO_ASSIGN(const Tensor columns, part(w, static_cast<size_t>(axis), first, attrs.splits[i]));
      CAMEO_ASSIGN(node.inputs[1], rounded_weight(patch, columns, axis, factors));
      for (size_t k = 2; k < old.inputs.size(); ++k) {
        const Tensor& operand = editor_.graph().value(old.inputs[k]).constant;
        if (operand.num_elements() != n) continue;
        CAMEO_ASSIGN(const Tensor slice, part(operand, operand.rank() - 1, first, attrs.splits[i]));
        node.inputs[k] = patch.constant(slice);
      }
      node.outputs = {0};
      const ir::ValueId y = patch.node(std::move(node))[0];
      patch.replace(old.outputs[i], y);
      if (const auto r = bytes_.find(old.outputs[i]); r != bytes_.end()) bytes_.emplace(y, r->second);
    }
    return {};
  }

  Editor& editor_;
  const std::map<std::string, ValueRange>& ranges_;
  bool symmetric_;
  const std::function<bool(const ir::Node&)>& choose_;
  PassReport& report_;
  std::map<ir::ValueId, Rounding> bytes_;  // values that are read as bytes
  std::map<ir::ValueId, ir::ValueId> rounded_;
};

}  // namespace

bool is_int8_candidate(const GraphView& view, const ir::Node& node) {
  const bool conv = is_cameo(node, "Conv");
  if (!conv && !is_cameo(node, "MatMul")) return false;
  const Tensor* w = &view.graph().value(node.inputs[1]).constant;
  if (!w->defined() || w->dtype() != DType::kFloat32 || view.constant(node.inputs[0]) != nullptr) return false;
  if (!std::ranges::all_of(w->span<float>(), [](float v) { return std::isfinite(v); })) return false;
  if (conv) {
    const int64_t group = node.attrs_as<ops::CameoConvAttrs>().group;
    return w->rank() >= 3 && (group == 1 || (w->dim(1) == 1 && w->dim(0) == group));
  }
  const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
  if (w->rank() != 2 || attrs.trans_a != 0) return false;
  // What a merged product adds must come apart with its columns.
  const int64_t n = w->dim(attrs.trans_b != 0 ? 0 : 1);
  return attrs.splits.empty() || std::ranges::all_of(node.inputs.begin() + 2, node.inputs.end(), [&](ir::ValueId id) {
           const Tensor& t = view.graph().value(id).constant;
           return t.defined() && t.dtype() == DType::kFloat32 &&
                  (t.num_elements() == 1 || (t.num_elements() == n && t.rank() > 0 && t.dim(t.rank() - 1) == n));
         });
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
  const Tensor& w = graph.value(node.inputs[1]).constant;
  if (is_cameo(node, "MatMul") && has_channels(r, w.dim(is_transposed(node) ? 1 : 0))) {
    Weights weights;
    weights.add(w, is_transposed(node));
    const Rounding best = best_rounding(r, weights, false);
    return best.loss > kMostProductLoss ? fmt::format("rounding would take {:.1f} % of its result", best.loss * 100) : "";
  }
  // The error of rounding to steps is spread evenly over a step.
  const double step = (std::max(r.max, 0.f) - std::min(r.min, 0.f)) / 255, lost = r.rms > 0 ? step / std::sqrt(12.) / r.rms : 0;
  if (lost > kMostLoss) return fmt::format("rounding its input would take {:.0f} % of it", lost * 100);
  if (r.vanishing > kMostVanishing) return fmt::format("rounding its input would make {:.0f} % of it zero", r.vanishing * 100);
  const auto weight = weight_loss(w, channel_axis(node));
  if (weight.ok() && *weight > kMostLoss) return fmt::format("rounding its weight would take {:.0f} % of it", *weight * 100);
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
