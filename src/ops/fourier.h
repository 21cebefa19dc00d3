// The discrete Fourier transform X[k] = sum over n of x[n] exp(-+ 2 pi i k n / N), of any length N in O(N log N):
// a radix-2 transform for powers of two, and for other lengths Bluestein's algorithm, which writes
// k n = (k^2 + n^2 - (k - n)^2) / 2 and so makes the sum a convolution that a longer power of two can do.
#pragma once

#include <span>

#include "base/numeric.h"
#include "ops/op.h"

namespace cameo::ops {

class Fourier {
 public:
  // Longer transforms are refused by callers.
  static constexpr int64_t kMaxLength = int64_t{1} << 28;

  // Tables are made in the kernel's scratch memory. The sign is - for the forward transform, + for the inverse one, which is
  // not divided by N. 1 <= length <= kMaxLength.
  Fourier(KernelContext& context, int64_t length, bool inverse);

  // Transforms `length` elements in place.
  void transform(std::span<Complex128> data);

 private:
  void radix2(std::span<Complex128> data, bool conjugate) const;

  int64_t length_, padded_;      // padded_: of the power-of-two transform
  std::span<Complex128> roots_;  // exp(sign * 2 pi i k / padded_), k < padded_ / 2
  std::span<Complex128> chirp_;  // exp(sign * pi i k^2 / length_); empty for a power of two
  std::span<Complex128> chirp_spectrum_, work_;
};

}  // namespace cameo::ops
