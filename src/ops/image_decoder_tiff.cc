// TIFF, by libtiff; the first image of a file.
#if CAMEO_HAVE_TIFF
#include <tiffio.h>
#endif

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "ops/image_decoder.h"

namespace cameo::ops {

#if CAMEO_HAVE_TIFF
namespace {

constexpr tmsize_t kMaxAllocation = tmsize_t{1} << 30;

struct Source {
  ImageBytes file;
  uint64_t at = 0;
  std::string problem;
};

Source& source(thandle_t handle) { return *static_cast<Source*>(handle); }

tmsize_t read(thandle_t handle, void* to, tmsize_t size) {
  Source& s = source(handle);
  if (size < 0 || s.at >= s.file.size()) return 0;
  const size_t n = std::min(static_cast<size_t>(size), s.file.size() - static_cast<size_t>(s.at));
  std::memcpy(to, s.file.data() + s.at, n);
  s.at += n;
  return static_cast<tmsize_t>(n);
}

tmsize_t write(thandle_t, void*, tmsize_t) { return 0; }

toff_t seek(thandle_t handle, toff_t offset, int from) {
  Source& s = source(handle);
  s.at = from == SEEK_SET ? offset : from == SEEK_CUR ? s.at + offset : s.file.size() + offset;
  return s.at;
}

int close(thandle_t) { return 0; }
toff_t size(thandle_t handle) { return source(handle).file.size(); }
int map(thandle_t, void**, toff_t*) { return 0; }
void unmap(thandle_t, void*, toff_t) {}

int on_error(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  auto& problem = static_cast<Source*>(user)->problem;
  if (problem.empty()) problem = text;
  return 1;
}

int on_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

}  // namespace

Result<Image> decode_tiff(ImageBytes file) {
  Source from{file, 0, {}};
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), &TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMaxAllocation);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), &on_error, &from);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), &on_warning, &from);
  const auto damaged = [&] { return error(ErrorCode::kInvalidInput, "the TIFF file cannot be decoded: {}", from.problem); };
  // "m": the file is not mapped.
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(
      TIFFClientOpenExt("image", "rm", &from, &read, &write, &seek, &close, &size, &map, &unmap, options.get()), &TIFFClose);
  if (!tiff) return damaged();
  uint32_t width = 0, height = 0;
  if (!TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) || !TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height)) return damaged();
  CAMEO_ASSIGN(Image image, Image::make(width, height, 3));
  std::vector<uint32_t> pixels(image.samples.size() / 3);
  if (!TIFFReadRGBAImageOriented(tiff.get(), width, height, pixels.data(), ORIENTATION_TOPLEFT, 1)) return damaged();
  for (size_t i = 0; i < pixels.size(); ++i) {
    image.samples[3 * i] = static_cast<uint8_t>(TIFFGetR(pixels[i]));
    image.samples[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(pixels[i]));
    image.samples[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(pixels[i]));
  }
  return image;
}

#else

Result<Image> decode_tiff(ImageBytes) { return image_library_missing("TIFF", "libtiff (4.5 or newer)"); }

#endif

}  // namespace cameo::ops
