// STFT (ai.onnx 17): the discrete Fourier transforms of frames of a signal, frame_step apart and multiplied by a window:
// X[b, f, k] = sum over n of window[n] x[b, f * frame_step + n] exp(-2 pi i k n / N). N is frame_length, by default the window's
// length, else the signal's. Input [batch, length, 1 or 2], output [batch, 1 + (length - N) / frame_step, N or N / 2 + 1, 2].
#include <algorithm>

#include "ops/fourier.h"
#include "ops/scalars.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct STFTAttrs : ir::AttrsOf<STFTAttrs> {
  int64_t onesided = 1;
  void visit(ir::AttrVisitor& v) override { v("onesided", onesided); }
};

Status check_sizes(int64_t step, int64_t frame, int64_t signal) {
  if (step < 1) return error(ErrorCode::kInvalidInput, "frame_step is {}; it must be 1 or more", step);
  if (frame < 1 || frame > Fourier::kMaxLength)
    return error(ErrorCode::kInvalidInput, "the frame length is {}; allowed: 1 to {}", frame, Fourier::kMaxLength);
  if (frame > signal) return error(ErrorCode::kInvalidInput, "the frame length is {}, the signal has {} samples", frame, signal);
  return {};
}

ir::Dim scalar_value(const InferContext& c, size_t i) {
  const auto values = c.values(i);
  return values && values->size() == 1 ? values->front() : ir::Dim::unknown();
}

Status infer(InferContext& c) {
  ir::Dim batch, signal, frame;
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    if (in.size() != 3) return error(ErrorCode::kInvalidInput, "the signal has rank {}; it must be [batch, length, 1 or 2]", in.size());
    if (in[2].is_const() && !in[2].is(1) && !in[2].is(2))
      return error(ErrorCode::kInvalidInput, "the signal's last extent is {}; it must be 1 (real) or 2 (complex)", in[2].value());
    batch = in[0], signal = in[1], frame = in[1];
  }
  if (c.has_input(2)) {
    if (c.shape(2) && c.shape(2)->size() != 1) return error(ErrorCode::kInvalidInput, "the window has rank {}", c.shape(2)->size());
    frame = c.shape(2) ? c.shape(2)->front() : ir::Dim::unknown();
  }
  if (c.has_input(3)) {
    const ir::Dim given = scalar_value(c, 3);
    if (!c.has_input(2) || !given.is_unknown()) frame = given;
  }
  const ir::Dim step = scalar_value(c, 1);
  if (step.is_const() && frame.is_const() && signal.is_const()) CAMEO_TRY(check_sizes(step.value(), frame.value(), signal.value()));
  const ir::Dim bins = c.attrs<STFTAttrs>().onesided ? floor_div(frame, 2) + 1 : frame;
  c.set_output(0, c.dtype(0), {batch, floor_div(signal - frame, step) + 1, bins, 2});
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const int64_t step, read_scalar<int64_t>(c.input(1), "frame_step"));
  const int64_t batch = x.dim(0), signal = x.dim(1), parts = x.dim(2);
  int64_t frame = c.has_input(2) ? c.input(2).num_elements() : signal;
  if (c.has_input(3)) {
    CAMEO_ASSIGN(frame, read_scalar<int64_t>(c.input(3), "frame_length"));
  }
  CAMEO_TRY(check_sizes(step, frame, signal));
  if (c.has_input(2) && c.input(2).num_elements() != frame)
    return error(ErrorCode::kInvalidInput, "frame_length is {}, but the window has {} elements", frame, c.input(2).num_elements());
  const int64_t frames = (signal - frame) / step + 1, bins = c.attrs<STFTAttrs>().onesided ? frame / 2 + 1 : frame;
  CAMEO_TRY(c.allocate_output(0, x.dtype(), {batch, frames, bins, 2}));
  Tensor& y = c.output(0);
  Fourier fourier(c, frame, false);
  const std::span<Complex128> line = c.scratch<Complex128>(frame);
  return dispatch_floats(x.dtype(), "STFT", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* window = c.has_input(2) ? c.input(2).data<T>() : nullptr;
    T* to = y.data<T>();
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t f = 0; f < frames; ++f) {
        CAMEO_TRY(c.check_cancelled());
        const T* from = x.data<T>() + (b * signal + f * step) * parts;
        for (int64_t n = 0; n < frame; ++n) {
          const double weight = window ? static_cast<C>(window[n]) : C(1);
          const double imaginary = parts == 2 ? static_cast<C>(from[n * parts + 1]) : C(0);
          line[static_cast<size_t>(n)] = {weight * static_cast<C>(from[n * parts]), weight * imaginary};
        }
        fourier.transform(line);
        for (int64_t k = 0; k < bins; ++k) {
          *to++ = static_cast<T>(static_cast<C>(line[static_cast<size_t>(k)].real()));
          *to++ = static_cast<T>(static_cast<C>(line[static_cast<size_t>(k)].imag()));
        }
      }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(STFT) = {
    .name = "STFT",
    .min_version = 17,
    .min_inputs = 2,
    .max_inputs = 4,
    .input_types = {kFloatTypes, kIndexTypes, kFloatTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<STFTAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
