// Decoders of image files in memory, for ImageDecoder. Each gives rows from the top of 8-bit samples, 1 (grey) or 3 (red, green,
// blue) a pixel; alpha is dropped. What a file says is checked before memory is taken; errors are kInvalidInput for a damaged
// file, and kUnsupported for what the format has but the decoder lacks, or for a library that was not built in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace cameo::ops {

using ImageBytes = std::span<const uint8_t>;

struct Image {
  // Larger images are refused: a file of a few bytes may claim any size.
  static constexpr int64_t kMaxPixels = int64_t{1} << 28;

  int64_t width = 0, height = 0, channels = 3;
  std::vector<uint8_t> samples;

  // An image of that size with room for its samples.
  static Result<Image> make(int64_t width, int64_t height, int64_t channels);
};

Result<Image> decode_bmp(ImageBytes file);
Result<Image> decode_jpeg(ImageBytes file);
Result<Image> decode_jpeg2000(ImageBytes file);
Result<Image> decode_png(ImageBytes file);
Result<Image> decode_pnm(ImageBytes file);
Result<Image> decode_tiff(ImageBytes file);
Result<Image> decode_webp(ImageBytes file);

// The format is told by the file's first bytes.
Result<Image> decode_image(ImageBytes file);

// For builds without the library that a format needs.
Error image_library_missing(const char* format, const char* library);

}  // namespace cameo::ops
