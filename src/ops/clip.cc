// Clip (ai.onnx 1, 6, 11, 12, 13): min(max, max(min, x)); a limit that is absent does not limit, NaN stays NaN.
// The limits are attributes before version 11, then scalar inputs. Version 12 added integers.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct ClipAttrs : ir::AttrsOf<ClipAttrs> {
  std::optional<float> min, max;
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("min", min);
    v("max", max);
    v("consumed_inputs", consumed_inputs);
  }
};

Status infer(InferContext& c) {
  for (size_t i = 1; i < c.num_inputs(); ++i) {
    if (!c.has_input(i)) continue;
    const char* name = i == 1 ? "min" : "max";
    if (c.dtype(0) != DType::kUndefined && c.dtype(i) != DType::kUndefined && c.dtype(i) != c.dtype(0))
      return error(ErrorCode::kInvalidModel, "{} is {}, but the input is {}", name, dtype_name(c.dtype(i)), dtype_name(c.dtype(0)));
    if (!c.shape(i)) continue;
    const ir::Dim count = ir::num_elements(*c.shape(i));
    if (count.is_const() && !count.is(1))
      return error(ErrorCode::kInvalidModel, "{} has shape {}, but must be a scalar", name, ir::to_string(*c.shape(i)));
  }
  c.set_output(0, c.input(0));
  return {};
}

template <class T>
void clip(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<ClipAttrs>();
  std::optional<C> low, high;
  if (c.version() < 11) {
    if (attrs.min) low = static_cast<C>(*attrs.min);
    if (attrs.max) high = static_cast<C>(*attrs.max);
  } else {
    if (c.has_input(1)) low = static_cast<C>(*c.input(1).data<T>());
    if (c.has_input(2)) high = static_cast<C>(*c.input(2).data<T>());
  }
  if (low && high)
    map_unary<T, T>(c.input(0), c.output(0), [least = *low, most = *high](C x) {
      const C raised = x < least ? least : x;
      return raised > most ? most : raised;
    });
  else if (low)
    map_unary<T, T>(c.input(0), c.output(0), [least = *low](C x) { return x < least ? least : x; });
  else if (high)
    map_unary<T, T>(c.input(0), c.output(0), [most = *high](C x) { return x > most ? most : x; });
  else
    map_unary<T, T>(c.input(0), c.output(0), [](C x) { return x; });
}

Status reference(KernelContext& c) {
  return dispatch_numbers(c.input(0).dtype(), "Clip", [&](auto tag) -> Status {
    clip<typename decltype(tag)::type>(c);
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Clip) = {
    .name = "Clip",
    .min_inputs = 1,
    .max_inputs = 3,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<ClipAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
