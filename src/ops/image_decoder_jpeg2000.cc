// JPEG 2000, by OpenJPEG: grey or RGB, up to 16 bits a sample, components of one size.
#if CAMEO_HAVE_OPENJPEG
#include <openjpeg.h>
#endif

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "ops/image_decoder.h"

namespace cameo::ops {

#if CAMEO_HAVE_OPENJPEG
namespace {

struct Source {
  ImageBytes file;
  size_t at = 0;
  std::string problem;
};

OPJ_SIZE_T read(void* to, OPJ_SIZE_T size, void* user) {
  auto& s = *static_cast<Source*>(user);
  const size_t n = std::min<size_t>(size, s.file.size() - s.at);
  if (n == 0) return static_cast<OPJ_SIZE_T>(-1);
  std::memcpy(to, s.file.data() + s.at, n);
  s.at += n;
  return n;
}

OPJ_OFF_T skip(OPJ_OFF_T count, void* user) {
  auto& s = *static_cast<Source*>(user);
  if (count < 0 || static_cast<size_t>(count) > s.file.size() - s.at) return -1;
  s.at += static_cast<size_t>(count);
  return count;
}

OPJ_BOOL seek(OPJ_OFF_T to, void* user) {
  auto& s = *static_cast<Source*>(user);
  if (to < 0 || static_cast<size_t>(to) > s.file.size()) return OPJ_FALSE;
  s.at = static_cast<size_t>(to);
  return OPJ_TRUE;
}

void on_error(const char* message, void* user) {
  auto& problem = static_cast<Source*>(user)->problem;
  if (!problem.empty()) return;
  problem = message;
  while (problem.ends_with('\n')) problem.pop_back();
}

template <class T, void (*kFree)(T*)>
struct Free {
  void operator()(T* p) const { kFree(p); }
};

// A sample of `bits` bits, perhaps signed, as 8 bits.
uint8_t to_byte(int32_t value, const opj_image_comp_t& component) {
  const int64_t largest = (int64_t{1} << component.prec) - 1;
  const int64_t unsigned_value =
      std::clamp<int64_t>(int64_t{value} + (component.sgnd ? int64_t{1} << (component.prec - 1) : 0), 0, largest);
  return static_cast<uint8_t>(component.prec == 8 ? unsigned_value : unsigned_value * 255 / largest);
}

}  // namespace

Result<Image> decode_jpeg2000(ImageBytes file) {
  Source from{file, 0, {}};
  const bool bare = file[0] == 0xff;
  const std::unique_ptr<opj_stream_t, Free<opj_stream_t, opj_stream_destroy>> stream(opj_stream_default_create(OPJ_TRUE));
  const std::unique_ptr<opj_codec_t, Free<opj_codec_t, opj_destroy_codec>> codec(
      opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2));
  if (!stream || !codec) throw std::bad_alloc();
  opj_stream_set_read_function(stream.get(), &read);
  opj_stream_set_skip_function(stream.get(), &skip);
  opj_stream_set_seek_function(stream.get(), &seek);
  opj_stream_set_user_data(stream.get(), &from, nullptr);
  opj_stream_set_user_data_length(stream.get(), file.size());
  opj_set_error_handler(codec.get(), &on_error, &from);
  const auto damaged = [&] { return error(ErrorCode::kInvalidInput, "the JPEG 2000 file cannot be decoded: {}", from.problem); };
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* raw = nullptr;
  if (!opj_setup_decoder(codec.get(), &parameters) || !opj_read_header(stream.get(), codec.get(), &raw)) return damaged();
  const std::unique_ptr<opj_image_t, Free<opj_image_t, opj_image_destroy>> decoded(raw);
  const int64_t channels = raw->numcomps >= 3 ? 3 : 1;
  CAMEO_ASSIGN(Image image, Image::make(int64_t{raw->x1} - raw->x0, int64_t{raw->y1} - raw->y0, channels));
  for (int64_t k = 0; k < channels; ++k) {
    const opj_image_comp_t& c = raw->comps[k];
    if (c.dx != 1 || c.dy != 1 || c.prec < 1 || c.prec > 16)
      return error(ErrorCode::kUnsupported, "JPEG 2000 files with subsampled components or {} bits a sample are not known", c.prec);
  }
  if (!opj_decode(codec.get(), stream.get(), raw) || !opj_end_decompress(codec.get(), stream.get())) return damaged();
  if (channels == 3 && raw->color_space != OPJ_CLRSPC_SRGB && raw->color_space != OPJ_CLRSPC_UNSPECIFIED &&
      raw->color_space != OPJ_CLRSPC_UNKNOWN)
    return error(ErrorCode::kUnsupported, "JPEG 2000 files in the colour space {} are not known; allowed: grey, sRGB",
                 static_cast<int>(raw->color_space));
  for (int64_t k = 0; k < channels; ++k) {
    const opj_image_comp_t& c = raw->comps[k];
    if (!c.data || c.w != static_cast<OPJ_UINT32>(image.width) || c.h != static_cast<OPJ_UINT32>(image.height)) return damaged();
    for (int64_t i = 0; i < image.width * image.height; ++i) image.samples[static_cast<size_t>(i * channels + k)] = to_byte(c.data[i], c);
  }
  return image;
}

#else

Result<Image> decode_jpeg2000(ImageBytes) { return image_library_missing("JPEG 2000", "OpenJPEG (libopenjp2)"); }

#endif

}  // namespace cameo::ops
