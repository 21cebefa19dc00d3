// LayerNormalization (ai.onnx 17): y = (x - mean) / sqrt(var + epsilon) * scale + b, with the moments over the extents
// from `axis` on. The moments of the 16-bit types are computed in float, whatever stash_type; it gives the type
// of the outputs Mean and InvStdDev. The normalized value, its product with scale and the sum with b are each rounded to
// the type of x, as the function that defines the operator does.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/normalization.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<LayerNormalizationAttrs>();
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2}));
  if (attrs.stash_type != 1 && attrs.stash_type != 16)
    return error(ErrorCode::kInvalidModel, "stash_type is {}; allowed: 1 (float32), 16 (bfloat16)", attrs.stash_type);
  ir::Type moments = ir::Type::tensor(static_cast<DType>(attrs.stash_type));
  if (const auto& x = c.shape(0)) {
    CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, x->size()));
    for (size_t i = 1; i < c.num_inputs(); ++i) CAMEO_TRY(check_broadcasts_to(c, i, *x, i == 1 ? "scale" : "B"));
    moments.shape = *x;
    for (size_t a = axis; a < x->size(); ++a) (*moments.shape)[a] = 1;
  }
  c.set_output(0, c.input(0));
  c.set_output(1, moments);
  c.set_output(2, moments);
  return {};
}

void store(Tensor& t, int64_t i, float value) {
  if (t.dtype() == DType::kBfloat16)
    t.data<Bfloat16>()[i] = Bfloat16(value);
  else
    t.data<float>()[i] = value;
}

template <class T>
void run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<LayerNormalizationAttrs>();
  const Tensor& x = c.input(0);
  const auto rank = static_cast<int64_t>(x.rank());
  const int64_t axis = attrs.axis < 0 ? attrs.axis + rank : attrs.axis;
  int64_t rows = 1, n = 1;
  for (int64_t a = 0; a < rank; ++a) (a < axis ? rows : n) *= x.dim(static_cast<size_t>(a));
  if (rows * n == 0) return;
  const BroadcastRows<T> scale(c, 1, x.dims(), static_cast<size_t>(axis)), bias(c, 2, x.dims(), static_cast<size_t>(axis));
  const auto round = [](C v) { return static_cast<C>(static_cast<T>(v)); };
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = x.data<T>() + row * n;
    T* to = c.output(0).data<T>() + row * n;
    const auto m = moments_of<C>(from, n);
    const C mean = m.mean, inverse = m.inverse_deviation(attrs.epsilon);
    const T* s = scale.row(row);
    const T* b = bias.row(row);
    if (b)
      for (int64_t i = 0; i < n; ++i)
        to[i] = static_cast<T>(round(round((static_cast<C>(from[i]) - mean) * inverse) * static_cast<C>(s[i])) + static_cast<C>(b[i]));
    else
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(round((static_cast<C>(from[i]) - mean) * inverse) * static_cast<C>(s[i]));
    if (c.has_output(1)) store(c.output(1), row, static_cast<float>(mean));
    if (c.has_output(2)) store(c.output(2), row, static_cast<float>(inverse));
  }
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "LayerNormalization", [&](auto tag) -> Status {
    run<typename decltype(tag)::type>(c);
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(LayerNormalization) = {
    .name = "LayerNormalization",
    .min_version = 17,
    .min_inputs = 2,
    .max_inputs = 3,
    .max_outputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<LayerNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
