// Operators that read or write elements at indices from a tensor. An index out of range is reported; reads then take the nearest
// element, writes are left out.
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

// Lines for an index from a tensor, counted from the end where negative, kept in [0, extent).
std::string bounded_index(Source& s, const std::string& value, int64_t extent) {
  const std::string name = s.name("j"), named = s.name("named"), d = s.number(extent);
  s.line(fmt::format("const i64 {0} = {1}; i64 {2} = {0} < 0 ? {0} + {3} : {0};", named, value, name, d));
  s.line(s.check_index(name, d, named));
  s.line(fmt::format("{0} = {0} < 0 ? 0 : {0} >= {1} ? {1} - 1 : {0};", name, d));
  return "(I)" + name;
}

Status make_gather(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis"), x.dims.rank());
  const int64_t outer = product(x.dims, 0, axis), extent = x.dims[axis], inner = product(x.dims, axis + 1, x.dims.rank()),
                count = indices.dims.num_elements();
  if (y.dims.num_elements() == 0) return {};
  if (extent == 0) return error(ErrorCode::kInvalidInput, "there is nothing to gather along axis {}", axis);
  // Several neighbours at once where whole rows are read.
  int width = static_cast<int>(16 / std::max(dtype_size(x.dtype), dtype_size(y.dtype)));
  while (width > 1 && inner % width != 0) width /= 2;
  Source s;
  const auto at = s.unravel("i", Dims{outer, count, inner / width});
  const std::string j = bounded_index(s, s.load(indices, at[1]), extent);
  const std::string from = fmt::format("((({}) * {} + {}) * {} + {})", at[0], s.number(extent), j, s.number(inner / width), at[2]);
  if (width == 1) {
    s.store(y, "i", s.load(x, from));
  } else {
    const std::string xt = fmt::format("Vec<{}, {}>", storage_type(x.dtype, x.narrowed), width),
                      yt = fmt::format("Vec<{}, {}>", storage_type(y.dtype, y.narrowed), width);
    s.line(fmt::format("const {0} from = ((const {0}*){1})[{2}];", xt, s.read(x), from));
    s.line(fmt::format("{} to;", yt));
    s.line(fmt::format("for (int u = 0; u < {}; ++u) put(to.v[u], get(from.v[u]));", width));
    s.line(fmt::format("(({}*){})[i] = to;", yt, s.write(y)));
  }
  return s.launch_elements(b, outer * count * (inner / width));
}

Status make_gather_elements(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis"), x.dims.rank());
  if (y.dims.num_elements() == 0) return {};
  if (x.dims.num_elements() == 0) return error(ErrorCode::kInvalidInput, "there is nothing to gather");
  Source s;
  auto at = s.unravel("i", y.dims);
  at[axis] = bounded_index(s, s.load(indices, "i"), x.dims[axis]);
  const std::string offset = s.offset(at, dense_strides(x.dims));
  s.store(y, "i", s.load(x, offset));
  return s.launch_elements(b, y.dims.num_elements());
}

// The offset in x of the slice that row `row` of the indices names; rows have `depth` numbers for the axes from `first` on.
std::string slice_offset(Source& s, const Operand& indices, const std::string& row, const Dims& x, size_t first, int64_t depth) {
  const Dims strides = dense_strides(x);
  const std::string name = s.name("o");
  s.line(fmt::format("I {} = 0;", name));
  for (int64_t k = 0; k < depth; ++k) {
    const size_t axis = first + static_cast<size_t>(k);
    const std::string j = bounded_index(s, s.load(indices, fmt::format("({}) * {} + {}", row, depth, k)), x[axis]);
    s.line(fmt::format("{} += {} * {};", name, j, s.number(strides[axis])));
  }
  return name;
}

Status make_gather_nd(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  const Operand y = b.output(0);
  const auto batch_dims = static_cast<size_t>(b.attrs().integer("batch_dims"));
  const int64_t depth = indices.dims.back(), batch = product(x.dims, 0, batch_dims);
  const int64_t slice = product(x.dims, batch_dims + static_cast<size_t>(depth), x.dims.rank());
  if (y.dims.num_elements() == 0) return {};
  if (x.dims.num_elements() == 0) return error(ErrorCode::kInvalidInput, "there is nothing to gather");
  const int64_t rows = indices.dims.num_elements() / std::max<int64_t>(1, depth) / std::max<int64_t>(1, batch);
  Source s;
  const auto at = s.unravel("i", Dims{batch, rows, slice});
  const std::string row = s.name("row");
  s.line(fmt::format("const I {} = ({}) * {} + {};", row, at[0], s.number(rows), at[1]));
  const std::string offset = slice_offset(s, indices, row, x.dims, batch_dims, depth);
  const int64_t step = product(x.dims, batch_dims, x.dims.rank());
  s.store(y, "i", s.load(x, fmt::format("({}) * {} + {} + {}", at[0], s.number(step), offset, at[2])));
  return s.launch_elements(b, y.dims.num_elements());
}

// The new value from the old one and an update.
std::string combine(const std::string& reduction, const std::string& type, const std::string& old, const std::string& update) {
  if (reduction == "add") return fmt::format("({})({} + {})", type, old, update);
  if (reduction == "mul") return fmt::format("({})({} * {})", type, old, update);
  if (reduction == "max") return fmt::format("most<{}>({}, {})", type, old, update);
  if (reduction == "min") return fmt::format("least<{}>({}, {})", type, old, update);
  return update;
}

// Whether of several updates of one element the last must win every time.
bool in_order() { return Tuning::current() && Tuning::current()->deterministic(); }

Status make_scatter_elements(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  CAMEO_ASSIGN(Operand updates, b.input(2));
  const Operand y = b.output(0);
  CAMEO_TRY(copy_elements(b, x, y));
  const size_t axis = axis_of(b.attrs().integer("axis"), x.dims.rank());
  const std::string reduction = b.attrs().text("reduction", "none"), type = compute_type(b.in_type(0));
  const int64_t length = indices.dims[axis];
  // A thread goes along the axis, so that updates of one element follow each other; without a reduction their order is free.
  const bool one_each = reduction == "none" && !in_order();
  Dims dims = indices.dims;
  if (!one_each) dims[axis] = 1;
  Source s;
  auto at = s.unravel("i", dims);
  const Dims index_strides = dense_strides(indices.dims), y_strides = dense_strides(y.dims);
  if (!one_each) s.line(fmt::format("for (I step = 0; step < {}; ++step) {{", s.number(length)));
  if (!one_each) at[axis] = "step";
  s.line(fmt::format("const I from = {};", s.offset(at, index_strides)));
  const std::string extent = s.number(y.dims[axis]);
  s.line(fmt::format("const i64 named = {}, wide = named < 0 ? named + {} : named;", s.load(indices, "from"), extent));
  s.line(s.check_index("wide", extent, "named"));
  s.line(fmt::format("const I j = wide < {} ? (I)wide : -1;", extent));
  at[axis] = "j";
  const std::string offset = s.offset(at, y_strides);
  s.line(fmt::format("if (j >= 0 && j < {}) {{", extent));
  s.line(fmt::format("const I to = {};", offset));
  s.store(y, "to", combine(reduction, type, s.load(y, "to"), s.load(updates, "from")));
  s.line("}");
  if (!one_each) s.line("}");
  return s.launch_elements(b, dims.num_elements());
}

Status make_scatter_nd(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand indices, b.input(1));
  CAMEO_ASSIGN(Operand updates, b.input(2));
  const Operand y = b.output(0);
  CAMEO_TRY(copy_elements(b, x, y));
  if (updates.dims.num_elements() == 0) return {};
  const std::string reduction = b.attrs().text("reduction", "none"), type = compute_type(b.in_type(0));
  const int64_t depth = indices.dims.back(), slice = product(x.dims, static_cast<size_t>(depth), x.dims.rank()),
                rows = indices.dims.num_elements() / std::max<int64_t>(1, depth);
  const bool one_each = reduction == "none" && !in_order();
  const Dims strides = dense_strides(y.dims);
  Source s;
  if (one_each) {
    const auto at = s.unravel("i", Dims{rows, slice});
    s.line(fmt::format("const I row = {}, inner = {};", at[0], at[1]));
  } else {
    s.line(fmt::format("const I inner = i; for (I row = 0; row < {}; ++row) {{", s.number(rows)));
  }
  s.line("I to = inner; bool inside = true;");
  for (int64_t k = 0; k < depth; ++k) {
    const auto axis = static_cast<size_t>(k);
    const std::string extent = s.number(y.dims[axis]);
    s.line(fmt::format(
        "{{ const i64 named = {0}, j = named < 0 ? named + {1} : named; {2} inside = inside && j >= 0 && j < {1}; to += (I)j * {3}; }}",
        s.load(indices, fmt::format("row * {} + {}", depth, k)), extent, s.check_index("j", extent, "named"), s.number(strides[axis])));
  }
  s.line("if (inside) {");
  s.store(y, "to", combine(reduction, type, s.load(y, "to"), s.load(updates, fmt::format("row * {} + inner", s.number(slice)))));
  s.line("}");
  if (!one_each) s.line("}");
  return s.launch_elements(b, one_each ? rows * slice : slice);
}

Status make_one_hot(StepBuilder& b) {
  CAMEO_ASSIGN(Operand indices, b.input(0));
  CAMEO_ASSIGN(Operand values, b.input(2));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis", -1), y.dims.rank());
  const int64_t depth = y.dims[axis], inner = product(y.dims, axis + 1, y.dims.rank()), outer = product(y.dims, 0, axis);
  Source s;
  const auto at = s.unravel("i", Dims{outer, depth, inner});
  s.line(fmt::format("i64 j = Cut<i64>::of((double){});", s.load(indices, fmt::format("({}) * {} + {}", at[0], s.number(inner), at[2]))));
  s.line(fmt::format("j = j < 0 ? j + {} : j;", s.number(depth)));
  s.store(y, "i", fmt::format("j == ({}) ? {} : {}", at[1], s.load(values, "1"), s.load(values, "0")));
  return s.launch_elements(b, y.dims.num_elements());
}

// Rows of `update` put into a copy of the cache at write_indices, along an axis.
Status make_tensor_scatter(StepBuilder& b) {
  CAMEO_ASSIGN(Operand past, b.input(0));
  CAMEO_ASSIGN(Operand update, b.input(1));
  const Operand y = b.output(0);
  CAMEO_TRY(copy_elements(b, past, y));
  const size_t axis = axis_of(b.attrs().integer("axis", -2), past.dims.rank());
  Source s;
  auto at = s.unravel("i", update.dims);
  std::string first = "0";
  if (b.has_input(2)) {
    CAMEO_ASSIGN(Operand starts, b.input(2));
    first = "(I)" + s.load(starts, at[0]);
  }
  const std::string extent = s.number(past.dims[axis]);
  s.line(fmt::format("I j = {} + {};", first, at[axis]));
  if (b.attrs().text("mode", "linear") == "circular") s.line(fmt::format("j %= {0}; if (j < 0) j += {0};", extent));
  at[axis] = "j";
  const std::string offset = s.offset(at, dense_strides(y.dims));
  s.line(s.check_index("j", extent));
  s.line(fmt::format("if (j >= 0 && j < {}) put({}[{}], {});", extent, s.write(y), offset, s.load(update, "i")));
  return s.launch_elements(b, update.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> gather_ops() {
  return {
      {"Gather", "", make_gather},
      {"GatherElements", "", make_gather_elements},
      {"GatherND", "", make_gather_nd},
      {"ScatterElements", "", make_scatter_elements},
      {"Scatter", "", make_scatter_elements},
      {"ScatterND", "", make_scatter_nd},
      {"OneHot", "", make_one_hot},
      {"TensorScatter", "", make_tensor_scatter},
  };
}

}  // namespace cameo::cuda
