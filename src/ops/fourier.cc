#include "ops/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace cameo::ops {

Fourier::Fourier(KernelContext& c, int64_t length, bool inverse) : length_(length), padded_(length) {
  const double sign = inverse ? 1 : -1;
  const bool direct = std::has_single_bit(static_cast<uint64_t>(length));
  if (!direct) padded_ = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * length - 1)));
  roots_ = c.scratch<Complex128>(std::max<int64_t>(padded_ / 2, 1));
  for (size_t k = 0; k < roots_.size(); ++k)
    roots_[k] = std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(padded_));
  if (direct) return;
  chirp_ = c.scratch<Complex128>(length);
  for (int64_t k = 0; k < length; ++k)  // k^2 modulo 2 N keeps the angle exact
    chirp_[static_cast<size_t>(k)] =
        std::polar(1.0, sign * std::numbers::pi * static_cast<double>((k * k) % (2 * length)) / static_cast<double>(length));
  chirp_spectrum_ = c.scratch<Complex128>(padded_);
  work_ = c.scratch<Complex128>(padded_);
  std::fill(chirp_spectrum_.begin(), chirp_spectrum_.end(), Complex128());
  for (size_t k = 0; k < chirp_.size(); ++k) {
    chirp_spectrum_[k] = std::conj(chirp_[k]);
    if (k > 0) chirp_spectrum_[chirp_spectrum_.size() - k] = std::conj(chirp_[k]);
  }
  radix2(chirp_spectrum_, false);
}

void Fourier::transform(std::span<Complex128> data) {
  if (chirp_.empty()) return radix2(data, false);
  std::fill(work_.begin(), work_.end(), Complex128());
  for (size_t k = 0; k < chirp_.size(); ++k) work_[k] = data[k] * chirp_[k];
  radix2(work_, false);
  for (size_t k = 0; k < work_.size(); ++k) work_[k] *= chirp_spectrum_[k];
  radix2(work_, true);
  for (size_t k = 0; k < chirp_.size(); ++k) data[k] = work_[k] * chirp_[k] / static_cast<double>(padded_);
}

// In place: elements are put in bit-reversed order, then halves are joined level by level.
void Fourier::radix2(std::span<Complex128> data, bool conjugate) const {
  const size_t n = data.size();
  for (size_t i = 1, j = 0; i < n; ++i) {
    size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(data[i], data[j]);
  }
  for (size_t half = 1; half < n; half *= 2) {
    const size_t step = n / (2 * half);
    for (size_t start = 0; start < n; start += 2 * half)
      for (size_t k = 0; k < half; ++k) {
        const Complex128 root = conjugate ? std::conj(roots_[k * step]) : roots_[k * step];
        const Complex128 &a = data[start + k], &b = data[start + k + half];
        // Written out: the product of std::complex looks for infinities.
        const Complex128 turned(b.real() * root.real() - b.imag() * root.imag(), b.real() * root.imag() + b.imag() * root.real());
        const Complex128 sum = a + turned, difference = a - turned;
        data[start + k] = sum;
        data[start + k + half] = difference;
      }
  }
}

}  // namespace cameo::ops
