// RoiAlign, MaxUnpool, Col2Im, DeformConv: a thread for each element of the output (of the input for MaxUnpool).
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/windows.h"

namespace cameo::cuda {
namespace {

std::string real_of(const StepBuilder& b) { return b.in_type(0) == DType::kFloat64 ? "double" : "float"; }

Status make_roi_align(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand rois, b.input(1));
  CAMEO_ASSIGN(Operand batches, b.input(2));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const bool half_pixel = b.version() >= 16 && b.attrs().text("coordinate_transformation_mode", "half_pixel") == "half_pixel",
             maximum = b.attrs().text("mode", "avg") == "max";
  const int64_t ratio = b.attrs().integer("sampling_ratio");
  Source s;
  s.declare("typedef double R;\nstruct Sample { I low, high; R a, b; };");
  s.declare(R"cuda(inline Sample sample_at(R at, I n) {
  Sample s = {0, 0, 0, 0};
  if (!(at >= -1 && at <= (R)n) || n == 0) return s;
  if (at < 0) at = 0;
  const I low = (I)at;
  if (low >= n - 1) { s.low = s.high = n - 1; s.a = 1; return s; }
  s.low = low; s.high = low + 1; s.a = 1 - (at - (R)low); s.b = at - (R)low;
  return s;
})cuda");
  const auto at = s.unravel("i", y.dims);
  const std::string height = s.number(x.dims[2]), width = s.number(x.dims[3]), count = s.number(x.dims[0]);
  s.line(fmt::format("const i64 named = {};", s.load(batches, at[0])));
  s.line(s.check_index("named", count));
  s.line(fmt::format("const I batch = named < 0 ? 0 : named >= {0} ? {0} - 1 : (I)named;", count));
  for (int c = 0; c < 4; ++c)
    s.line(fmt::format("const R corner{} = (R){} * (R){} - {};", c, s.load(rois, fmt::format("({}) * 4 + {}", at[0], c)),
                       literal(b.attrs().real("spatial_scale", 1)), half_pixel ? "0.5" : "0.0"));
  s.line("R w = corner2 - corner0, h = corner3 - corner1;");
  if (!half_pixel) s.line("w = w < 1 ? 1 : w; h = h < 1 ? 1 : h;");
  s.line(fmt::format("const R ch = h / {}, cw = w / {};", s.number(y.dims[2]), s.number(y.dims[3])));
  const auto samples = [&](const char* size) {
    return ratio > 0 ? std::to_string(ratio) : fmt::format("({0} > 0 ? (int)ceil({0} < 4096 ? {0} : 4096.0) : 0)", size);
  };
  s.line(fmt::format("const int down = {}, across = {};", samples("ch"), samples("cw")));
  s.line(fmt::format("const I base = (batch * {} + {}) * {} * {};", s.number(x.dims[1]), at[1], height, width));
  s.line("R sum = 0, best = 0; bool any = false;");
  s.line("for (int m = 0; m < down; ++m) {");
  s.line(fmt::format("const Sample v = sample_at(corner1 + (R)({}) * ch + ((R)m + 0.5) * ch / down, {});", at[2], height));
  s.line("for (int q = 0; q < across; ++q) {");
  s.line(fmt::format("const Sample u = sample_at(corner0 + (R)({}) * cw + ((R)q + 0.5) * cw / across, {});", at[3], width));
  const auto corner = [&](const char* row, const char* column, const char* weight) {
    return fmt::format("({}) * (R){}", weight, s.load(x, fmt::format("base + {} * {} + {}", row, width, column)));
  };
  s.line(fmt::format("const R e0 = {}, e1 = {}, e2 = {}, e3 = {};", corner("v.low", "u.low", "v.a * u.a"),
                     corner("v.low", "u.high", "v.a * u.b"), corner("v.high", "u.low", "v.b * u.a"),
                     corner("v.high", "u.high", "v.b * u.b")));
  s.line("sum += e0 + e1 + e2 + e3;");
  s.line("const R most_of_four = fmax(fmax(e0, e1), fmax(e2, e3)); best = any ? fmax(best, most_of_four) : most_of_four; any = true;");
  s.line("}}");
  s.store(y, "i", maximum ? "best" : "sum / (down * across > 0 ? down * across : 1)");
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_max_unpool(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  const Operand y = b.output(0);
  Source clear;
  clear.store(y, "i", "0");
  CAMEO_TRY(clear.launch_elements(b, y.dims.num_elements()));
  // Indices count the elements of the shape that the pooled tensor had, which an output_shape may widen.
  const ops::WindowAttrs attrs = window_attrs(b);
  CAMEO_ASSIGN(const ops::Window w, ops::make_window(attrs, x.dims.rank() - 2));
  Dims pooled{x.dims[0], x.dims[1]};
  for (size_t a = 0; a < w.rank; ++a)
    pooled.push_back((x.dims[a + 2] - 1) * w.axes[a].stride - w.axes[a].begin - w.axes[a].end + w.axes[a].kernel);
  if (pooled.num_elements() == 0) return {};
  Source s;
  s.line(fmt::format("const i64 index = {};", s.load(indices, "i")));
  s.line(s.check_index("index", s.number(pooled.num_elements())));
  s.line(fmt::format("if (index < 0 || index >= {}) return;", s.number(pooled.num_elements())));
  s.line("const I from = (I)index;");
  const auto at = s.unravel("from", pooled);
  s.line(fmt::format("const I to = {};", s.offset(at, dense_strides(y.dims))));
  s.store(y, "to", s.load(x, "i"));
  return s.launch_elements(b, x.dims.num_elements());
}

// What lies over an element of the image: for each tap of the block the window position that has it there.
Status make_col2im(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(const std::vector<int64_t> block, b.ints(2));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const size_t rank = block.size();
  const std::vector<int64_t> strides = b.attrs().integers("strides"), pads = b.attrs().integers("pads"),
                             dilations = b.attrs().integers("dilations");
  Source s;
  s.declare(fmt::format("typedef {} C;", compute_type(b.in_type(0))));
  const auto at = s.unravel("i", y.dims);
  s.line("C sum = 0;");
  s.line(fmt::format("I row = ({}) * {} + {};", at[0], s.number(y.dims[1]), at[1]));
  std::string tap = "row", position = "0";
  for (size_t a = 0; a < rank; ++a) {
    const int64_t stride = strides.empty() ? 1 : strides[a], dilation = dilations.empty() ? 1 : dilations[a],
                  before = pads.empty() ? 0 : pads[a], after = pads.empty() ? 0 : pads[rank + a];
    const int64_t places = (y.dims[a + 2] + before + after - 1 - dilation * (block[a] - 1)) / stride + 1;
    s.line(fmt::format("for (I k{0} = 0; k{0} < {1}; ++k{0}) {{", a, s.number(block[a])));
    s.line(fmt::format("const I m{0} = ({1}) + {2} - k{0} * {3}; if (m{0} < 0 || m{0} % {4} != 0) continue;", a, at[a + 2],
                       s.number(before), s.number(dilation), s.number(stride)));
    s.line(fmt::format("const I p{0} = m{0} / {1}; if (p{0} >= {2}) continue;", a, s.number(stride), s.number(places)));
    tap = fmt::format("({}) * {} + k{}", tap, s.number(block[a]), a);
    position = fmt::format("({}) * {} + p{}", position, s.number(places), a);
  }
  s.line(fmt::format("sum += (C){};", s.load(x, fmt::format("({}) * {} + {}", tap, s.number(x.dims[2]), position))));
  s.line(std::string(rank, '}'));
  s.store(y, "i", "sum");
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_deform_conv(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand w, b.input(1));
  CAMEO_ASSIGN(Operand offsets, b.input(2));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  ops::WindowAttrs attrs = window_attrs(b);
  attrs.kernel_shape.assign(w.dims.begin() + 2, w.dims.end());
  CAMEO_ASSIGN(const ops::Window window, ops::make_window(attrs, x.dims, y.dims));
  const size_t rank = window.rank;
  const int64_t group = b.attrs().integer("group", 1), fields = b.attrs().integer("offset_group", 1), in_channels = w.dims[1],
                out_channels = w.dims[0] / group, taps = product(w.dims, 2, w.dims.rank()), size = product(y.dims, 2, y.dims.rank());
  Source s;
  s.declare("typedef " + real_of(b) + " C;");
  const auto at = s.unravel("i", y.dims);
  Dims spatial;
  for (size_t a = 0; a < rank; ++a) spatial.push_back(y.dims[a + 2]);
  s.line(fmt::format("const I m = {}, o = {};", at[1], s.offset(std::span(at).subspan(2), dense_strides(spatial))));
  s.line(fmt::format("const I first = m / {} * {};", s.number(out_channels), s.number(in_channels)));
  std::string bias = "(C)0";
  if (b.has_input(3)) {
    CAMEO_ASSIGN(Operand o, b.input(3));
    bias = s.load(o, "m");
  }
  s.line(fmt::format("C sum = {};", bias));
  s.line(fmt::format("for (I k = 0; k < {}; ++k) {{", s.number(in_channels)));
  s.line(fmt::format("const I channel = first + k, field = ({}) * {} + channel / {};", at[0], s.number(fields),
                     s.number(std::max<int64_t>(1, x.dims[1] / fields))));
  s.line(
      fmt::format("const I plane = (({}) * {} + channel) * {};", at[0], s.number(x.dims[1]), s.number(product(x.dims, 2, x.dims.rank()))));
  s.line("I tap = 0;");
  for (size_t a = 0; a < rank; ++a) s.line(fmt::format("for (I k{0} = 0; k{0} < {1}; ++k{0}) {{", a, s.number(window.axes[a].kernel)));
  s.line(fmt::format("const I own = field * {} + tap++;", s.number(taps)));
  s.line("bool inside = true;");
  for (size_t a = 0; a < rank; ++a) {
    const ops::WindowAxis& axis = window.axes[a];
    s.line(fmt::format(
        "const C p{0} = (C)(({1}) * {2} - {3} + k{0} * {4}) + {5}; const I low{0} = (I)floor(p{0}); const C f{0} = p{0} - (C)low{0};", a,
        at[a + 2], s.number(axis.stride), s.number(axis.begin), s.number(axis.dilation),
        s.load(offsets, fmt::format("(own * {} + {}) * {} + o", rank, a, s.number(size)))));
    s.line(fmt::format("inside = inside && p{0} > (C)-1 && p{0} < (C){1};", a, s.number(x.dims[a + 2])));
  }
  s.line("if (!inside) continue;");
  s.line("C value = 0;");
  s.line(fmt::format("for (int corner = 0; corner < {}; ++corner) {{ C weight = 1; I to = 0; bool there = true;", 1 << rank));
  for (size_t a = 0; a < rank; ++a)
    s.line(fmt::format(
        "{{ const int high = corner >> {0} & 1; const I j = low{0} + high; weight *= high ? f{0} : (C)1 - f{0}; there = there && j >= 0 && "
        "j < {1}; to = to * {1} + j; }}",
        a, s.number(x.dims[a + 2])));
  s.line(fmt::format("if (there && weight != (C)0) value += weight * (C){}; }}", s.load(x, "plane + to")));
  if (b.has_input(4)) {
    CAMEO_ASSIGN(Operand mask, b.input(4));
    s.line(fmt::format("value *= (C){};", s.load(mask, fmt::format("own * {} + o", s.number(size)))));
  }
  s.line(
      fmt::format("sum += value * (C){};", s.load(w, fmt::format("(m * {} + k) * {} + tap - 1", s.number(in_channels), s.number(taps)))));
  s.line(std::string(rank + 1, '}'));
  s.store(y, "i", "sum");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> region_ops() {
  return {
      {"RoiAlign", "", make_roi_align},
      {"MaxUnpool", "", make_max_unpool, 0b100},
      {"Col2Im", "", make_col2im, 0b110},
      {"DeformConv", "", make_deform_conv},
  };
}

}  // namespace cameo::cuda
