#include "backends/cuda/turns_operation.h"

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/measure.h"
#include "backends/cuda/quantized_operation.h"

namespace cameo::cuda {
namespace {

class TurnsOperation final : public Operation {
 public:
  TurnsOperation(const TurnsArgs& args, const DeviceTraits& traits, TurnsOperands operands)
      : args_(args), traits_(traits), operands_(std::move(operands)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(operands_.x);
    args_.w = at.of(operands_.w);
    args_.bias = at.of(operands_.bias);
    args_.y = at.of(operands_.y);
    return check(turns_product(args_, traits_, stream), "a product of 8-bit floats");
  }

 private:
  TurnsArgs args_;
  const DeviceTraits traits_;
  const TurnsOperands operands_;
};

// What it takes over memory of its own; 0 where there is none.
Result<double> time_of(Device& device, TurnsArgs a, const DeviceTraits& traits) {
  const auto up = [](int64_t n) { return static_cast<size_t>((n + 511) / 512 * 512); };
  const size_t x = up(int64_t{a.m} * a.k), w = up(quantized_weight_bytes(a.n, a.k)), bias = up(2 * turns_biases(a.n)),
               y = up(int64_t{a.m} * a.n * bytes_of(a.y_type));
  auto memory = device.pool()->allocate(x + w + bias + y);
  if (!memory.ok()) return 0.0;
  const std::lock_guard lock(device.mutex());
  auto* at = static_cast<std::byte*>(memory->data());
  CAMEO_TRY(fill_measured(at, memory->bytes(), device.stream()));
  a.x = at, a.w = at + x, a.y = at + x + w + bias;
  if (a.bias) a.bias = at + x + w;
  const auto time = measure(device, [&](int) { return check(turns_product(a, traits, device.stream()), "a product of 8-bit floats"); });
  return time.ok() ? *time : 0.0;
}

}  // namespace

Result<Operand> turns_bias(StepBuilder& b, size_t i, int64_t n) {
  const int64_t count = turns_biases(n);
  return b.prepared(i, fmt::format("{} in the order of columns in turns", n), DType::kFloat16, Dims{count},
                    [&](StepBuilder& inner, const Operand& from, const Operand& to) {
                      // turns_bias_offset() backwards.
                      Source s;
                      s.line("const I column = i / 64 * 64 + i % 8 / 2 * 16 + i % 64 / 8 * 2 + i % 2;");
                      s.store(to, "i", fmt::format("column < {} ? {} : 0.f", s.number(n), s.load(from, "column")));
                      return s.launch_elements(inner, count);
                    });
}

Result<std::unique_ptr<Operation>> make_turns_product(StepBuilder& b, TurnsArgs a, const TurnsOperands& o, double* microseconds) {
  std::unique_ptr<Operation> none;
  if (!b.device().has_gpu()) return none;
  a.x_type = element_of(o.x.dtype);
  a.y_type = element_of(o.y.dtype);
  // Addresses that are aligned as those of the run will be.
  const auto like = [](const Operand& e) {
    return e.kind == Operand::Kind::kFixed ? e.fixed : reinterpret_cast<void*>(uintptr_t{4096} + e.offset);
  };
  a.x = like(o.x), a.w = like(o.w), a.y = like(o.y);
  if (o.bias.present()) a.bias = like(o.bias);
  const DeviceTraits traits = traits_of(b.device());
  if (turns_product_refusal(a, traits) != nullptr) return none;
  // W and the bias are there before the kernel before begins.
  a.dependent = o.w.kind == Operand::Kind::kFixed && (!o.bias.present() || o.bias.kind == Operand::Kind::kFixed);
  if (microseconds) {
    CAMEO_ASSIGN(*microseconds, time_of(b.device(), a, traits));
  }
  return std::make_unique<TurnsOperation>(a, traits, o);
}

}  // namespace cameo::cuda
