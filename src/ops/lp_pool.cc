// LpPool (ai.onnx 2, 11, 18, 22): (sum |x|^p)^(1/p) over each window; padding adds nothing. Version 18 adds ceil_mode and
// dilations, 22 bfloat16. Version 1, whose p is no integer, is not covered.
#include <cmath>

#include "ops/pool.h"

namespace cameo::ops {
namespace {

struct LpPoolAttrs : ir::AttrsOf<LpPoolAttrs>, WindowAttrs {
  int64_t p = 2;
  void visit(ir::AttrVisitor& v) override {
    visit_window(v);
    v("ceil_mode", ceil_mode);
    v("p", p);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<LpPoolAttrs>();
  if (attrs.p < 1) return error(ErrorCode::kInvalidModel, "p is {}; it must be at least 1", attrs.p);
  return infer_pool(c, attrs);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<LpPoolAttrs>();
  CAMEO_ASSIGN(const PoolGeometry g, PoolGeometry::make(attrs, c.input(0).dims(), c.output(0).dims()));
  if (c.output(0).num_elements() == 0) return {};
  return dispatch_floats(c.input(0).dtype(), "LpPool", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* x = c.input(0).data<T>();
    T* y = c.output(0).data<T>();
    C* sums = c.scratch<C>(g.out_row()).data();
    const C p = static_cast<C>(attrs.p);
    for (int64_t plane = 0; plane < g.planes; ++plane, x += g.in_size, y += g.out_size)
      pool_plane(
          g, [&] { std::fill_n(sums, g.out_row(), C{0}); },
          [&](int64_t o, int64_t i, int64_t n, int64_t step) {
            for (int64_t k = 0; k < n; ++k, i += step) {
              const C v = std::fabs(static_cast<C>(x[i]));
              sums[o + k] += attrs.p == 1 ? v : attrs.p == 2 ? v * v : std::pow(v, p);
            }
          },
          [&](int64_t first) {
            for (int64_t k = 0; k < g.out_row(); ++k)
              y[first + k] = static_cast<T>(attrs.p == 1 ? sums[k] : attrs.p == 2 ? std::sqrt(sums[k]) : std::pow(sums[k], 1 / p));
          });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(LpPool) = {
    .name = "LpPool",
    .min_version = 2,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<LpPoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
