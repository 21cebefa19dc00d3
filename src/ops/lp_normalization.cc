// LpNormalization (ai.onnx 1, 22): y = x / (sum |x|^p)^(1/p) along an axis, p = 1 or 2; 0 where the norm is 0. Version 22 adds
// bfloat16.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct LpNormalizationAttrs : ir::AttrsOf<LpNormalizationAttrs> {
  int64_t axis = -1, p = 2;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("p", p);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<LpNormalizationAttrs>();
  if (attrs.p != 1 && attrs.p != 2) return error(ErrorCode::kInvalidModel, "p is {}; allowed: 1, 2", attrs.p);
  if (c.shape(0)) CAMEO_TRY(normalize_axis(attrs.axis, c.shape(0)->size()));
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  const auto& attrs = c.attrs<LpNormalizationAttrs>();
  if (x.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, x.rank()));
  int64_t outer = 1, inner = 1;
  for (size_t a = 0; a < axis; ++a) outer *= x.dim(a);
  for (size_t a = axis + 1; a < x.rank(); ++a) inner *= x.dim(a);
  const int64_t length = x.dim(axis);
  return dispatch_floats(x.dtype(), "LpNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto norms = c.scratch<C>(inner);
    for (int64_t o = 0; o < outer; ++o) {
      const T* from = x.data<T>() + o * length * inner;
      T* to = c.output(0).data<T>() + o * length * inner;
      std::fill(norms.begin(), norms.end(), C{0});
      for (int64_t k = 0; k < length; ++k)
        for (int64_t i = 0; i < inner; ++i) {
          const C v = static_cast<C>(from[k * inner + i]);
          norms[i] += attrs.p == 1 ? std::fabs(v) : v * v;
        }
      if (attrs.p == 2)
        for (C& norm : norms) norm = std::sqrt(norm);
      for (int64_t k = 0; k < length; ++k)
        for (int64_t i = 0; i < inner; ++i)
          to[k * inner + i] = static_cast<T>(norms[i] == 0 ? C{0} : static_cast<C>(from[k * inner + i]) / norms[i]);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(LpNormalization) = {
    .name = "LpNormalization",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<LpNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
