#include "backends/cuda/fast_kernels.h"

namespace cameo::cuda {
namespace {

// An address that is aligned as those of the run will be, for the kernels' refusals.
const void* aligned_like(const Operand& o) {
  if (!o.present()) return nullptr;
  if (o.kind == Operand::Kind::kFixed) return o.fixed;
  return reinterpret_cast<const void*>(uintptr_t{4096} + o.offset);
}

bool scalar_of(DType type, Scalar& scalar) {
  if (type == DType::kFloat32)
    scalar = Scalar::kFloat32;
  else if (type == DType::kFloat16)
    scalar = Scalar::kFloat16;
  else if (type == DType::kBfloat16)
    scalar = Scalar::kBFloat16;
  else
    return false;
  return true;
}

class SkinnyOperation final : public Operation {
 public:
  SkinnyOperation(const SkinnyGemmArgs& args, const DeviceTraits& traits, Operand x, Operand w, Operand bias, Operand residual, Operand y,
                  Operand scales, Operand zeros, JoinedNorm norm)
      : args_(args),
        traits_(traits),
        scales_(std::move(scales)),
        zeros_(std::move(zeros)),
        x_(std::move(x)),
        w_(std::move(w)),
        bias_(std::move(bias)),
        residual_(std::move(residual)),
        y_(std::move(y)),
        norm_(std::move(norm)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.w = at.of(w_);
    args_.norm_weight = at.of(norm_.weight);
    args_.norm_bias = at.of(norm_.bias);
    args_.normalised = at.of(norm_.y);
    args_.scales = at.of(scales_);
    args_.zeros = static_cast<const uint8_t*>(at.of(zeros_));
    args_.bias = at.of(bias_);
    args_.residual = at.of(residual_);
    args_.y = at.of(y_);
    return check(skinny_gemm(args_, traits_, stream), "a product of few rows");
  }

 private:
  SkinnyGemmArgs args_;
  const DeviceTraits traits_;
  const Operand scales_, zeros_, x_, w_, bias_, residual_, y_;
  const JoinedNorm norm_;
};

class NormOperation final : public Operation {
 public:
  NormOperation(const NormArgs& args, const DeviceTraits& traits, Operand x, Operand weight, Operand bias, Operand y, Operand rounded)
      : args_(args),
        traits_(traits),
        x_(std::move(x)),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        y_(std::move(y)),
        rounded_(std::move(rounded)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.weight = at.of(weight_);
    args_.bias = at.of(bias_);
    args_.y = at.of(y_);
    args_.rounded = at.of(rounded_);
    return check(norm(args_, traits_, stream), "a norm");
  }

 private:
  NormArgs args_;
  const DeviceTraits traits_;
  const Operand x_, weight_, bias_, y_, rounded_;
};

}  // namespace

bool try_skinny_gemm(StepBuilder& b, int64_t m, int64_t n, int64_t k, const Operand& x, const Operand& w, const Operand& bias,
                     Activation activation, const Operand& residual, const Operand& y, const SkinnyWeight& quantized,
                     const JoinedNorm* norm) {
  SkinnyGemmArgs a;
  if (!b.device().has_gpu() || !scalar_of(x.dtype, a.type) || n > INT32_MAX || k > INT32_MAX || m > INT32_MAX) return false;
  for (const Operand* o : {&bias, &residual, &quantized.scales})
    if (o->present() && o->dtype != x.dtype) return false;
  if (y.dtype != x.dtype && y.dtype != DType::kFloat32) return false;
  a.y_float32 = y.dtype == DType::kFloat32;
  if (quantized.format == WeightFormat::kPlain && w.dtype != x.dtype) return false;
  a.format = quantized.format;
  a.scales = aligned_like(quantized.scales);
  a.zeros = static_cast<const uint8_t*>(aligned_like(quantized.zeros));
  a.group = quantized.group;
  a.m = static_cast<int32_t>(m);
  a.n = static_cast<int32_t>(n);
  a.k = static_cast<int32_t>(k);
  a.x = aligned_like(x);
  a.x_stride = k;
  a.w = aligned_like(w);
  a.bias = aligned_like(bias);
  a.residual = aligned_like(residual);
  a.residual_stride = n;
  a.y = const_cast<void*>(aligned_like(y));
  a.y_stride = n;
  a.activation = activation;
  // Weights and bias are read while the kernel before still runs.
  const auto there = [](const Operand& o) { return !o.present() || o.kind == Operand::Kind::kFixed; };
  a.dependent = there(w) && there(bias) && b.device().info().arch() >= 90;
  if (norm) {
    a.norm = norm->kind;
    a.epsilon = norm->epsilon;
    a.norm_weight = aligned_like(norm->weight);
    a.norm_bias = aligned_like(norm->bias);
    a.normalised = const_cast<void*>(aligned_like(norm->y));
    if (norm->weight.dtype != x.dtype || (norm->bias.present() && norm->bias.dtype != x.dtype) || norm->y.dtype != x.dtype) return false;
    a.dependent = a.dependent && there(norm->weight) && there(norm->bias);
  }
  const DeviceTraits traits = traits_of(b.device());
  if (skinny_gemm_refusal(a, traits) != nullptr) return false;
  b.add(std::make_unique<SkinnyOperation>(a, traits, norm ? norm->x : x, w, bias, residual, y, quantized.scales, quantized.zeros,
                                          norm ? *norm : JoinedNorm()));
  return true;
}

bool try_norm(StepBuilder& b, NormKind kind, int64_t rows, int64_t size, float epsilon, const Operand& x, const Operand& weight,
              const Operand& bias, const Operand& y, const Operand& rounded, float factor) {
  NormArgs a;
  if (!b.device().has_gpu() || !scalar_of(x.dtype, a.type) || size > kMaxNormSize) return false;
  for (const Operand* o : {&weight, &bias, &y})
    if (o->present() && o->dtype != x.dtype) return false;
  a.kind = kind;
  a.rows = rows;
  a.size = static_cast<int32_t>(size);
  a.epsilon = epsilon;
  a.x = aligned_like(x);
  a.weight = aligned_like(weight);
  a.bias = aligned_like(bias);
  a.y = const_cast<void*>(aligned_like(y));
  a.rounded = const_cast<void*>(aligned_like(rounded));
  a.rounded_factor = factor;
  const auto there = [](const Operand& o) { return !o.present() || o.kind == Operand::Kind::kFixed; };
  a.constant = there(weight) && there(bias);
  const DeviceTraits traits = traits_of(b.device());
  if (norm_refusal(a, traits) != nullptr) return false;
  b.add(std::make_unique<NormOperation>(a, traits, x, weight, bias, y, rounded));
  return true;
}

}  // namespace cameo::cuda
