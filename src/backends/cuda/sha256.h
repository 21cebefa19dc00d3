// SHA-256 (FIPS 180-4) and HMAC (RFC 2104).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace cameo::cuda {

using Digest = std::array<uint8_t, 32>;
Digest sha256(std::string_view data);
Digest hmac_sha256(std::string_view key, std::string_view data);

}  // namespace cameo::cuda
