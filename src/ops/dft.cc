// DFT (ai.onnx 17, 20): the discrete Fourier transform along an axis. The last extent of the input is 1 (real) or 2 (real and
// imaginary part). Forward: X[k] = sum x[n] exp(-2 pi i k n / N); inverse: the conjugate sum divided by N. N is dft_length, by
// default the axis' extent; the input is cut or filled with zeros to N. onesided keeps k <= N / 2 of a forward transform, and
// takes just these for an inverse one, whose result is then real. Version 20 makes the axis an input (default -2, before 1).
#include <algorithm>

#include "ops/fourier.h"
#include "ops/scalars.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct DFTAttrs : ir::AttrsOf<DFTAttrs> {
  int64_t axis = 1;
  int64_t inverse = 0;
  int64_t onesided = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("inverse", inverse);
    v("onesided", onesided);
  }
};

// The axis among those before the last, which holds the parts of the numbers.
Result<size_t> signal_axis(int64_t axis, size_t rank) {
  CAMEO_ASSIGN(const size_t normal, normalize_axis(axis, rank));
  if (normal + 1 == rank) return error(ErrorCode::kInvalidModel, "axis is {}: the last axis holds real and imaginary parts", axis);
  return normal;
}

Status check_length(int64_t length) {
  if (length < 1 || length > Fourier::kMaxLength)
    return error(ErrorCode::kInvalidInput, "the length of the transform is {}; allowed: 1 to {}", length, Fourier::kMaxLength);
  return {};
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<DFTAttrs>();
  ir::Type type = ir::Type::tensor(c.dtype(0));
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    if (in.size() < 2) return error(ErrorCode::kInvalidInput, "the input has rank {}; it needs 2 or more", in.size());
    if (in.back().is_const() && !in.back().is(1) && !in.back().is(2))
      return error(ErrorCode::kInvalidInput, "the input's last extent is {}; it must be 1 (real) or 2 (complex)", in.back().value());
    const bool to_real = a.inverse && a.onesided;
    int64_t axis = c.version() < 20 ? a.axis : -2;
    bool axis_known = true;
    if (c.version() >= 20 && c.has_input(2)) {
      const auto given = c.ints(2);
      if (given && given->size() != 1) return error(ErrorCode::kInvalidInput, "axis has {} elements; it must be one number", given->size());
      axis_known = given.has_value();
      if (axis_known) axis = given->front();
    }
    type.shape = in;
    type.shape->back() = to_real ? 1 : 2;
    if (axis_known) {
      CAMEO_ASSIGN(const size_t at, signal_axis(axis, in.size()));
      ir::Dim length = to_real ? ir::Dim(2) * (in[at] - 1) : in[at];
      if (c.has_input(1)) {
        const auto given = c.values(1);
        length = given && given->size() == 1 ? given->front() : ir::Dim::unknown();
      }
      if (length.is_const()) CAMEO_TRY(check_length(length.value()));
      (*type.shape)[at] = a.onesided && !a.inverse ? floor_div(length, 2) + 1 : length;
    } else {
      std::fill(type.shape->begin(), type.shape->end() - 1, ir::Dim::unknown());
    }
  }
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<DFTAttrs>();
  const Tensor& x = c.input(0);
  const bool to_real = a.inverse && a.onesided;
  int64_t given_axis = c.version() < 20 ? a.axis : -2;
  if (c.version() >= 20 && c.has_input(2)) {
    CAMEO_ASSIGN(given_axis, read_scalar<int64_t>(c.input(2), "axis"));
  }
  CAMEO_ASSIGN(const size_t axis, signal_axis(given_axis, x.rank()));
  const int64_t extent = x.dim(axis), parts = x.dims().back();
  int64_t length = to_real ? 2 * (extent - 1) : extent;
  if (c.has_input(1)) {
    CAMEO_ASSIGN(length, read_scalar<int64_t>(c.input(1), "dft_length"));
  }
  CAMEO_TRY(check_length(length));
  Dims dims = x.dims();
  dims[axis] = a.onesided && !a.inverse ? length / 2 + 1 : length;
  dims[dims.rank() - 1] = to_real ? 1 : 2;
  CAMEO_TRY(c.allocate_output(0, x.dtype(), dims));
  Tensor& y = c.output(0);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i + 1 < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.dim(i);
  if (outer * inner == 0) return {};
  Fourier fourier(c, length, a.inverse != 0);
  const std::span<Complex128> line = c.scratch<Complex128>(length);
  // Of a one-sided spectrum the first half is read; the rest is its mirror image.
  const int64_t read = std::min(extent, to_real ? length / 2 + 1 : length);
  const double scale = a.inverse ? 1.0 / static_cast<double>(length) : 1.0;
  return dispatch_floats(x.dtype(), "DFT", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    for (int64_t o = 0; o < outer; ++o) {
      CAMEO_TRY(c.check_cancelled());
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + (o * extent * inner + i) * parts;
        std::fill(line.begin(), line.end(), Complex128());
        for (int64_t n = 0; n < read; ++n) {
          const T* number = from + n * inner * parts;
          line[static_cast<size_t>(n)] = {static_cast<C>(number[0]), parts == 2 ? static_cast<C>(number[1]) : C(0)};
        }
        if (to_real)
          for (size_t n = 1; n < line.size() - n; ++n) line[line.size() - n] = std::conj(line[n]);
        if (to_real && length % 2 == 0) line[line.size() / 2].imag(0);
        if (to_real) line[0].imag(0);
        fourier.transform(line);
        T* to = y.data<T>() + (o * dims[axis] * inner + i) * dims.back();
        for (int64_t k = 0; k < dims[axis]; ++k) {
          T* number = to + k * inner * dims.back();
          number[0] = static_cast<T>(static_cast<C>(line[static_cast<size_t>(k)].real() * scale));
          if (!to_real) number[1] = static_cast<T>(static_cast<C>(line[static_cast<size_t>(k)].imag() * scale));
        }
      }
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(DFT) = {
    .name = "DFT",
    .min_version = 17,
    .min_inputs = 1,
    .max_inputs = 3,
    .input_types = {kFloatTypes, kIndexTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<DFTAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
