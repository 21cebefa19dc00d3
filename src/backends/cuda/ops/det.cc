// Det: a thread for each matrix, by elimination with row exchange in double in memory of its own.
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

Status make_det(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const int64_t n = x.dims.back(), count = y.dims.num_elements();
  const Operand matrices = b.scratch(DType::kFloat64, Dims{std::max<int64_t>(1, count * n * n)});
  Source s;
  s.line(fmt::format("const I n = {}, base = i * n * n; double* m = {} + base;", s.number(n), s.write(matrices)));
  s.line(fmt::format("for (I k = 0; k < n * n; ++k) m[k] = {};", s.load(x, "base + k")));
  s.line("double product = 1;");
  s.line("for (I k = 0; k < n; ++k) {");
  s.line("I pivot = k;");
  s.line("for (I r = k + 1; r < n; ++r) if (fabs(m[r * n + k]) > fabs(m[pivot * n + k])) pivot = r;");
  s.line("if (pivot != k) {");
  s.line("for (I c = 0; c < n; ++c) { const double v = m[k * n + c]; m[k * n + c] = m[pivot * n + c]; m[pivot * n + c] = v; }");
  s.line("product = -product; }");
  s.line("const double head = m[k * n + k]; product *= head; if (head == 0) break;");
  s.line(
      "for (I r = k + 1; r < n; ++r) { const double f = m[r * n + k] / head; for (I c = k + 1; c < n; ++c) m[r * n + c] -= f * m[k * n + "
      "c]; }");
  s.line("}");
  s.store(y, "i", "product");
  return s.launch_elements(b, count);
}

}  // namespace

std::vector<DeviceOp> det_ops() { return {{"Det", "", make_det}}; }

}  // namespace cameo::cuda
