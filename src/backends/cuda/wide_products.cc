#include "backends/cuda/wide_products.h"

#include "backends/cuda/source.h"

namespace cameo::cuda {
namespace {

class WideOperation final : public Operation {
 public:
  WideOperation(const WideProductArgs& args, int variant, const DeviceTraits& traits, const TileProblem& p, Operand w)
      : args_(args),
        variant_(variant),
        traits_(traits),
        x_(p.x),
        w_(std::move(w)),
        bias_(p.bias),
        residual_(p.addend),
        behind_(p.x_behind),
        y_(p.y) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.w = at.of(w_);
    args_.bias = at.of(bias_);
    args_.residual = at.of(residual_);
    args_.behind.x = at.of(behind_);
    args_.y = at.of(y_);
    return check(wide_product(args_, variant_, traits_, stream), "a product of many rows");
  }

 private:
  WideProductArgs args_;
  const int variant_;
  const DeviceTraits traits_;
  const Operand x_, w_, bias_, residual_, behind_, y_;
};

// The weight [n, k] in the order of wide_weight_offset().
Result<Operand> wide_weight(StepBuilder& b, const TileProblem& p) {
  return b.prepared(
      p.weight_input, fmt::format("wide {} x {} of {}", p.n, p.k, p.w.fixed), p.w.dtype, Dims{wide_weight_elements(p.n, p.k)},
      [&](StepBuilder& inner, const Operand&, const Operand& to) {
        Source s;
        const std::string steps = s.number((p.k + 63) / 64), n = s.number(p.n), k = s.number(p.k);
        s.line("const I block = i / 4096, c = i % 4096 / 64, within = i % 64;");
        s.line(fmt::format("const I row = block % {} * 64 + ((within / 8) ^ (c % 8)) * 8 + within % 8, column = block / {} * 64 + c;",
                           steps, steps));
        s.store(to, "i", fmt::format("row < {} && column < {} ? {} : 0.f", k, n, s.load(p.w, fmt::format("column * {} + row", k))));
        return s.launch_elements(inner, to.dims.num_elements());
      });
}

}  // namespace

WideProductArgs wide_args(const TileGemmArgs& a) {
  return {.type = a.type,
          .m = a.m,
          .n = a.n,
          .k = a.k,
          .x = a.x,
          .w = a.w,
          .bias = a.bias,
          .residual = a.addend,
          .y = a.y,
          .activation = a.activation,
          .convolution = a.convolution,
          .window = a.window,
          .behind = a.behind,
          .dependent = a.dependent};
}

const char* wide_refusal(const TileProblem& p, const TileGemmArgs& a, int variant, const DeviceTraits& traits) {
  if (p.w.kind != Operand::Kind::kFixed) return "the weight is no constant";
  if (a.addend && !a.addend_first && a.activation != TileActivation::kNone) return "the addend comes after the activation";
  return wide_product_refusal(wide_args(a), variant, traits);
}

bool wide_promising(const TileGemmArgs& a, int variant, const DeviceTraits& traits) {
  const int columns = wide_columns(variant);
  const int64_t tiles = (int64_t{a.m} + 127) / 128 * ((a.n + columns - 1) / columns);
  return 2 * tiles >= traits.multiprocessors && a.n > columns / 2;
}

Status add_wide_product(StepBuilder& b, const TileProblem& p, const TileGemmArgs& a, int variant, const DeviceTraits& traits) {
  CAMEO_ASSIGN(Operand w, wide_weight(b, p));
  b.add(std::make_unique<WideOperation>(wide_args(a), variant, traits, p, std::move(w)));
  return {};
}

}  // namespace cameo::cuda
