// LRN (ai.onnx 1, 13): y = x / (bias + alpha / size * s)^beta, where s is the sum of the squares of the `size` channels around,
// from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2), at the same place. Version 13 adds bfloat16.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/op.h"

namespace cameo::ops {
namespace {

struct LrnAttrs : ir::AttrsOf<LrnAttrs> {
  float alpha = 1e-4f, beta = 0.75f, bias = 1;
  int64_t size = 0;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("beta", beta);
    v("bias", bias);
    v("size", size);
  }
};

Status infer(InferContext& c) {
  const int64_t size = c.attrs<LrnAttrs>().size;
  if (size < 1) return error(ErrorCode::kInvalidModel, "size is {}; it must be at least 1", size);
  if (c.shape(0) && c.shape(0)->size() < 2)
    return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 2 or more", ir::to_string(*c.shape(0)));
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  const auto& attrs = c.attrs<LrnAttrs>();
  if (x.num_elements() == 0) return {};
  const int64_t channels = x.dim(1), inner = x.num_elements() / (x.dim(0) * channels);
  const int64_t size = attrs.size, reach = std::min(size, 2 * channels);  // channels further away are not there
  return dispatch_floats(x.dtype(), "LRN", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    C* sums = c.scratch<C>(inner).data();
    const C factor = static_cast<C>(attrs.alpha) / static_cast<C>(size), bias = attrs.bias, beta = attrs.beta;
    for (int64_t n = 0; n < x.dim(0); ++n) {
      const T* sample = x.data<T>() + n * channels * inner;
      for (int64_t k = 0; k < channels; ++k) {
        std::fill_n(sums, inner, C{0});
        const int64_t first = std::max<int64_t>(0, k - (reach - 1) / 2), last = std::min(channels - 1, k + reach / 2);
        for (int64_t j = first; j <= last; ++j)
          for (int64_t i = 0; i < inner; ++i) {
            const C v = static_cast<C>(sample[j * inner + i]);
            sums[i] += v * v;
          }
        T* to = c.output(0).data<T>() + (n * channels + k) * inner;
        for (int64_t i = 0; i < inner; ++i)
          to[i] = static_cast<T>(static_cast<C>(sample[k * inner + i]) / std::pow(bias + factor * sums[i], beta));
      }
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(LRN) = {
    .name = "LRN",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<LrnAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
