// ConvTranspose (ai.onnx 1, 11, 22): the transpose of Conv's linear map. x [N, C, in…], w [C, M / group, kernel…],
// y [N, M, out…] with out = stride * (in - 1) + output_padding + span - pads, span = (kernel - 1) * dilation + 1. With output_shape, or
// auto_pad SAME (out = in * stride), the padding is what is too much; the odd one goes to the end for SAME_UPPER, to the
// beginning otherwise. Version 22 adds bfloat16. Sums of the 16-bit types are kept in float.
#include "ops/conv_transpose.h"

#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

constexpr int64_t kLimit = int64_t{1} << 31;

// The output's extent along an axis; fixes the padding of the window when the input's extent is known.
Result<ir::Dim> output_extent(const ConvTransposeAttrs& attrs, Window& window, size_t a, const ir::Dim& in) {
  WindowAxis& axis = window.axes[a];
  const int64_t extra = attrs.output_padding.empty() ? 0 : attrs.output_padding[a];
  if (extra < 0 || extra >= kLimit) return error(ErrorCode::kInvalidModel, "output_padding holds {}; allowed: 0 to {}", extra, kLimit - 1);
  const ir::Dim full = (in - 1) * axis.stride + extra + axis.span();
  const bool same = window.auto_pad == AutoPad::kSameUpper || window.auto_pad == AutoPad::kSameLower;
  ir::Dim out;
  if (!attrs.output_shape.empty()) {
    out = attrs.output_shape[attrs.output_shape.size() - window.rank + a];
  } else if (same) {
    out = in * axis.stride;
  } else {
    out = full - axis.begin - axis.end;
  }
  if (out.is_const() && (out.value() < 0 || out.value() >= int64_t{1} << 61))
    return error(ErrorCode::kInvalidInput, "the output's extent along spatial axis {} would be {}", a, out.value());
  if ((same || !attrs.output_shape.empty()) && full.is_const() && out.is_const()) {
    const int64_t total = std::max<int64_t>(0, full.value() - out.value());
    axis.begin = window.auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
    axis.end = total - axis.begin;
  }
  return out;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ConvTransposeAttrs>();
  const auto &x = c.shape(0), &w = c.shape(1);
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2}));
  if (attrs.group < 1) return error(ErrorCode::kInvalidModel, "group is {}; it must be at least 1", attrs.group);
  if (!x && !w) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const size_t rank = (x ? x : w)->size();
  if (rank < 3) return error(ErrorCode::kInvalidInput, "the input has rank {}; it must have rank 3 or more", rank);
  CAMEO_TRY(check_rank(c, 1, rank, "the weights"));
  ir::Shape y(rank);
  std::optional<Dims> kernel;
  if (w) {
    y[1] = (*w)[1] * attrs.group;
    kernel = ir::to_dims(ir::Shape(w->begin() + 2, w->end()));
    CAMEO_TRY(check_shape(c, 2, {y[1]}, "the bias"));
    if ((*w)[0].is_const() && (*w)[0].value() % attrs.group != 0)
      return error(ErrorCode::kInvalidInput, "the weights have {} input channels, which {} groups do not divide", (*w)[0].value(),
                   attrs.group);
    if (x) CAMEO_TRY(agree((*x)[1], (*w)[0], "the input channels of the weights"));
  }
  if (!attrs.output_padding.empty() && attrs.output_padding.size() != rank - 2)
    return error(ErrorCode::kInvalidModel, "output_padding has {} values, {} are needed", attrs.output_padding.size(), rank - 2);
  if (!attrs.output_shape.empty() && attrs.output_shape.size() != rank - 2 && attrs.output_shape.size() != rank)
    return error(ErrorCode::kInvalidModel, "output_shape has {} values, {} are needed", attrs.output_shape.size(), rank - 2);
  if (x) y[0] = (*x)[0];
  if (kernel || !attrs.kernel_shape.empty()) {
    CAMEO_ASSIGN(Window window, make_window(attrs, rank - 2, kernel));
    for (size_t a = 0; a < window.rank; ++a) {
      CAMEO_ASSIGN(y[a + 2], output_extent(attrs, window, a, x ? (*x)[a + 2] : ir::Dim()));
    }
  }
  c.set_output(0, c.dtype(0), std::move(y));
  return {};
}

template <class T>
Status run(KernelContext& c, const ConvGeometry& g) {
  using C = compute_t<T>;
  const T *x = c.input(0).data<T>(), *w = c.input(1).data<T>();
  const T* bias = c.has_input(2) ? c.input(2).data<T>() : nullptr;
  T* y = c.output(0).data<T>();
  // Here "in" is y and "out" is x. The product w^T * x gives what each window adds to y, for a few channels at a time.
  const int64_t channels = g.in_channels, depth = g.out_channels;
  const int64_t chunk = std::clamp<int64_t>(512 / g.taps, 1, channels);
  GemmScratch<C> scratch(c);
  C* products = c.scratch<C>(chunk * g.taps * kBlockColumns).data();
  C* image = c.scratch<C>(channels * g.in_size).data();
  int64_t* segments = c.scratch<int64_t>(kBlockColumns * static_cast<int64_t>(g.window.rank + 1)).data();
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t k = 0; k < g.group; ++k) {
      const T* from = x + (n * g.group + k) * depth * g.out_size;
      const T* weights = w + k * depth * channels * g.taps;
      for (int64_t m = 0; m < channels; ++m)
        std::fill_n(image + m * g.in_size, g.in_size, bias ? static_cast<C>(bias[k * channels + m]) : C{0});
      for (int64_t first = 0; first < g.out_size; first += kBlockColumns) {
        const int64_t count = std::min(kBlockColumns, g.out_size - first);
        const WindowColumns<C> columns(g, first, count, segments);
        for (int64_t m = 0; m < channels; m += chunk) {
          const int64_t rows = std::min(chunk, channels - m) * g.taps;
          CAMEO_TRY(c.check_cancelled());
          std::fill_n(products, rows * kBlockColumns, C{0});
          multiply_block<C>(
              rows, count, depth, scratch,
              [&](int64_t row, int64_t i) { return static_cast<C>(weights[(i * channels + m) * g.taps + row]); },
              [&](int64_t i, C* to) {
                for (int64_t j = 0; j < count; ++j) to[j] = static_cast<C>(from[i * g.out_size + first + j]);
              },
              products, kBlockColumns);
          for (int64_t row = 0; row < rows; ++row) columns.add_row(image, m * g.taps + row, products + row * kBlockColumns);
        }
      }
      T* to = y + (n * g.group + k) * channels * g.in_size;
      for (int64_t i = 0; i < channels * g.in_size; ++i) to[i] = static_cast<T>(image[i]);
    }
  return {};
}

Status reference(KernelContext& c) {
  if (c.output(0).num_elements() == 0) return {};
  CAMEO_ASSIGN(const ConvGeometry g,
               conv_transpose_geometry(c.attrs<ConvTransposeAttrs>(), c.input(0).dims(), c.input(1).dims(), c.output(0).dims()));
  return dispatch_floats(c.input(0).dtype(), "ConvTranspose", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c, g); });
}

}  // namespace

Result<ConvGeometry> conv_transpose_geometry(const ConvTransposeAttrs& attrs, const Dims& x, const Dims& w, const Dims& y) {
  ConvGeometry g;
  CAMEO_ASSIGN(g.window, make_window(attrs, x.rank() - 2, Dims(w.span().subspan(2))));
  g.batch = x[0];
  g.group = attrs.group;
  g.in_channels = w[1];
  g.out_channels = x[1] / attrs.group;
  for (size_t a = 0; a < g.window.rank; ++a) {
    CAMEO_TRY(output_extent(attrs, g.window, a, x[a + 2]));
    g.in[a] = y[a + 2];
    g.out[a] = x[a + 2];
    g.in_size *= g.in[a];
    g.out_size *= g.out[a];
    g.taps *= g.window.axes[a].kernel;
  }
  return g;
}

CAMEO_DEFINE_OP(ConvTranspose) = {
    .name = "ConvTranspose",
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<ConvTransposeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
