// The types of GGUF's tensors: numbers, and blocks of few bits with scales.
#pragma once

#include <cstdint>
#include <string>

#include "cameo/types.h"

namespace cameo::gguf {

// A block of a row. Where `decode` is set, elements stand for scale * (code - zero), zero being the middle of the codes' range, or
// with `offsets` for scale * code + offset; each group of `group` elements has its scale and offset.
struct BlockType {
  uint32_t number;
  const char* name;
  int64_t elements, bytes;
  DType dtype = DType::kUndefined;  // of plain numbers
  int bits = 0;                     // of a code: 4 or 8
  int64_t group = 0;
  bool offsets = false;
  bool half_scales = false;  // scales and offsets are float16 numbers
  void (*decode)(const uint8_t* block, uint8_t* codes, float* scales, float* offsets) = nullptr;
};

// Null for a type that is not known.
const BlockType* find_block_type(uint32_t number);
// "F32, F16, …"
std::string known_block_types();

inline constexpr int64_t kMostBlockElements = 256, kMostBlockGroups = 16;

// The elements of whole blocks as float32.
void dequantize(const BlockType& type, const uint8_t* blocks, int64_t elements, float* to);

}  // namespace cameo::gguf
