// Multinomial (ai.onnx 7, 22): draws sample_size classes per row with replacement; x [batch, classes] holds unnormalized
// log-probabilities: class k has probability exp(x[k]) / sum(exp(x)).
#include <algorithm>
#include <limits>

#include "ops/move.h"
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct MultinomialAttrs : ir::AttrsOf<MultinomialAttrs> {
  int64_t dtype = static_cast<int64_t>(DType::kInt32);
  int64_t sample_size = 1;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("sample_size", sample_size);
    v("seed", seed);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<MultinomialAttrs>();
  CAMEO_ASSIGN(const DType type, dtype_of_attribute(attrs.dtype, kIndexTypes));
  CAMEO_TRY(check_rank(c, 0, 2, "the input"));
  if (attrs.sample_size < 0) return error(ErrorCode::kInvalidModel, "sample_size is {}; it must not be negative", attrs.sample_size);
  c.set_output(0, type, {c.shape(0) ? (*c.shape(0))[0] : ir::Dim::unknown(), attrs.sample_size});
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const int64_t batch = x.dim(0), classes = x.dim(1), samples = y.dim(1);
  if (classes == 0) return error(ErrorCode::kInvalidInput, "there is no class to draw");
  Random random(c.attrs<MultinomialAttrs>().seed);
  const auto sums = c.scratch<double>(classes);
  return dispatch_floats(x.dtype(), "Multinomial", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t b = 0; b < batch; ++b) {
      const T* row = x.data<T>() + b * classes;
      const auto at = [row](int64_t k) { return static_cast<double>(static_cast<compute_t<T>>(row[k])); };
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t k = 0; k < classes; ++k) largest = std::max(largest, at(k));
      for (int64_t k = 0; k < classes; ++k) sums[static_cast<size_t>(k)] = sum += std::exp(at(k) - largest);
      if (!(sum > 0 && std::isfinite(sum)))
        return error(ErrorCode::kInvalidInput, "row {} holds no log-probabilities: it has NaN or only infinities", b);
      for (int64_t s = 0; s < samples; ++s) {
        const auto found = std::upper_bound(sums.begin(), sums.end(), random.uniform() * sum) - sums.begin();
        const auto drawn = std::min<int64_t>(found, classes - 1);
        if (y.dtype() == DType::kInt64)
          y.data<int64_t>()[b * samples + s] = drawn;
        else
          y.data<int32_t>()[b * samples + s] = static_cast<int32_t>(drawn);
      }
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Multinomial) = {
    .name = "Multinomial",
    .min_version = 7,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<MultinomialAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
