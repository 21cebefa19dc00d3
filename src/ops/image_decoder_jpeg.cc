// JPEG, by libjpeg-turbo.
#if CAMEO_HAVE_TURBOJPEG
#include <turbojpeg.h>
#endif

#include <climits>
#include <memory>

#include "ops/image_decoder.h"

namespace cameo::ops {

#if CAMEO_HAVE_TURBOJPEG

Result<Image> decode_jpeg(ImageBytes file) {
  struct Close {
    void operator()(void* handle) const { tjDestroy(handle); }
  };
  const std::unique_ptr<void, Close> decoder(tjInitDecompress());
  if (!decoder) throw std::bad_alloc();
  const auto damaged = [&] {
    return error(ErrorCode::kInvalidInput, "the JPEG file cannot be decoded: {}", tjGetErrorStr2(decoder.get()));
  };
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (file.size() > ULONG_MAX || tjDecompressHeader3(decoder.get(), file.data(), static_cast<unsigned long>(file.size()), &width, &height,
                                                     &subsampling, &colours) != 0)
    return damaged();
  if (width == 0 || height == 0) return error(ErrorCode::kInvalidInput, "the JPEG file holds no image");
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) return error(ErrorCode::kUnsupported, "JPEG files in CMYK are not known");
  const bool grey = colours == TJCS_GRAY;
  CAMEO_ASSIGN(Image image, Image::make(width, height, grey ? 1 : 3));
  // A file of many scans would take a time out of all proportion to its size.
  if (tjDecompress2(decoder.get(), file.data(), static_cast<unsigned long>(file.size()), image.samples.data(), width, 0, height,
                    grey ? TJPF_GRAY : TJPF_RGB, TJFLAG_LIMITSCANS) != 0 &&
      tjGetErrorCode(decoder.get()) == TJERR_FATAL)
    return damaged();
  return image;
}

#else

Result<Image> decode_jpeg(ImageBytes) { return image_library_missing("JPEG", "libjpeg-turbo (libturbojpeg)"); }

#endif

}  // namespace cameo::ops
