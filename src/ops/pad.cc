// Pad (ai.onnx 1, 2, 11, 13, 18, 19, 21, 23, 24, 25): adds elements before and after each axis; negative amounts remove
// some instead, before anything is added. Modes: constant, reflect (mirrored without repeating the edge), edge, and from
// version 19 wrap. The amounts are an attribute before version 11 (in 1 named paddings), then an input; axes from 18 on.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct PadAttrs : ir::AttrsOf<PadAttrs> {
  std::string mode = "constant";
  std::vector<int64_t> paddings, pads;
  float value = 0;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("paddings", paddings);
    v("pads", pads);
    v("value", value);
  }
};

Status check_axes(size_t num_pads, size_t num_axes) {
  if (num_pads == 2 * num_axes) return {};
  return error(ErrorCode::kInvalidModel, "pads has {} entries, but {} axes need {}", num_pads, num_axes, 2 * num_axes);
}

Result<ir::Dim> padded(const ir::Dim& extent, const ir::Dim& before, const ir::Dim& after) {
  const ir::Dim sum = extent + before + after;
  if (extent.is_const() && before.is_const() && after.is_const() && (sum.is_unknown() || sum.value() < 0))
    return error(ErrorCode::kInvalidInput, "an extent of {} cannot be padded by {} and {}", extent.value(), before.value(), after.value());
  // Removing more than there is on both sides together is an error of its own even if the other side adds some.
  if (extent.is_const() && before.is_const() && after.is_const() &&
      extent.value() + std::min<int64_t>(before.value(), 0) + std::min<int64_t>(after.value(), 0) < 0)
    return error(ErrorCode::kInvalidInput, "an extent of {} is too small for the negative pads {} and {}", extent.value(), before.value(),
                 after.value());
  return sum;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<PadAttrs>();
  if (attrs.mode != "constant" && attrs.mode != "reflect" && attrs.mode != "edge" && (attrs.mode != "wrap" || c.version() < 19))
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: constant, reflect, edge, wrap (from version 19)", attrs.mode);
  std::optional<ir::Shape> pads;
  std::optional<std::vector<int64_t>> axes;
  if (c.version() < 11) {
    const auto& list = c.version() == 1 ? attrs.paddings : attrs.pads;
    pads.emplace(list.begin(), list.end());
  } else {
    if (!c.has_input(1)) return error(ErrorCode::kInvalidModel, "lacks its input 1, the pads");
    if (c.has_input(2)) CAMEO_TRY(check_same_dtype(c, {0, 2}));
    if (c.constant(2) != nullptr && c.constant(2)->num_elements() != 1)
      return error(ErrorCode::kInvalidInput, "constant_value must have one element, its shape is {}", c.constant(2)->dims().to_string());
    CAMEO_TRY(check_rank(c, 1, 1, "pads"));
    if (const int64_t n = list_length(c, 1).value_or(0); n > static_cast<int64_t>(2 * kMaxRank))
      return error(ErrorCode::kUnsupported, "pads has {} entries; at most {} are supported", n, 2 * kMaxRank);
    pads = c.values(1);
    if (c.has_input(3)) axes = c.ints(3);
  }
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  ir::Shape out = *c.shape(0);
  if (!pads || (c.has_input(3) && !axes)) {
    if (axes) {
      CAMEO_ASSIGN(const auto padded_axes, normalize_axes(*axes, out.size()));
      for (size_t axis : padded_axes) out[axis] = ir::Dim::unknown();
    } else {
      out.assign(out.size(), ir::Dim::unknown());
    }
    c.set_output(0, c.dtype(0), std::move(out));
    return {};
  }
  if (!axes) {
    axes.emplace(out.size());
    for (size_t i = 0; i < out.size(); ++i) (*axes)[i] = static_cast<int64_t>(i);
  }
  CAMEO_TRY(check_axes(pads->size(), axes->size()));
  CAMEO_ASSIGN(const auto normal, normalize_axes(*axes, out.size()));
  for (size_t k = 0; k < normal.size(); ++k) {
    ir::Dim& d = out[normal[k]];
    CAMEO_ASSIGN(d, padded(d, (*pads)[k], (*pads)[normal.size() + k]));
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

// One axis: `count` elements from `first` on stay; the output begins `before` elements earlier.
struct Window {
  int64_t before = 0, first = 0, count = 0;
};

Status windows_of(KernelContext& c, std::span<Window> windows) {
  const auto& attrs = c.attrs<PadAttrs>();
  const Tensor& x = c.input(0);
  for (size_t i = 0; i < x.rank(); ++i) windows[i] = {0, 0, x.dim(i)};
  const auto& list = c.version() == 1 ? attrs.paddings : attrs.pads;
  const int64_t* pads = c.version() < 11 ? list.data() : c.input(1).data<int64_t>();
  const size_t num_pads = c.version() < 11 ? list.size() : static_cast<size_t>(c.input(1).num_elements());
  const Tensor* axes = c.version() >= 18 && c.has_input(3) ? &c.input(3) : nullptr;
  const size_t n = axes != nullptr ? static_cast<size_t>(axes->num_elements()) : x.rank();
  CAMEO_TRY(check_axes(num_pads, n));
  for (size_t k = 0; k < n; ++k) {
    size_t axis = k;
    if (axes != nullptr) {
      CAMEO_ASSIGN(axis,
                   normalize_axis(axes->dtype() == DType::kInt64 ? axes->data<int64_t>()[k] : axes->data<int32_t>()[k], x.rank(), "axes"));
    }
    const int64_t cut = std::max<int64_t>(-pads[k], 0), cut_after = std::max<int64_t>(-pads[n + k], 0);
    windows[axis] = {std::max<int64_t>(pads[k], 0), cut, x.dim(axis) - cut - cut_after};
  }
  return {};
}

// Where element i of the output comes from, relative to the window; only for windows with elements.
int64_t source(const std::string& mode, int64_t i, int64_t count) {
  if (i >= 0 && i < count) return i;
  if (mode == "edge" || count == 1) return i < 0 ? 0 : count - 1;
  const int64_t period = mode == "wrap" ? count : 2 * (count - 1);
  int64_t at = i % period;
  if (at < 0) at += period;
  return at < count ? at : period - at;
}

// Copies by tables that give each axis's source offsets.
template <class T>
T* copy_by_table(const Dims& dims, size_t axis, const int64_t* const* tables, const T* from, T* to) {
  const int64_t n = dims[axis];
  if (axis + 1 == dims.rank()) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[tables[axis][i]];
    return to + n;
  }
  for (int64_t i = 0; i < n; ++i) to = copy_by_table(dims, axis + 1, tables, from + tables[axis][i], to);
  return to;
}

Status pad_constant(KernelContext& c, std::span<const Window> windows) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const Dims from = strides_of(x.dims()), to = strides_of(y.dims());
  Dims kept(x.rank(), 0);
  int64_t read = 0, written = 0;
  for (size_t i = 0; i < x.rank(); ++i) {
    kept[i] = windows[i].count;
    read += windows[i].first * from[i];
    written += windows[i].before * to[i];
  }
  if (!(kept == y.dims())) {
    CAMEO_TRY(dispatch_storage(y.dtype(), "Pad", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      T value{};
      if (c.version() >= 11 && c.has_input(2)) {
        if (c.input(2).num_elements() != 1)
          return error(ErrorCode::kInvalidInput, "constant_value must have one element, its shape is {}", c.input(2).dims().to_string());
        value = c.input(2).data<T>()[0];
      }
      std::fill_n(y.data<T>(), y.num_elements(), value);
      return {};
    }));
    if (c.version() < 11)
      CAMEO_TRY(dispatch_floats(y.dtype(), "Pad", [&](auto tag) -> Status {
        using T = typename decltype(tag)::type;
        std::fill_n(y.data<T>(), y.num_elements(), static_cast<T>(c.attrs<PadAttrs>().value));
        return {};
      }));
  }
  if (kept.num_elements() > 0) copy_strided(x.dtype(), kept, address(x, read), from, address(y, written), to);
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const auto& mode = c.attrs<PadAttrs>().mode;
  const auto windows = c.scratch<Window>(static_cast<int64_t>(x.rank()));
  CAMEO_TRY(windows_of(c, windows));
  if (mode == "constant") return pad_constant(c, windows);
  if (y.num_elements() == 0) return {};
  if (x.rank() == 0) return copy_input(c);
  const Dims strides = strides_of(x.dims());
  const auto tables = c.scratch<int64_t*>(static_cast<int64_t>(x.rank()));
  for (size_t i = 0; i < x.rank(); ++i) {
    const Window& w = windows[i];
    if (w.count == 0) return error(ErrorCode::kInvalidInput, "axis {} has no element that mode {} could repeat", i, mode);
    tables[i] = c.scratch<int64_t>(y.dim(i)).data();
    for (int64_t k = 0; k < y.dim(i); ++k) tables[i][k] = (w.first + source(mode, k - w.before, w.count)) * strides[i];
  }
  return dispatch_storage(y.dtype(), "Pad", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    copy_by_table(y.dims(), 0, tables.data(), static_cast<const T*>(x.data<T>()), y.data<T>());
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Pad) = {
    .name = "Pad",
    .max_inputs = 4,
    .input_types = {kAllTypes, {DType::kInt64}, kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<PadAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
