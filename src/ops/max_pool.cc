// MaxPool (ai.onnx 1, 8, 10, 11, 12, 22): the largest element of each window, padding left out. Version 8 adds the
// output Indices, 10 ceil_mode and dilations, 12 int8 and uint8, 22 bfloat16. A NaN in a window wins.
// Indices count over the whole input; with storage_order 1 the spatial axes within a channel count column-major.
#include <cmath>
#include <limits>

#include "ops/pool.h"

namespace cameo::ops {
namespace {

struct MaxPoolAttrs : ir::AttrsOf<MaxPoolAttrs>, WindowAttrs {
  int64_t storage_order = 0;
  void visit(ir::AttrVisitor& v) override {
    visit_window(v);
    v("ceil_mode", ceil_mode);
    v("storage_order", storage_order);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<MaxPoolAttrs>();
  if (attrs.storage_order != 0 && attrs.storage_order != 1)
    return error(ErrorCode::kInvalidModel, "storage_order is {}; allowed: 0 (row-major), 1 (column-major)", attrs.storage_order);
  return infer_pool(c, attrs, true);
}

int64_t column_major(const PoolGeometry& g, int64_t index) {
  int64_t coordinate[Window::kMaxRank];
  for (size_t a = g.window.rank; a-- > 0; index /= g.in[a]) coordinate[a] = index % g.in[a];
  int64_t result = 0;
  for (size_t a = g.window.rank; a-- > 0;) result = result * g.in[a] + coordinate[a];
  return result;
}

template <class T>
void run(KernelContext& c, const PoolGeometry& g, bool columns) {
  using C = compute_t<T>;
  const T* x = c.input(0).data<T>();
  T* y = c.output(0).data<T>();
  int64_t* indices = c.has_output(1) ? c.output(1).data<int64_t>() : nullptr;
  C* best = c.scratch<C>(g.out_row()).data();
  int64_t* where = c.scratch<int64_t>(indices ? g.out_row() : 0).data();
  const C lowest = std::numeric_limits<C>::has_infinity
                       ? -std::numeric_limits<C>::infinity()
                       : static_cast<C>(std::numeric_limits<std::conditional_t<std::is_integral_v<T>, T, C>>::lowest());
  // Comparisons in this form let NaN replace a number, and keep it.
  const auto wins = [](C value, C than) { return !(value <= than) && than == than; };
  for (int64_t plane = 0; plane < g.planes; ++plane, x += g.in_size, y += g.out_size) {
    pool_plane(
        g,
        [&] {
          std::fill_n(best, g.out_row(), lowest);
          if (indices) std::fill_n(where, g.out_row(), int64_t{-1});
        },
        [&](int64_t o, int64_t i, int64_t n, int64_t step) {
          if (!indices) {
            if (step == 1)
              for (int64_t k = 0; k < n; ++k)
                best[o + k] = wins(static_cast<C>(x[i + k]), best[o + k]) ? static_cast<C>(x[i + k]) : best[o + k];
            else
              for (int64_t k = 0; k < n; ++k, i += step)
                best[o + k] = wins(static_cast<C>(x[i]), best[o + k]) ? static_cast<C>(x[i]) : best[o + k];
            return;
          }
          for (int64_t k = 0; k < n; ++k, i += step)
            if (where[o + k] < 0 || wins(static_cast<C>(x[i]), best[o + k])) {
              best[o + k] = static_cast<C>(x[i]);
              where[o + k] = i;
            }
        },
        [&](int64_t first) {
          for (int64_t k = 0; k < g.out_row(); ++k) y[first + k] = static_cast<T>(best[k]);
          if (indices)
            for (int64_t k = 0; k < g.out_row(); ++k)
              indices[plane * g.out_size + first + k] =
                  where[k] < 0 ? -1 : plane * g.in_size + (columns ? column_major(g, where[k]) : where[k]);
        });
  }
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<MaxPoolAttrs>();
  CAMEO_ASSIGN(const PoolGeometry g, PoolGeometry::make(attrs, c.input(0).dims(), c.output(0).dims()));
  if (c.output(0).num_elements() == 0) return {};
  return dispatch_numbers(c.input(0).dtype(), "MaxPool", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_integral_v<T> || sizeof(T) == 1) run<T>(c, g, attrs.storage_order != 0);
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(MaxPool) = {
    .name = "MaxPool",
    .max_outputs = 2,
    .input_types = {kFloatTypes | TypeSet{DType::kInt8, DType::kUint8}},
    .make_attrs = &ir::make_attrs<MaxPoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
