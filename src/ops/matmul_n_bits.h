// Attributes and layout of com.microsoft's MatMulNBits.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

// B is uint8 [N, blocks, block_size * bits / 8]: the codes of a column of W, 4-bit ones with the first in the low half of a byte. Scales
// and zero points stand block by block, column by column; 4-bit zero points are packed alike, each column from a byte of its own on.
struct MatMulNBitsAttrs : ir::AttrsOf<MatMulNBitsAttrs> {
  int64_t K = 0, N = 0, bits = 4, block_size = 0, accuracy_level = 0;
  void visit(ir::AttrVisitor& v) override {
    v("K", K);
    v("N", N);
    v("bits", bits);
    v("block_size", block_size);
    v("accuracy_level", accuracy_level);
  }
  int64_t blocks() const { return (K + block_size - 1) / block_size; }
  int64_t zero_stride() const { return (blocks() * bits + 7) / 8; }

  int code(const uint8_t* b, int64_t k, int64_t n) const {
    const uint8_t* block = b + (n * blocks() + k / block_size) * (block_size * bits / 8);
    return at(block, k % block_size);
  }
  // Zeros may be null.
  int zero(const uint8_t* zeros, int64_t block, int64_t n) const {
    return zeros == nullptr ? 1 << (bits - 1) : at(zeros + n * zero_stride(), block);
  }
  // Whether the attributes are sound and so many elements of B, scales and zero points (absent: -1) fit them.
  Status check(int64_t b, int64_t scales, int64_t zeros) const;

 private:
  int at(const uint8_t* codes, int64_t i) const { return bits == 8 ? codes[i] : codes[i / 2] >> (i % 2 * 4) & 15; }
};

}  // namespace cameo::ops
