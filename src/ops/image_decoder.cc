// ImageDecoder (ai.onnx 20): decodes an image file (BMP, JPEG, JPEG 2000, PNG, PNM, TIFF, WebP) to [height, width, channels] of
// uint8: three channels for RGB and BGR, one for Grayscale, which is the luma 0.299 R + 0.587 G + 0.114 B.
#include "ops/image_decoder.h"

#include <algorithm>
#include <string_view>

#include "ops/op.h"

namespace cameo::ops {

Result<Image> Image::make(int64_t width, int64_t height, int64_t channels) {
  if (width < 1 || height < 1 || width > kMaxPixels || height > kMaxPixels / width)
    return error(ErrorCode::kInvalidInput, "the image is {} x {} pixels; allowed: 1 to {} in all", width, height, kMaxPixels);
  Image image{width, height, channels, {}};
  image.samples.resize(static_cast<size_t>(width * height * channels));
  return image;
}

Error image_library_missing(const char* format, const char* library) {
  return error(ErrorCode::kUnsupported, "this build of Cameo cannot decode {}; build it with {}", format, library);
}

Result<Image> decode_image(ImageBytes file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  const auto starts = [&](std::string_view magic, size_t at = 0) { return text.substr(std::min(at, text.size())).starts_with(magic); };
  using namespace std::string_view_literals;
  if (starts("\xff\xd8\xff"sv)) return decode_jpeg(file);
  if (starts("\x89PNG\r\n\x1a\n"sv)) return decode_png(file);
  if (starts("BM"sv)) return decode_bmp(file);
  if (starts("RIFF"sv) && starts("WEBP"sv, 8)) return decode_webp(file);
  if (starts("II*\0"sv) || starts("MM\0*"sv)) return decode_tiff(file);
  if (starts("\0\0\0\x0cjP  \r\n\x87\n"sv) || starts("\xff\x4f\xff\x51"sv)) return decode_jpeg2000(file);
  if (text.size() > 2 && text[0] == 'P' && text[1] >= '1' && text[1] <= '6') return decode_pnm(file);
  return error(ErrorCode::kInvalidInput, "{} bytes that start like no image; known: BMP, JPEG, JPEG 2000, PNG, PNM, TIFF, WebP",
               file.size());
}

namespace {

struct ImageDecoderAttrs : ir::AttrsOf<ImageDecoderAttrs> {
  std::string pixel_format = "RGB";
  void visit(ir::AttrVisitor& v) override { v("pixel_format", pixel_format); }
};

Status infer(InferContext& c) {
  const std::string& format = c.attrs<ImageDecoderAttrs>().pixel_format;
  if (format != "RGB" && format != "BGR" && format != "Grayscale")
    return error(ErrorCode::kInvalidModel, "pixel_format is '{}'; allowed: 'RGB', 'BGR', 'Grayscale'", format);
  if (c.shape(0) && c.shape(0)->size() != 1)
    return error(ErrorCode::kInvalidInput, "the encoded stream has rank {}; it must be one list of bytes", c.shape(0)->size());
  c.set_output(0, DType::kUint8, {ir::Dim::unknown(), ir::Dim::unknown(), format == "Grayscale" ? 1 : 3});
  return {};
}

// Weights in units of 2^-16, rounded.
uint8_t luma(const uint8_t* rgb) { return static_cast<uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16); }

Status reference(KernelContext& c) {
  const std::string& format = c.attrs<ImageDecoderAttrs>().pixel_format;
  CAMEO_ASSIGN(const Image image, decode_image(c.input(0).span<uint8_t>()));
  const bool grey = format == "Grayscale", reversed = format == "BGR";
  CAMEO_TRY(c.allocate_output(0, DType::kUint8, {image.height, image.width, grey ? 1 : 3}));
  uint8_t* to = c.output(0).data<uint8_t>();
  const uint8_t* from = image.samples.data();
  for (int64_t i = 0; i < image.width * image.height; ++i, from += image.channels) {
    const uint8_t rgb[3] = {from[0], from[image.channels == 3 ? 1 : 0], from[image.channels == 3 ? 2 : 0]};
    if (grey) {
      *to++ = image.channels == 1 ? from[0] : luma(rgb);
      continue;
    }
    for (int k = 0; k < 3; ++k) *to++ = rgb[reversed ? 2 - k : k];
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(ImageDecoder) = {
    .name = "ImageDecoder",
    .min_version = 20,
    .input_types = {{DType::kUint8}},
    .make_attrs = &ir::make_attrs<ImageDecoderAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
