#include "gguf/blocks.h"

#include <algorithm>
#include <cstring>

#include "base/numeric.h"

namespace cameo::gguf {
namespace {

float half_at(const uint8_t* p) {
  Float16 half;
  std::memcpy(&half, p, 2);
  return static_cast<float>(half);
}

// Element j of the first half of a block of 32 has the low bits of byte j, one of the second half the high bits.
uint8_t nibble(const uint8_t* bytes, int64_t i) { return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4; }

// scale, 16 bytes
void decode_q4_0(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  scales[0] = half_at(b);
  for (int64_t i = 0; i < 32; ++i) codes[i] = nibble(b + 2, i);
}

// scale, offset, 16 bytes
void decode_q4_1(const uint8_t* b, uint8_t* codes, float* scales, float* offsets) {
  scales[0] = half_at(b);
  offsets[0] = half_at(b + 2);
  for (int64_t i = 0; i < 32; ++i) codes[i] = nibble(b + 4, i);
}

// scale, fifth bits of all elements, 16 bytes
void decode_q5_0(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  scales[0] = half_at(b);
  uint32_t high;
  std::memcpy(&high, b + 2, 4);
  for (int64_t i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(128 - 16 + (nibble(b + 6, i) | (high >> i & 1) << 4));
}

// scale, offset, fifth bits, 16 bytes
void decode_q5_1(const uint8_t* b, uint8_t* codes, float* scales, float* offsets) {
  scales[0] = half_at(b);
  offsets[0] = half_at(b + 2);
  uint32_t high;
  std::memcpy(&high, b + 4, 4);
  for (int64_t i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(nibble(b + 8, i) | (high >> i & 1) << 4);
}

// scale, 32 signed bytes
void decode_q8_0(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  scales[0] = half_at(b);
  for (int64_t i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(b[2 + i] + 128);
}

// The scale and the least value of group g, 6 bits each, as Q4_K and Q5_K pack eight pairs of them in 12 bytes.
void six_bits(const uint8_t* p, int64_t g, uint8_t& scale, uint8_t& least) {
  if (g < 4) {
    scale = p[g] & 63;
    least = p[g + 4] & 63;
  } else {
    scale = static_cast<uint8_t>((p[g + 4] & 15) | (p[g - 4] >> 6) << 4);
    least = static_cast<uint8_t>((p[g + 4] >> 4) | (p[g] >> 6) << 4);
  }
}

void decode_k_scales(const uint8_t* b, float* scales, float* offsets) {
  const float scale = half_at(b), least = half_at(b + 2);
  for (int64_t g = 0; g < 8; ++g) {
    uint8_t s, m;
    six_bits(b + 4, g, s, m);
    scales[g] = scale * s;
    offsets[g] = -least * m;
  }
}

// scale of scales, scale of least values, 12 bytes of both, 128 bytes: of each 32, low bits are one group, high bits the next
void decode_q4_k(const uint8_t* b, uint8_t* codes, float* scales, float* offsets) {
  decode_k_scales(b, scales, offsets);
  for (int64_t i = 0; i < 256; ++i) {
    const uint8_t byte = b[16 + i / 64 * 32 + i % 32];
    codes[i] = i % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

// The same with 32 bytes of fifth bits, bit g of byte i being that of element i of group g
void decode_q5_k(const uint8_t* b, uint8_t* codes, float* scales, float* offsets) {
  decode_k_scales(b, scales, offsets);
  for (int64_t i = 0; i < 256; ++i) {
    const uint8_t byte = b[48 + i / 64 * 32 + i % 32];
    codes[i] = static_cast<uint8_t>((i % 64 < 32 ? byte & 15 : byte >> 4) | (b[16 + i % 32] >> i / 32 & 1) << 4);
  }
}

// 128 bytes of low halves, 64 bytes of two high bits, 16 signed scales, their scale; halves of 128 elements
void decode_q6_k(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  const float scale = half_at(b + 208);
  for (int64_t g = 0; g < 16; ++g) scales[g] = scale * static_cast<int8_t>(b[192 + g]);
  for (int64_t i = 0; i < 256; ++i) {
    const int64_t half = i / 128, quarter = i % 128 / 32, j = i % 32;
    const uint8_t low = b[half * 64 + quarter % 2 * 32 + j], high = b[128 + half * 32 + j];
    const int value = (quarter < 2 ? low & 15 : low >> 4) | (high >> quarter * 2 & 3) << 4;
    codes[i] = static_cast<uint8_t>(value - 32 + 128);
  }
}

// Two bits of element i of 256, four elements to a byte: those of a half of 128 elements stand 32 apart
int two_bits(const uint8_t* bytes, int64_t i) { return bytes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }

// 16 bytes of scales (low bits) and least values (high bits), 64 bytes of codes, the scale of both
void decode_q2_k(const uint8_t* b, uint8_t* codes, float* scales, float* offsets) {
  const float scale = half_at(b + 80), least = half_at(b + 82);
  for (int64_t g = 0; g < 16; ++g) {
    scales[g] = scale * static_cast<float>(b[g] & 15);
    offsets[g] = -least * static_cast<float>(b[g] >> 4);
  }
  for (int64_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(two_bits(b + 16, i));
}

// 32 bytes of third bits as in Q5_K, 64 bytes of low bits, 16 scales of 6 bits in 12 bytes, their scale
void decode_q3_k(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  const float scale = half_at(b + 108);
  const uint8_t* packed = b + 96;
  for (int64_t g = 0; g < 16; ++g) {
    const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4, high = packed[8 + g % 4] >> g / 4 * 2 & 3;
    scales[g] = scale * static_cast<float>((low | high << 4) - 32);
  }
  for (int64_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(8 - 4 + (two_bits(b + 32, i) | (b[i % 32] >> i / 32 & 1) << 2));
}

// What the codes of IQ4_NL and IQ4_XS stand for.
constexpr int8_t kUneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

uint8_t uneven(const uint8_t* bytes, int64_t i) { return static_cast<uint8_t>(kUneven[nibble(bytes, i)] + 128); }

// scale, 16 bytes
void decode_iq4_nl(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  scales[0] = half_at(b);
  for (int64_t i = 0; i < 32; ++i) codes[i] = uneven(b + 2, i);
}

// scale, two high bits of eight scales, their four low bits, 16 bytes for each 32 elements
void decode_iq4_xs(const uint8_t* b, uint8_t* codes, float* scales, float*) {
  const float scale = half_at(b);
  for (int64_t g = 0; g < 8; ++g) {
    const int low = b[4 + g / 2] >> g % 2 * 4 & 15, high = b[2 + g / 4] >> g % 4 * 2 & 3;
    scales[g] = scale * static_cast<float>((low | high << 4) - 32);
    for (int64_t i = 0; i < 32; ++i) codes[g * 32 + i] = uneven(b + 8 + g * 16, i);
  }
}

constexpr BlockType kTypes[] = {
    {.number = 0, .name = "F32", .elements = 1, .bytes = 4, .dtype = DType::kFloat32},
    {.number = 1, .name = "F16", .elements = 1, .bytes = 2, .dtype = DType::kFloat16},
    {.number = 30, .name = "BF16", .elements = 1, .bytes = 2, .dtype = DType::kBfloat16},
    {.number = 2, .name = "Q4_0", .elements = 32, .bytes = 18, .bits = 4, .group = 32, .half_scales = true, .decode = &decode_q4_0},
    {.number = 3,
     .name = "Q4_1",
     .elements = 32,
     .bytes = 20,
     .bits = 4,
     .group = 32,
     .offsets = true,
     .half_scales = true,
     .decode = &decode_q4_1},
    {.number = 6, .name = "Q5_0", .elements = 32, .bytes = 22, .bits = 8, .group = 32, .half_scales = true, .decode = &decode_q5_0},
    {.number = 7,
     .name = "Q5_1",
     .elements = 32,
     .bytes = 24,
     .bits = 8,
     .group = 32,
     .offsets = true,
     .half_scales = true,
     .decode = &decode_q5_1},
    {.number = 8, .name = "Q8_0", .elements = 32, .bytes = 34, .bits = 8, .group = 32, .half_scales = true, .decode = &decode_q8_0},
    {.number = 10, .name = "Q2_K", .elements = 256, .bytes = 84, .bits = 4, .group = 16, .offsets = true, .decode = &decode_q2_k},
    {.number = 11, .name = "Q3_K", .elements = 256, .bytes = 110, .bits = 4, .group = 16, .decode = &decode_q3_k},
    {.number = 12, .name = "Q4_K", .elements = 256, .bytes = 144, .bits = 4, .group = 32, .offsets = true, .decode = &decode_q4_k},
    {.number = 13, .name = "Q5_K", .elements = 256, .bytes = 176, .bits = 8, .group = 32, .offsets = true, .decode = &decode_q5_k},
    {.number = 14, .name = "Q6_K", .elements = 256, .bytes = 210, .bits = 8, .group = 16, .decode = &decode_q6_k},
    {.number = 20, .name = "IQ4_NL", .elements = 32, .bytes = 18, .bits = 8, .group = 32, .half_scales = true, .decode = &decode_iq4_nl},
    {.number = 23, .name = "IQ4_XS", .elements = 256, .bytes = 136, .bits = 8, .group = 32, .decode = &decode_iq4_xs},
};

}  // namespace

const BlockType* find_block_type(uint32_t number) {
  for (const BlockType& type : kTypes)
    if (type.number == number) return &type;
  return nullptr;
}

std::string known_block_types() {
  std::string names;
  for (const BlockType& type : kTypes) names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

void dequantize(const BlockType& type, const uint8_t* blocks, int64_t elements, float* to) {
  if (type.decode == nullptr) {
    for (int64_t i = 0; i < elements; ++i) {
      if (type.dtype == DType::kFloat32) {
        std::memcpy(to + i, blocks + 4 * i, 4);
      } else if (type.dtype == DType::kFloat16) {
        to[i] = half_at(blocks + 2 * i);
      } else {
        Bfloat16 value;
        std::memcpy(&value, blocks + 2 * i, 2);
        to[i] = static_cast<float>(value);
      }
    }
    return;
  }
  uint8_t codes[kMostBlockElements];
  float scales[kMostBlockGroups], offsets[kMostBlockGroups];
  const int zero = type.offsets ? 0 : type.bits == 4 ? 8 : 128;
  for (int64_t done = 0; done < elements; done += type.elements, blocks += type.bytes) {
    type.decode(blocks, codes, scales, offsets);
    for (int64_t i = 0; i < type.elements; ++i) {
      const int64_t g = i / type.group;
      to[done + i] = static_cast<float>(codes[i] - zero) * scales[g] + (type.offsets ? offsets[g] : 0.f);
    }
  }
}

}  // namespace cameo::gguf
