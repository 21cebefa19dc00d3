// The fixed part at the start of a plan file. All numbers are little-endian.
#pragma once

#include <cstdint>
#include <cstring>

namespace cameo::plan {

inline constexpr unsigned char kMagic[8] = {0x89, 'C', 'A', 'M', 'E', 'O', '\r', '\n'};
inline constexpr uint64_t kAlignment = 64;

struct Header {
  unsigned char magic[8];
  uint32_t format_version;
  uint32_t reserved;  // 0
  uint64_t file_bytes;
  uint64_t metadata_offset;  // kHeaderBytes
  uint64_t metadata_bytes;
  uint64_t weights_offset;  // a multiple of kAlignment
  uint64_t weights_bytes;
  uint64_t metadata_checksum;  // XXH3 64
  uint64_t weights_checksum;   // XXH3 64
  uint64_t header_checksum;    // XXH3 64 of all bytes before this field
  uint64_t zero[6];
};
inline constexpr uint64_t kHeaderBytes = 128;
static_assert(sizeof(Header) == kHeaderBytes);

constexpr uint64_t align_up(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

// XXH3, 64 bits. It finds damage, not malice: what it lets through is still checked field by field.
uint64_t checksum(const void* data, size_t bytes);

}  // namespace cameo::plan
