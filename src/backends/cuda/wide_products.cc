#include "backends/cuda/wide_products.h"

#include "backends/cuda/source.h"

namespace cameo::cuda {

Result<Operand> wide_weight(StepBuilder& b, const TileProblem& p) {
  return b.prepared(p.weight_input, fmt::format("wide {} x {} of {}", p.n, p.k, p.w.fixed), p.w.dtype, Dims{wide_weight_elements(p.n, p.k)},
                    [&](StepBuilder& inner, const Operand&, const Operand& to) {
                      Source s;
                      const std::string steps = s.number((p.k + 63) / 64), n = s.number(p.n), k = s.number(p.k);
                      s.line("const I block = i / 4096, c = i % 4096 / 64, within = i % 64;");
                      s.line(
                          fmt::format("const I row = block % {} * 64 + ((within / 8) ^ (c % 8)) * 8 + within % 8, column = block / {} * 64 "
                                      "+ c / 32 * 32 + c % 8 / 2 * 8 + c % 32 / 8 * 2 + c % 2;",
                                      steps, steps));
                      s.store(to, "i",
                              fmt::format("row < {} && column < {} ? {} : 0.f", k, n, s.load(p.w, fmt::format("column * {} + row", k))));
                      return s.launch_elements(inner, to.dims.num_elements());
                    });
}

const char* wide_refusal(const TileProblem& p, const TileGemmArgs& a, int variant, const DeviceTraits& traits) {
  if (p.w.kind != Operand::Kind::kFixed) return "the weight is no constant";
  return wide_product_refusal(a, variant, traits);
}

bool wide_promising(const TileGemmArgs& a, int variant, const DeviceTraits& traits) {
  const int columns = wide_columns(variant), parts = wide_parts(variant);
  const int64_t tiles = (int64_t{a.m} + 127) / 128 * ((a.n + columns - 1) / columns);
  // Divided they live all at the same time, and have enough to do.
  if (parts > 1)
    return tiles * parts <= traits.multiprocessors && 3 * tiles * parts >= traits.multiprocessors && (a.k + 63) / 64 >= 2 * parts &&
           a.n > columns / 2;
  return 2 * tiles >= traits.multiprocessors && a.n > columns / 2;
}

}  // namespace cameo::cuda
