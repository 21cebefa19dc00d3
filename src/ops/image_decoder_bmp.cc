// Windows bitmaps: 1, 4, 8 (palette), 24 and 32 bits a pixel, uncompressed, from the bottom or from the top.
#include <cstdlib>

#include "ops/image_decoder.h"

namespace cameo::ops {

Result<Image> decode_bmp(ImageBytes file) {
  const auto at = [&](size_t offset, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= uint32_t{file[offset + static_cast<size_t>(i)]} << (8 * i);
    return value;
  };
  constexpr size_t kFileHeader = 14, kInfoHeader = 40;
  if (file.size() < kFileHeader + kInfoHeader) return error(ErrorCode::kInvalidInput, "the BMP file ends within its header");
  const size_t pixels = at(10, 4), header = at(14, 4);
  if (header < kInfoHeader) return error(ErrorCode::kUnsupported, "BMP files with a header of {} bytes are not known", header);
  const int64_t width = static_cast<int32_t>(at(18, 4)), signed_height = static_cast<int32_t>(at(22, 4));
  const uint32_t bits = at(28, 2), compression = at(30, 4);
  if (compression != 0 || (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32))
    return error(ErrorCode::kUnsupported, "the BMP file has {} bits a pixel and compression {}; allowed: 1, 4, 8, 24, 32, uncompressed",
                 bits, compression);
  CAMEO_ASSIGN(Image image, Image::make(width, std::abs(signed_height), 3));
  const size_t row_bytes = (static_cast<size_t>(width) * bits + 31) / 32 * 4;
  const size_t palette = kFileHeader + header;
  size_t colours = 0;
  if (bits <= 8) {
    colours = at(46, 4) ? at(46, 4) : size_t{1} << bits;
    if (colours > 256 || palette + colours * 4 > file.size())
      return error(ErrorCode::kInvalidInput, "the BMP file's palette of {} colours goes beyond its end", colours);
  }
  if (pixels > file.size() || row_bytes * static_cast<size_t>(image.height) > file.size() - pixels)
    return error(ErrorCode::kInvalidInput, "the BMP file of {} bytes is too short for {} x {} pixels", file.size(), image.width,
                 image.height);
  uint8_t* to = image.samples.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const size_t row = pixels + static_cast<size_t>(signed_height > 0 ? image.height - 1 - y : y) * row_bytes;
    for (size_t x = 0; x < static_cast<size_t>(width); ++x, to += 3) {
      size_t pixel = row + x * (bits / 8);
      if (bits <= 8) {
        const size_t bit = x * bits;
        const size_t index = file[row + bit / 8] >> (8 - bits - bit % 8) & ((1u << bits) - 1);
        if (index >= colours) return error(ErrorCode::kInvalidInput, "the BMP file has colour {} of {}", index, colours);
        pixel = palette + index * 4;
      }
      for (size_t k = 0; k < 3; ++k) to[k] = file[pixel + 2 - k];
    }
  }
  return image;
}

}  // namespace cameo::ops
