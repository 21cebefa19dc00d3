// MelWeightMatrix (ai.onnx 17): weights [dft_length / 2 + 1, num_mel_bins] that gather the bins of a spectrum into triangular
// bands, evenly spaced on the mel scale 2595 log10(1 + f / 700) between two frequencies. Inputs, all scalars: num_mel_bins,
// dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz.
#include <algorithm>
#include <cmath>

#include "ops/scalars.h"
#include "ops/signal_window.h"

namespace cameo::ops {
namespace {

struct MelWeightMatrixAttrs : ir::AttrsOf<MelWeightMatrixAttrs> {
  int64_t output_datatype = static_cast<int64_t>(DType::kFloat32);
  void visit(ir::AttrVisitor& v) override { v("output_datatype", output_datatype); }
};

Status infer(InferContext& c) {
  CAMEO_ASSIGN(const DType dtype, number_type(c.attrs<MelWeightMatrixAttrs>().output_datatype));
  ir::Dim sizes[2];
  for (size_t i = 0; i < 2; ++i) {
    const auto values = c.values(i);
    if (values && values->size() == 1) sizes[i] = values->front();
    if (sizes[i].is_const() && sizes[i].value() < 0)
      return error(ErrorCode::kInvalidInput, "{} is {}; it must not be negative", i == 0 ? "num_mel_bins" : "dft_length", sizes[i].value());
  }
  c.set_output(0, dtype, {floor_div(sizes[1], 2) + 1, sizes[0]});
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const int64_t bands, read_scalar<int64_t>(c.input(0), "num_mel_bins"));
  CAMEO_ASSIGN(const int64_t length, read_scalar<int64_t>(c.input(1), "dft_length"));
  CAMEO_ASSIGN(const int64_t rate, read_scalar<int64_t>(c.input(2), "sample_rate"));
  CAMEO_ASSIGN(const double low, read_scalar<double>(c.input(3), "lower_edge_hertz"));
  CAMEO_ASSIGN(const double high, read_scalar<double>(c.input(4), "upper_edge_hertz"));
  if (bands < 0 || length < 0) return error(ErrorCode::kInvalidInput, "num_mel_bins is {} and dft_length {}", bands, length);
  if (rate < 1) return error(ErrorCode::kInvalidInput, "sample_rate is {}; it must be 1 or more", rate);
  CAMEO_TRY(c.allocate_output(0, *number_type(c.attrs<MelWeightMatrixAttrs>().output_datatype), {length / 2 + 1, bands}));
  Tensor& y = c.output(0);
  const int64_t rows = y.dim(0);
  const double low_mel = 2595 * std::log10(1 + low / 700), high_mel = 2595 * std::log10(1 + high / 700);
  const double step = (high_mel - low_mel) / static_cast<double>(bands + 2);
  // Where the band edges lie, in bins of the spectrum.
  const std::span<int64_t> edges = c.scratch<int64_t>(bands + 2);
  for (size_t i = 0; i < edges.size(); ++i) {
    const double hertz = 700 * (std::pow(10.0, (static_cast<double>(i) * step + low_mel) / 2595) - 1);
    const double bin = std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
    if (!(bin >= 0 && bin <= static_cast<double>(i + 1 < edges.size() ? rows - 1 : rows)))
      return error(ErrorCode::kInvalidInput, "band edge {} of {} to {} Hz lies at {} Hz, outside of the {} bins of the spectrum", i, low,
                   high, hertz, rows);
    edges[i] = static_cast<int64_t>(bin);
  }
  return dispatch_numbers(y.dtype(), "MelWeightMatrix", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const auto set = [&](int64_t row, size_t band, double value) {
      y.data<T>()[row * bands + static_cast<int64_t>(band)] = static_cast<T>(static_cast<compute_t<T>>(value));
    };
    std::fill_n(y.data<T>(), y.num_elements(), T{});
    for (size_t band = 0; band + 2 < edges.size(); ++band) {
      const int64_t left = edges[band], centre = edges[band + 1], right = edges[band + 2];
      if (left == centre) set(centre, band, 1);
      for (int64_t j = left; left < centre && j <= centre; ++j)
        set(j, band, static_cast<double>(j - left) / static_cast<double>(centre - left));
      for (int64_t j = centre; j < right; ++j) set(j, band, static_cast<double>(right - j) / static_cast<double>(right - centre));
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(MelWeightMatrix) = {
    .name = "MelWeightMatrix",
    .min_version = 17,
    .min_inputs = 5,
    .max_inputs = 5,
    .input_types = {kIndexTypes, kIndexTypes, kIndexTypes, kFloatTypes, kFloatTypes},
    .make_attrs = &ir::make_attrs<MelWeightMatrixAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
