// PNG, by libpng's simplified interface.
#if CAMEO_HAVE_PNG
#include <png.h>
#endif

#include "ops/image_decoder.h"

namespace cameo::ops {

#if CAMEO_HAVE_PNG

Result<Image> decode_png(ImageBytes file) {
  struct Decoder {
    png_image png = {};
    ~Decoder() { png_image_free(&png); }
  } decoder;
  png_image& png = decoder.png;
  png.version = PNG_IMAGE_VERSION;
  const auto damaged = [&] { return error(ErrorCode::kInvalidInput, "the PNG file cannot be decoded: {}", png.message); };
  if (!png_image_begin_read_from_memory(&png, file.data(), file.size())) return damaged();
  const bool grey = !(png.format & (PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_COLORMAP));
  const bool alpha = png.format & PNG_FORMAT_FLAG_ALPHA;
  const size_t channels = grey ? 1 : 3;
  CAMEO_ASSIGN(Image image, Image::make(png.width, png.height, grey ? 1 : 3));
  // Transparent pixels keep their colour: alpha is read and then dropped.
  png.format = (grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0);
  if (!alpha) {
    if (!png_image_finish_read(&png, nullptr, image.samples.data(), 0, nullptr)) return damaged();
    return image;
  }
  std::vector<uint8_t> with_alpha(PNG_IMAGE_SIZE(png));
  if (!png_image_finish_read(&png, nullptr, with_alpha.data(), 0, nullptr)) return damaged();
  for (size_t i = 0, n = image.samples.size() / channels; i < n; ++i)
    for (size_t k = 0; k < channels; ++k) image.samples[i * channels + k] = with_alpha[i * (channels + 1) + k];
  return image;
}

#else

Result<Image> decode_png(ImageBytes) { return image_library_missing("PNG", "libpng"); }

#endif

}  // namespace cameo::ops
