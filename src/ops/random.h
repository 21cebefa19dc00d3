// Random numbers for the operators that draw them. The generator is MT19937 and the distributions are written out here,
// so a seed gives the same numbers on every machine; they are those of numpy.random.RandomState(seed).
#pragma once

#include <cmath>
#include <optional>
#include <random>

#include "ops/dispatch.h"
#include "ops/op.h"

namespace cameo::ops {

class Random {
 public:
  // Without a seed, or with NaN for one, each object draws other numbers.
  explicit Random(std::optional<int64_t> seed) : engine_(seed ? static_cast<uint32_t>(*seed) : std::random_device{}()) {}
  explicit Random(const std::optional<float>& seed) : Random(whole(seed)) {}

  // In [0, 1), 53 random bits.
  double uniform() {
    const uint32_t high = static_cast<uint32_t>(engine_()) >> 5, low = static_cast<uint32_t>(engine_()) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }
  // Standard normal, by Marsaglia's polar method.
  double normal() {
    if (spare_) {
      const double value = *spare_;
      spare_.reset();
      return value;
    }
    double x = 0, y = 0, r2 = 0;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      r2 = x * x + y * y;
    } while (r2 >= 1 || r2 == 0);
    const double f = std::sqrt(-2 * std::log(r2) / r2);
    spare_ = f * x;
    return f * y;
  }
  // One with probability p, by inversion.
  bool bernoulli(double p) { return p <= 0.5 ? uniform() > 1 - p : !(uniform() > p); }

 private:
  static std::optional<int64_t> whole(const std::optional<float>& seed) {
    if (!seed || std::isnan(*seed)) return std::nullopt;
    return *seed >= 0x1p62f || *seed <= -0x1p62f ? 0 : static_cast<int64_t>(*seed);
  }

  std::mt19937 engine_;
  std::optional<double> spare_;
};

// y[i] = draw(), rounded once to the type of y, a float type.
template <class Draw>
Status fill_random(Tensor& y, const char* what, Draw draw) {
  return dispatch_floats(y.dtype(), what, [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0, n = y.num_elements(); i < n; ++i) y.data<T>()[i] = static_cast<T>(draw());
    return {};
  });
}

// infer() of RandomNormal and RandomUniform: a float tensor of the attributes' type and shape.
Status infer_random(InferContext& context, int64_t dtype, const std::vector<int64_t>& shape);
// infer() of RandomNormalLike and RandomUniformLike: the shape of the input, and its type if no other is given.
Status infer_random_like(InferContext& context, const std::optional<int64_t>& dtype);

}  // namespace cameo::ops
