// WebP, by libwebp; of an animation nothing is decoded.
#if CAMEO_HAVE_WEBP
#include <webp/decode.h>
#endif

#include "ops/image_decoder.h"

namespace cameo::ops {

#if CAMEO_HAVE_WEBP

Result<Image> decode_webp(ImageBytes file) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(file.data(), file.size(), &features) != VP8_STATUS_OK)
    return error(ErrorCode::kInvalidInput, "the WebP file cannot be decoded: its header is damaged");
  if (features.has_animation) return error(ErrorCode::kUnsupported, "animated WebP files are not known");
  CAMEO_ASSIGN(Image image, Image::make(features.width, features.height, 3));
  if (!WebPDecodeRGBInto(file.data(), file.size(), image.samples.data(), image.samples.size(), features.width * 3))
    return error(ErrorCode::kInvalidInput, "the WebP file cannot be decoded: its data is damaged");
  return image;
}

#else

Result<Image> decode_webp(ImageBytes) { return image_library_missing("WebP", "libwebp"); }

#endif

}  // namespace cameo::ops
