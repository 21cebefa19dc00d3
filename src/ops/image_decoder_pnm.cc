// Portable bitmaps, greymaps and pixmaps (P1 to P6), written as numbers or as bytes.
#include <algorithm>

#include "ops/image_decoder.h"

namespace cameo::ops {
namespace {

bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

class Reader {
 public:
  Reader(ImageBytes file, size_t at) : file_(file), at_(at) {}

  Result<int64_t> number(int64_t most) {
    skip();
    int64_t value = 0;
    const size_t start = at_;
    for (; at_ < file_.size() && file_[at_] >= '0' && file_[at_] <= '9'; ++at_) {
      value = value * 10 + (file_[at_] - '0');
      if (value > most) return error(ErrorCode::kInvalidInput, "the PNM file has a number above {} at byte {}", most, start);
    }
    if (at_ == start) return error(ErrorCode::kInvalidInput, "the PNM file has no number at byte {}", start);
    return value;
  }
  Result<int64_t> bit() {
    skip();
    if (at_ >= file_.size() || (file_[at_] != '0' && file_[at_] != '1'))
      return error(ErrorCode::kInvalidInput, "the PNM file has neither 0 nor 1 at byte {}", at_);
    return file_[at_++] - '0';
  }
  // What comes after the one byte of white space that ends the header.
  ImageBytes rest() const { return file_.subspan(std::min(at_ + 1, file_.size())); }

 private:
  void skip() {
    while (at_ < file_.size() && (is_space(file_[at_]) || file_[at_] == '#'))
      if (file_[at_++] == '#')
        while (at_ < file_.size() && file_[at_] != '\n') ++at_;
  }
  ImageBytes file_;
  size_t at_;
};

}  // namespace

Result<Image> decode_pnm(ImageBytes file) {
  const int kind = file[1] - '0';
  const bool text = kind <= 3, bitmap = kind == 1 || kind == 4;
  Reader reader(file, 2);
  CAMEO_ASSIGN(const int64_t width, reader.number(Image::kMaxPixels));
  CAMEO_ASSIGN(const int64_t height, reader.number(Image::kMaxPixels));
  int64_t largest = 1;
  if (!bitmap) {
    CAMEO_ASSIGN(largest, reader.number(65535));
    if (largest == 0) return error(ErrorCode::kInvalidInput, "the PNM file's largest value is 0");
  }
  const int64_t channels = kind == 3 || kind == 6 ? 3 : 1, bytes = largest > 255 ? 2 : 1;
  // Every sample takes a byte of the file or more, a packed bit an eighth: a short file cannot ask for much memory.
  const ImageBytes data = reader.rest();
  const auto size = static_cast<int64_t>(data.size());
  const bool packed = kind == 4;
  const int64_t row_bytes = packed ? (width + 7) / 8 : width * channels * (text ? 1 : bytes);
  if (width > 0 && height > 0 && row_bytes > (size + (text ? 1 : 0)) / height)
    return error(ErrorCode::kInvalidInput, "the PNM file of {} bytes is too short for {} x {} pixels", file.size(), width, height);
  CAMEO_ASSIGN(Image image, Image::make(width, height, channels));
  for (size_t i = 0; i < image.samples.size(); ++i) {
    int64_t value = 0;
    if (bitmap && text) {
      CAMEO_ASSIGN(value, reader.bit());
    } else if (text) {
      CAMEO_ASSIGN(value, reader.number(largest));
    } else if (packed) {
      const auto x = static_cast<int64_t>(i) % width, y = static_cast<int64_t>(i) / width;
      value = data[static_cast<size_t>(y * row_bytes + x / 8)] >> (7 - x % 8) & 1;
    } else {
      value = bytes == 2 ? data[2 * i] << 8 | data[2 * i + 1] : data[i];
      if (value > largest) return error(ErrorCode::kInvalidInput, "the PNM file has the value {}; its largest is {}", value, largest);
    }
    if (bitmap) value = 1 - value;  // 1 is black
    image.samples[i] = static_cast<uint8_t>((value * 255 + largest / 2) / largest);
  }
  return image;
}

}  // namespace cameo::ops
