// Operators that put elements elsewhere: each is a strided copy, or a few.
#include <algorithm>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

constexpr int kTile = 32;

// [batch, rows, columns] -> [batch, columns, rows] through shared memory, so that both sides are read and written in order.
Status transpose_tiled(StepBuilder& b, const Operand& from, const Operand& to, int64_t batch, int64_t rows, int64_t columns) {
  Source s;
  const int64_t row_tiles = (rows + kTile - 1) / kTile, column_tiles = (columns + kTile - 1) / kTile;
  const std::string type = storage_type(from.dtype, from.narrowed), r = s.number(rows), c = s.number(columns), x = s.read(from),
                    y = s.write(to);
  const auto at = s.unravel("block", Dims{batch, row_tiles, column_tiles});
  s.line(fmt::format("__shared__ {} tile[{}][{}];", type, kTile, kTile + 1));
  s.line(fmt::format("const I row0 = ({}) * {}, column0 = ({}) * {}, base = ({}) * {} * {};", at[1], kTile, at[2], kTile, at[0], r, c));
  s.line(fmt::format("const int tx = t % {}, ty = t / {};", kTile, kTile));
  s.line(fmt::format(
      "for (int k = ty; k < {}; k += 8) if (row0 + k < {} && column0 + tx < {}) tile[k][tx] = {}[base + (row0 + k) * {} + column0 + tx];",
      kTile, r, c, x, c));
  s.line("__syncthreads();");
  s.line(
      fmt::format("for (int k = ty; k < {}; k += 8) if (column0 + k < {} && row0 + tx < {}) put({}[base + (column0 + k) * {} + row0 + tx], "
                  "get(tile[tx][k]));",
                  kTile, c, r, y, r));
  return s.launch_blocks(b, batch * row_tiles * column_tiles, 256);
}

Status make_transpose(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const size_t rank = x.dims.rank();
  std::vector<int64_t> perm = b.attrs().integers("perm");
  if (perm.empty())
    for (size_t i = rank; i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  return transpose(b, x, b.output(0), perm);
}

Status make_slice(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  std::vector<int64_t> starts, axes, steps;
  if (b.version() < 10) {
    starts = b.attrs().integers("starts");
    axes = b.attrs().integers("axes");
  } else {
    CAMEO_ASSIGN(starts, b.ints(1));
    if (b.has_input(3)) {
      CAMEO_ASSIGN(axes, b.ints(3));
    }
    if (b.has_input(4)) {
      CAMEO_ASSIGN(steps, b.ints(4));
    }
  }
  Strided from = dense(x);
  for (size_t k = 0; k < starts.size(); ++k) {
    const size_t axis = axes.empty() ? k : axis_of(axes[k], x.dims.rank());
    const int64_t step = steps.empty() ? 1 : steps[k], extent = x.dims[axis];
    if (axis >= x.dims.rank() || step == 0) return error(ErrorCode::kInvalidInput, "the slice does not fit its input");
    int64_t start = starts[k] < 0 ? starts[k] + extent : starts[k];
    start = std::clamp<int64_t>(start, 0, step > 0 ? extent : extent - 1);
    from.offset += start * from.strides[axis];
    from.strides[axis] *= step;
  }
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  // What the extents promise must lie inside.
  int64_t low = from.offset, high = from.offset;
  for (size_t i = 0; i < y.dims.rank(); ++i) (from.strides[i] < 0 ? low : high) += (y.dims[i] - 1) * from.strides[i];
  if (low < 0 || high >= x.dims.num_elements()) return error(ErrorCode::kInvalidInput, "the slice does not fit its input");
  return copy_strided(b, y.dims, from, dense(y));
}

Status make_concat(StepBuilder& b) {
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis", b.version() < 4 ? 1 : 0), y.dims.rank());
  int64_t first = 0;
  for (size_t i = 0; i < b.num_inputs(); ++i) {
    CAMEO_ASSIGN(Operand x, b.input(i));
    Strided to = dense(y);
    to.offset = first * to.strides[axis];
    first += x.dims[axis];
    CAMEO_TRY(copy_strided(b, x.dims, dense(x), to));
  }
  return {};
}

Status make_split(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const size_t axis = axis_of(b.attrs().integer("axis"), x.dims.rank());
  int64_t first = 0;
  for (size_t i = 0; i < b.num_outputs(); ++i) {
    if (!b.has_output(i)) return error(ErrorCode::kUnsupported, "Split with an output left out");
    const Operand y = b.output(i);
    Strided from = dense(x);
    from.offset = first * from.strides[axis];
    first += y.dims[axis];
    CAMEO_TRY(copy_strided(b, y.dims, from, dense(y)));
  }
  return {};
}

Status make_expand(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  return copy_strided(b, y.dims, broadcast(x, y.dims), dense(y));
}

Status make_tile(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  Dims dims;
  Strided from{x, {}, 0};
  const Dims strides = dense_strides(x.dims);
  for (size_t i = 0; i < x.dims.rank(); ++i) {
    dims.push_back(x.dims[i] == 0 ? 0 : y.dims[i] / x.dims[i]);
    from.strides.push_back(0);
    dims.push_back(x.dims[i]);
    from.strides.push_back(strides[i]);
  }
  return copy_strided(b, dims, from, dense(y.seen_as(dims)));
}

// [N, C, H, W] in both; `perm` is of the six axes that the block's are taken apart to.
Status make_depth_to_space(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const int64_t n = x.dims[0], c = x.dims[1], h = x.dims[2], w = x.dims[3], s = b.attrs().integer("blocksize", 1);
  if (b.attrs().text("mode", "DCR") == "CRD")
    return transpose(b, x.seen_as(Dims{n, c / (s * s), s, s, h, w}), b.output(0), {0, 1, 4, 2, 5, 3});
  return transpose(b, x.seen_as(Dims{n, s, s, c / (s * s), h, w}), b.output(0), {0, 3, 4, 1, 5, 2});
}
Status make_space_to_depth(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const int64_t n = x.dims[0], c = x.dims[1], h = x.dims[2], w = x.dims[3], s = b.attrs().integer("blocksize", 1);
  const Operand from = x.seen_as(Dims{n, c, h / s, s, w / s, s});
  if (b.attrs().text("mode", "DCR") == "CRD") return transpose(b, from, b.output(0), {0, 1, 3, 5, 2, 4});
  return transpose(b, from, b.output(0), {0, 3, 5, 1, 2, 4});
}

Status make_pad(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const size_t rank = x.dims.rank();
  std::vector<int64_t> pads, axes;
  if (b.version() < 11) {
    pads = b.attrs().integers(b.version() < 2 ? "paddings" : "pads");
  } else {
    CAMEO_ASSIGN(pads, b.ints(1));
    if (b.has_input(3)) {
      CAMEO_ASSIGN(axes, b.ints(3));
    }
  }
  Dims begin(rank, 0);
  const size_t count = axes.empty() ? rank : axes.size();
  if (pads.size() != 2 * count) return error(ErrorCode::kInvalidInput, "Pad has {} paddings for {} axes", pads.size(), count);
  for (size_t k = 0; k < count; ++k) begin[axes.empty() ? k : axis_of(axes[k], rank)] = pads[k];
  std::string value = literal_of(b.in_type(0), b.version() < 11 ? b.attrs().real("value") : 0);
  Source s;
  if (b.version() >= 11 && b.has_input(2)) {
    CAMEO_ASSIGN(Operand v, b.input(2));
    value = s.load(v, "0");
  }
  return pad(b, s, x, b.output(0), begin, b.attrs().text("mode", "constant"), value);
}

Status make_center_crop_pad(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  Dims begin(x.dims.rank(), 0);
  for (size_t i = 0; i < x.dims.rank(); ++i) {
    const int64_t more = y.dims[i] - x.dims[i];
    begin[i] = more >= 0 ? more / 2 : -((-more) / 2);
  }
  Source s;
  return pad(b, s, x, y, begin, "constant", literal_of(b.in_type(0), 0));
}

Status make_trilu(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  Source s;
  std::string k = "0";
  if (b.has_input(1)) {
    CAMEO_ASSIGN(Operand o, b.input(1));
    k = s.load(o, "0");
  }
  const auto at = s.unravel("i", y.dims);
  const std::string &row = at[at.size() - 2], &column = at[at.size() - 1];
  const bool upper = b.attrs().integer("upper", 1) != 0;
  s.line(fmt::format("const bool kept = (i64)({}) - (i64)({}) {} (i64)({});", column, row, upper ? ">=" : "<=", k));
  s.store(y, "i", fmt::format("kept ? {} : {}", s.load(x, "i"), literal_of(b.in_type(0), 0)));
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_reverse_sequence(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand lengths, b.input(1));
  const Operand y = b.output(0);
  const size_t batch = axis_of(b.attrs().integer("batch_axis", 1), x.dims.rank()),
               time = axis_of(b.attrs().integer("time_axis", 0), x.dims.rank());
  Source s;
  auto at = s.unravel("i", y.dims);
  s.line(fmt::format("const i64 length = {};", s.load(lengths, at[batch])));
  s.line(fmt::format("const I time = {};", at[time]));
  s.line("const I source = time < length ? (I)(length - 1 - time) : time;");
  s.line(fmt::format("const I bounded = source < 0 || source >= {} ? time : source;", s.number(x.dims[time])));
  at[time] = "bounded";
  const std::string offset = s.offset(at, dense_strides(x.dims));
  s.store(y, "i", s.load(x, offset));
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

Status transpose(StepBuilder& b, const Operand& x, const Operand& y, const std::vector<int64_t>& perm) {
  const Dims strides = dense_strides(x.dims);
  Dims dims;
  Strided from{x, {}, 0};
  for (int64_t axis : perm) {
    dims.push_back(x.dims[static_cast<size_t>(axis)]);
    from.strides.push_back(strides[static_cast<size_t>(axis)]);
  }
  // The axes with extents above 1, neighbours that stay together taken as one.
  std::vector<std::pair<int64_t, int64_t>> order;  // extent, stride in x
  for (size_t i = 0; i < dims.rank(); ++i) {
    if (dims[i] == 1) continue;
    if (!order.empty() && order.back().second == from.strides[i] * dims[i])
      order.back() = {order.back().first * dims[i], from.strides[i]};
    else
      order.emplace_back(dims[i], from.strides[i]);
  }
  const size_t n = order.size();
  if ((n == 2 || n == 3) && order[n - 2].second == 1 && order[n - 1].second == order[n - 2].first &&
      (n == 2 || order[0].second == order[1].first * order[2].first)) {
    const int64_t batch = n == 3 ? order[0].first : 1, columns = order[n - 2].first, rows = order[n - 1].first;
    if (rows >= 8 && columns >= 8) return transpose_tiled(b, x, y, batch, rows, columns);
  }
  return copy_strided(b, dims, from, dense(y.seen_as(dims)));
}

Status pad(StepBuilder& b, Source& s, const Operand& x, const Operand& y, const Dims& begin, const std::string& mode,
           const std::string& value) {
  const size_t rank = x.dims.rank();
  const auto at = s.unravel("i", y.dims);
  std::vector<std::string> source(rank);
  std::string inside = "true";
  for (size_t a = 0; a < rank; ++a) {
    const std::string name = s.name("s");
    const std::string extent = s.number(x.dims[a]);
    s.line(fmt::format("I {} = {} - {};", name, at[a], s.number(begin[a])));
    if (mode == "constant") {
      inside += fmt::format(" && {0} >= 0 && {0} < {1}", name, extent);
    } else if (mode == "edge") {
      s.line(fmt::format("{0} = {0} < 0 ? 0 : {0} >= {1} ? {1} - 1 : {0};", name, extent));
    } else if (mode == "reflect") {
      s.line(fmt::format("if ({} == 1) {} = 0;", extent, name));
      s.line(fmt::format(
          "else {{ const I period = 2 * {1} - 2; {0} %= period; if ({0} < 0) {0} += period; if ({0} >= {1}) {0} = period - {0}; }}", name,
          extent));
    } else {
      s.line(fmt::format("{0} %= {1}; if ({0} < 0) {0} += {1};", name, extent));
    }
    source[a] = name;
  }
  if (x.dims.num_elements() == 0) inside = "false";
  const std::string offset = s.offset(source, dense_strides(x.dims));
  s.store(y, "i", fmt::format("{} ? {} : {}", inside, s.load(x, offset), value));
  return s.launch_elements(b, y.dims.num_elements());
}

std::vector<DeviceOp> layout_ops() {
  return {
      {"Transpose", "", make_transpose},
      {"Slice", "", make_slice, 0b11110},
      {"Concat", "", make_concat},
      {"Split", "", make_split},
      {"Expand", "", make_expand},
      {"Tile", "", make_tile},
      {"DepthToSpace", "", make_depth_to_space},
      {"SpaceToDepth", "", make_space_to_depth},
      {"Pad", "", make_pad, 0b1010},
      {"CenterCropPad", "", make_center_crop_pad},
      {"Trilu", "", make_trilu},
      {"ReverseSequence", "", make_reverse_sequence},
  };
}

}  // namespace cameo::cuda
