// Resize, Upsample, GridSample: positions and weights of each axis are worked out on the host once.
#include <algorithm>
#include <cmath>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

struct Method {
  std::string mode = "nearest", coordinates = "half_pixel", rounding = "round_prefer_floor";
  double cubic_a = -0.75, extrapolation = 0;
  bool antialias = false, exclude_outside = false;
};

struct Axis {
  int64_t in = 1, out = 1;
  double scale = 1, roi_start = 0, roi_end = 1;
};

double source_position(const Axis& a, const std::string& how, int64_t i) {
  const auto in = static_cast<double>(a.in), x = static_cast<double>(i);
  const double length = a.scale * in;
  if (how == "align_corners") return length == 1 ? 0 : x * (in - 1) / (length - 1);
  if (how == "asymmetric") return x / a.scale;
  if (how == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (how == "tf_crop_and_resize") {
    const double roi = a.roi_end - a.roi_start;
    return a.roi_start * (in - 1) + (length == 1 ? roi * (in - 1) / 2 : x * roi * (in - 1) / (length - 1));
  }
  if (how == "pytorch_half_pixel") return length == 1 ? -0.5 : (x + 0.5) / a.scale - 0.5;
  if (how == "half_pixel_symmetric") return in / 2 * (1 - static_cast<double>(a.out) / length) + (x + 0.5) / a.scale - 0.5;
  return (x + 0.5) / a.scale - 0.5;
}

double filter(const Method& m, double distance) {
  const double x = std::fabs(distance), a = m.cubic_a;
  if (m.mode != "cubic") return std::max(0.0, 1 - x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// For each output position `taps` indices into the axis and their weights; weight NaN at the first tap: outside.
struct Table {
  int64_t taps = 1;
  std::vector<int64_t> indices;
  std::vector<float> weights;
  bool any_outside = false;
};

Table table_of(const Axis& a, const Method& m) {
  Table t;
  const bool nearest = m.mode == "nearest";
  const double stretch = m.antialias ? std::min(a.scale, 1.0) : 1, radius = m.mode == "cubic" ? 2 : 1;
  const int64_t first = nearest ? 0 : static_cast<int64_t>(std::floor(-radius / stretch)) + 1;
  t.taps = nearest ? 1 : 2 - 2 * first;
  for (int64_t i = 0; i < a.out; ++i) {
    double position = source_position(a, m.coordinates, i);
    const bool outside = m.coordinates == "tf_crop_and_resize" && !(position >= 0 && position <= static_cast<double>(a.in - 1));
    const double far = static_cast<double>(a.in) * 8 + 16;
    position = std::isnan(position) ? 0 : std::clamp(position, -far, far);
    t.any_outside |= outside;
    if (nearest) {
      const double rounded = m.rounding == "round_prefer_ceil" ? std::floor(position + 0.5)
                             : m.rounding == "floor"           ? std::floor(position)
                             : m.rounding == "ceil"            ? std::ceil(position)
                                                               : std::ceil(position - 0.5);
      t.indices.push_back(std::clamp<int64_t>(static_cast<int64_t>(rounded), 0, a.in - 1));
      t.weights.push_back(outside ? std::nanf("") : 1.f);
      continue;
    }
    const double base = std::ceil(position) - 1, ratio = position - base;
    std::vector<double> row;
    double sum = 0;
    for (int64_t k = 0; k < t.taps; ++k) {
      const int64_t at = static_cast<int64_t>(base) + first + k;
      double weight = filter(m, (static_cast<double>(first + k) - ratio) * stretch);
      if (m.exclude_outside && (at < 0 || at >= a.in)) weight = 0;
      row.push_back(weight);
      sum += weight;
      t.indices.push_back(std::clamp<int64_t>(at, 0, a.in - 1));
    }
    const bool normalise = (m.antialias || m.exclude_outside) && sum != 0;
    for (size_t k = 0; k < row.size(); ++k)
      t.weights.push_back(outside && k == 0 ? std::nanf("") : static_cast<float>(row[k] / (normalise ? sum : 1)));
  }
  return t;
}

Status resample(StepBuilder& b, const Operand& x, const Operand& y, const std::vector<Axis>& axes, const Method& m) {
  if (y.dims.num_elements() == 0) return {};
  if (x.dims.num_elements() == 0) return error(ErrorCode::kInvalidInput, "there is nothing to resize");
  Source s;
  auto at = s.unravel("i", y.dims);
  const bool nearest = m.mode == "nearest";
  const std::string type = b.in_type(0) == DType::kFloat64 ? "double" : "float";
  std::string weight, outside;
  std::vector<std::string> source = at;
  int loops = 0;
  std::vector<std::string> opened;
  for (size_t a = 0; a < axes.size(); ++a) {
    if (axes[a].in == axes[a].out && axes[a].scale == 1 && m.coordinates != "tf_crop_and_resize") continue;
    const Table t = table_of(axes[a], m);
    CAMEO_ASSIGN(const Operand indices, b.constant(Tensor::of<int64_t>({static_cast<int64_t>(t.indices.size())}, t.indices)));
    CAMEO_ASSIGN(const Operand weights, b.constant(Tensor::of<float>({static_cast<int64_t>(t.weights.size())}, t.weights)));
    const std::string row = s.name("row");
    s.line(fmt::format("const I {} = ({}) * {};", row, at[a], s.number(t.taps)));
    if (t.any_outside) outside += fmt::format("{}isnan({})", outside.empty() ? "" : " || ", s.load(weights, row));
    const std::string k = s.name("k");
    if (nearest) {
      source[a] = "(I)" + s.load(indices, row);
      continue;
    }
    opened.push_back(fmt::format("for (I {0} = 0; {0} < {1}; ++{0}) {{", k, s.number(t.taps)));
    source[a] = fmt::format("(I){}", s.load(indices, row + " + " + k));
    weight += fmt::format("{}({}){}", weight.empty() ? "" : " * ", type, s.load(weights, row + " + " + k));
    ++loops;
  }
  const std::string extrapolated = literal_of(b.in_type(0), m.extrapolation);
  const std::string element = s.load(x, s.offset(source, dense_strides(x.dims)));
  std::string result;
  if (loops == 0) {
    result = element;
  } else {
    s.line(fmt::format("{} sum = 0;", type));
    for (const std::string& loop : opened) s.line(loop);
    s.line(fmt::format("sum += {} * {};", weight, element));
    s.line(std::string(static_cast<size_t>(loops), '}'));
    result = "sum";
    if (is_integer(b.in_type(0))) {
      const DType t = b.in_type(0);
      const char* range = t == DType::kInt8     ? "-128.f, 127.f"
                          : t == DType::kUint8  ? "0.f, 255.f"
                          : t == DType::kInt16  ? "-32768.f, 32767.f"
                          : t == DType::kUint16 ? "0.f, 65535.f"
                                                : nullptr;
      s.line("sum = rint(sum);");
      if (range)
        s.line(fmt::format("sum = fminf(fmaxf(sum, {}), {});", std::string(range).substr(0, std::string(range).find(',')),
                           std::string(range).substr(std::string(range).find(',') + 1)));
      result = fmt::format("Cut<{}>::of((double)sum)", compute_type(t));
    }
  }
  s.store(y, "i", outside.empty() ? result : fmt::format("({}) ? {} : {}", outside, extrapolated, result));
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_resize(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const size_t rank = x.dims.rank();
  Method m;
  m.mode = b.attrs().text("mode", "nearest");
  std::vector<Axis> axes(rank);
  for (size_t a = 0; a < rank; ++a) {
    axes[a].in = x.dims[a];
    axes[a].out = y.dims[a];
  }
  std::vector<size_t> named;
  for (int64_t a : b.attrs().integers("axes")) named.push_back(axis_of(a, rank));
  if (named.empty())
    for (size_t a = 0; a < rank; ++a) named.push_back(a);
  if (b.version() < 11) {
    m.coordinates = "asymmetric";
    m.rounding = "floor";
  } else {
    m.coordinates = b.attrs().text("coordinate_transformation_mode", "half_pixel");
    m.rounding = b.attrs().text("nearest_mode", "round_prefer_floor");
    m.cubic_a = b.attrs().real("cubic_coeff_a", -0.75f);
    m.antialias = b.attrs().integer("antialias") != 0;
    m.exclude_outside = b.attrs().integer("exclude_outside") != 0;
    m.extrapolation = b.attrs().real("extrapolation_value");
  }
  const size_t scales_input = b.version() < 11 ? 1 : 2;
  const Tensor* scales = b.value(scales_input);
  if (scales && scales->dtype() == DType::kFloat32 && scales->num_elements() == static_cast<int64_t>(named.size()) &&
      scales->num_elements() > 0) {
    for (size_t k = 0; k < named.size(); ++k) axes[named[k]].scale = scales->data<float>()[k];
  } else {
    CAMEO_ASSIGN(const std::vector<int64_t> sizes, b.ints(3));
    if (sizes.size() != named.size())
      return error(ErrorCode::kInvalidInput, "sizes has {} entries for {} axes", sizes.size(), named.size());
    const std::string policy = b.attrs().text("keep_aspect_ratio_policy", "stretch");
    double common = 0;
    for (size_t k = 0; k < named.size(); ++k) {
      const double s = static_cast<double>(sizes[k]) / static_cast<double>(axes[named[k]].in);
      if (k == 0 || (policy == "not_larger" ? s < common : s > common)) common = s;
      axes[named[k]].scale = s;
    }
    if (policy != "stretch")
      for (size_t a : named) axes[a].scale = common;
  }
  if (m.coordinates == "tf_crop_and_resize") {
    const Tensor* roi = b.value(1);
    if (!roi || roi->num_elements() != static_cast<int64_t>(2 * named.size()) || !(roi->dtype() == DType::kFloat32))
      return error(ErrorCode::kUnsupported, "a roi that is not known before the run, or not float32");
    for (size_t k = 0; k < named.size(); ++k) {
      axes[named[k]].roi_start = roi->data<float>()[k];
      axes[named[k]].roi_end = roi->data<float>()[named.size() + k];
    }
  }
  return resample(b, x, y, axes, m);
}

Status make_upsample(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  std::vector<float> scales = b.attrs().reals("scales");
  if (b.version() >= 9) {
    const Tensor* t = b.value(1);
    if (!t || t->dtype() != DType::kFloat32) return error(ErrorCode::kUnsupported, "scales that are not known before the run");
    scales.assign(t->data<float>(), t->data<float>() + t->num_elements());
  }
  if (scales.size() != x.dims.rank()) return error(ErrorCode::kUnsupported, "scales of some axes alone");
  Method m;
  m.mode = b.attrs().text("mode", "nearest");
  if (m.mode == "bilinear") m.mode = "linear";
  m.coordinates = "asymmetric";
  m.rounding = "floor";
  std::vector<Axis> axes(x.dims.rank());
  for (size_t a = 0; a < axes.size(); ++a) axes[a] = {x.dims[a], y.dims[a], scales[a], 0, 1};
  return resample(b, x, y, axes, m);
}

}  // namespace

std::vector<DeviceOp> image_ops() {
  return {
      {"Resize", "", make_resize, 0b1110},
      {"Upsample", "", make_upsample, 0b10},
  };
}

}  // namespace cameo::cuda
