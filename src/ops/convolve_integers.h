// Convolution of 8-bit integers with zero points, for ConvInteger and QLinearConv. Sums wrap around in 32 bits.
#pragma once

#include "ops/convolve.h"

namespace cameo::ops {

// Elements of int8 or uint8 tensors as numbers less their zero point; one code path for both types: an int8 with its
// top bit flipped is its value plus 128 as uint8.
struct IntegerOperand {
  const uint8_t* data;
  uint8_t flip;                   // 0x80 for int8
  const uint8_t* zero = nullptr;  // one, or one per channel; null: 0
  bool per_channel = false;

  static IntegerOperand make(const Tensor& t) { return {t.data<uint8_t>(), static_cast<uint8_t>(t.dtype() == DType::kInt8 ? 0x80 : 0)}; }
  // `zeros` has the type of the operand.
  IntegerOperand& with_zero_point(const Tensor& zeros) {
    zero = zeros.data<uint8_t>();
    per_channel = zeros.num_elements() > 1;
    return *this;
  }
  uint32_t load(uint8_t v, int64_t channel) const {
    const uint8_t z = zero ? zero[per_channel ? channel : 0] : 0;
    return static_cast<uint32_t>(v ^ flip) - static_cast<uint32_t>(z ^ flip);  // modulo 2^32
  }
};

// A zero point or scale is one number, or when `channels` is known one per channel.
inline Status check_quantizer(const InferContext& c, size_t i, const char* what, const ir::Dim& channels) {
  if (!c.has_input(i) || !c.shape(i)) return {};
  const ir::Shape& shape = *c.shape(i);
  if (shape.empty() || (shape.size() == 1 && (!shape[0].is_const() || shape[0].is(1)))) return {};
  if (shape.size() == 1 && !channels.is_unknown() && (!channels.is_const() || shape[0] == channels)) return {};
  return error(ErrorCode::kInvalidInput, "{} has shape {}; it must be a scalar{}", what, ir::to_string(shape),
               channels.is_unknown() ? std::string() : " or have one element for each of the output channels, " + channels.to_string());
}

template <class Y, class Store>
Status convolve_integers(KernelContext& c, const ConvGeometry& g, const IntegerOperand& x, const IntegerOperand& w, Y* y, Store store) {
  return convolve<uint32_t>(
      c, g, x.data, w.data, y, [&](uint8_t v) { return x.load(v, 0); }, [&](uint8_t v, int64_t channel) { return w.load(v, channel); },
      store);
}

}  // namespace cameo::ops
