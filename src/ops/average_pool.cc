// AveragePool (ai.onnx 1, 7, 10, 11, 19, 22): the mean of each window. Padding counts in the divisor only with
// count_include_pad (version 7); what ceil_mode (10) lets hang over the padding never does. 19 adds dilations, 22
// bfloat16. A window that holds no element at all gives 0.
#include "ops/pool.h"

namespace cameo::ops {
namespace {

struct AveragePoolAttrs : ir::AttrsOf<AveragePoolAttrs>, WindowAttrs {
  int64_t count_include_pad = 0;
  void visit(ir::AttrVisitor& v) override {
    visit_window(v);
    v("ceil_mode", ceil_mode);
    v("count_include_pad", count_include_pad);
  }
};

Status infer(InferContext& c) { return infer_pool(c, c.attrs<AveragePoolAttrs>()); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<AveragePoolAttrs>();
  CAMEO_ASSIGN(const PoolGeometry g, PoolGeometry::make(attrs, c.input(0).dims(), c.output(0).dims()));
  if (c.output(0).num_elements() == 0) return {};
  const size_t last = g.window.rank - 1;
  const bool padding = attrs.count_include_pad != 0;
  int64_t* columns = c.scratch<int64_t>(g.out_row()).data();  // counts along the last axis
  for (int64_t o = 0; o < g.out_row(); ++o) columns[o] = counted_taps(g.window.axes[last], o, g.in_row(), padding);
  return dispatch_floats(c.input(0).dtype(), "AveragePool", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* x = c.input(0).data<T>();
    T* y = c.output(0).data<T>();
    C* sums = c.scratch<C>(g.out_row()).data();
    for (int64_t plane = 0; plane < g.planes; ++plane, x += g.in_size, y += g.out_size)
      pool_plane(
          g, [&] { std::fill_n(sums, g.out_row(), C{0}); },
          [&](int64_t o, int64_t i, int64_t n, int64_t step) {
            for (int64_t k = 0; k < n; ++k, i += step) sums[o + k] += static_cast<C>(x[i]);
          },
          [&](int64_t first) {
            C rows = 1;
            int64_t rest = first / g.out_row();
            for (size_t a = last; a-- > 0; rest /= g.out[a])
              rows *= static_cast<C>(counted_taps(g.window.axes[a], rest % g.out[a], g.in[a], padding));
            for (int64_t k = 0; k < g.out_row(); ++k) {
              const C n = rows * static_cast<C>(columns[k]);
              y[first + k] = static_cast<T>(n == 0 ? C{0} : sums[k] / n);
            }
          });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(AveragePool) = {
    .name = "AveragePool",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AveragePoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
