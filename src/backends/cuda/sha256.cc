#include "backends/cuda/sha256.h"

#include <bit>
#include <cmath>
#include <string>

namespace cameo::cuda {
namespace {

// The fractional parts of the square and cube roots of the first primes, 32 bits each.
struct Constants {
  uint32_t start[8], round[64];
  Constants() {
    int count = 0;
    for (uint32_t n = 2; count < 64; ++n) {
      bool prime = true;
      for (uint32_t d = 2; d * d <= n; ++d) prime &= n % d != 0;
      if (!prime) continue;
      const auto fraction = [](long double x) { return static_cast<uint32_t>((x - std::floor(x)) * 4294967296.0L); };
      if (count < 8) start[count] = fraction(std::sqrt(static_cast<long double>(n)));
      round[count++] = fraction(std::cbrt(static_cast<long double>(n)));
    }
  }
};

void mix(const Constants& k, uint32_t (&h)[8], const uint8_t* block) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i)
    w[i] = uint32_t{block[4 * i]} << 24 | uint32_t{block[4 * i + 1]} << 16 | uint32_t{block[4 * i + 2]} << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  uint32_t v[8];
  for (int i = 0; i < 8; ++i) v[i] = h[i];
  for (int i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25);
    const uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k.round[i] + w[i];
    const uint32_t s0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
    const uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (int j = 7; j > 0; --j) v[j] = v[j - 1];
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; ++i) h[i] += v[i];
}

}  // namespace

Digest sha256(std::string_view data) {
  static const Constants k;
  uint32_t h[8];
  for (int i = 0; i < 8; ++i) h[i] = k.start[i];
  const auto* bytes = reinterpret_cast<const uint8_t*>(data.data());
  size_t at = 0;
  for (; at + 64 <= data.size(); at += 64) mix(k, h, bytes + at);
  uint8_t last[128] = {};
  const size_t rest = data.size() - at;
  for (size_t i = 0; i < rest; ++i) last[i] = bytes[at + i];
  last[rest] = 0x80;
  const size_t end = rest < 56 ? 64 : 128;
  const uint64_t bits = uint64_t{data.size()} * 8;
  for (size_t i = 0; i < 8; ++i) last[end - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  for (size_t i = 0; i < end; i += 64) mix(k, h, last + i);
  Digest digest;
  for (size_t i = 0; i < 32; ++i) digest[i] = static_cast<uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

Digest hmac_sha256(std::string_view key, std::string_view data) {
  std::string inner(64, '\0'), outer(64, '\0');
  const auto text = [](const Digest& d) { return std::string(reinterpret_cast<const char*>(d.data()), d.size()); };
  std::string padded(key.size() > 64 ? text(sha256(key)) : std::string(key));
  padded.resize(64, '\0');
  for (size_t i = 0; i < 64; ++i) {
    inner[i] = static_cast<char>(padded[i] ^ 0x36);
    outer[i] = static_cast<char>(padded[i] ^ 0x5c);
  }
  return sha256(outer + text(sha256(inner.append(data))));
}

}  // namespace cameo::cuda
