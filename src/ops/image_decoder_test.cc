#include "ops/op_test.h"

namespace cameo::ops {
namespace {

Tensor bytes(const std::string& text) {
  return Tensor::of<uint8_t>({static_cast<int64_t>(text.size())}, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// Two pixels side by side, uncompressed: red, then blue, in the given number of bits.
std::string bitmap(int height, const std::string& bits, const std::string& rows) {
  const auto number = [](int value) {
    std::string text(4, '\0');
    for (size_t i = 0; i < 4; ++i) text[i] = static_cast<char>(static_cast<unsigned>(value) >> (8 * i));
    return text;
  };
  const bool palette = bits[0] < 24;
  std::string file = "BM" + number(0) + number(0) + number(palette ? 62 : 54) + number(40) + number(2) + number(height);
  file += std::string("\1\0", 2) + bits + number(0) + number(0) + number(0) + number(0) + number(palette ? 2 : 0) + number(0);
  if (palette) file += std::string("\0\0\xff\0\xff\0\0\0", 8);
  return file + rows;
}

}  // namespace

OP_TEST(ImageDecoder) {
  using namespace std::string_literals;
  const Tensor red_blue = tensor<uint8_t>({1, 2, 3}, {255, 0, 0, 0, 0, 255});
  const std::string true_colour = bitmap(1, "\x18\0"s, "\0\0\xff\xff\0\0\0\0"s);
  return {
      {.name = "BMP", .inputs = {bytes(true_colour)}, .outputs = {red_blue}},
      {.name = "BMP with a palette", .inputs = {bytes(bitmap(1, "\1\0"s, "\x40\0\0\0"s))}, .outputs = {red_blue}},
      {.name = "BMP from the top",
       .attributes = {{"pixel_format", "'BGR'"}},
       .inputs = {bytes(bitmap(-2, "\1\0"s, "\x40\0\0\0\x80\0\0\0"s))},
       .outputs = {tensor<uint8_t>({2, 2, 3}, {0, 0, 255, 255, 0, 0, 255, 0, 0, 0, 0, 255})}},
      {.name = "BMP that is too short", .inputs = {bytes(true_colour.substr(0, 60))}, .error = "too short for 2 x 1 pixels"},
      {.name = "BMP that claims too much",
       .inputs = {bytes(bitmap(INT32_MAX, "\1\0"s, ""))},
       .error = "the image is 2 x 2147483647 pixels"},
      {.name = "pixmap", .inputs = {bytes("P6\n# two\n2 1\n255\n\xff\0\0\0\0\xff"s)}, .outputs = {red_blue}},
      {.name = "pixmap in text, fewer levels", .inputs = {bytes("P3 2 1 3 3 0 0 0 0 3")}, .outputs = {red_blue}},
      {.name = "bitmap, grey",
       .attributes = {{"pixel_format", "'Grayscale'"}},
       .inputs = {bytes("P4\n9 1\n\xff\0"s)},
       .outputs = {tensor<uint8_t>({1, 9, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 255})}},
      {.name = "greymap of 16 bits", .inputs = {bytes("P5 1 1 65535 \xff\xff"s)}, .outputs = {tensor<uint8_t>({1, 1, 3}, {255, 255, 255})}},
      {.name = "luma",
       .attributes = {{"pixel_format", "'Grayscale'"}},
       .inputs = {bytes(true_colour)},
       .outputs = {tensor<uint8_t>({1, 2, 1}, {76, 29})}},
      {.name = "pixmap that is too short", .inputs = {bytes("P6 60000 4000 255\n")}, .error = "too short for 60000 x 4000 pixels"},
      {.name = "pixmap without a size", .inputs = {bytes("P6\n")}, .error = "has no number at byte 3"},
      {.name = "damaged JPEG", .inputs = {bytes("\xff\xd8\xff\xe0")}, .error = "JPEG"},
      {.name = "damaged PNG", .inputs = {bytes("\x89PNG\r\n\x1a\n....")}, .error = "PNG"},
      {.name = "damaged TIFF", .inputs = {bytes("II*\0"s)}, .error = "TIFF"},
      {.name = "damaged WebP", .inputs = {bytes("RIFF....WEBPVP8 ")}, .error = "WebP"},
      {.name = "damaged JPEG 2000", .inputs = {bytes("\0\0\0\x0cjP  \r\n\x87\n"s)}, .error = "JPEG 2000"},
      {.name = "no image", .inputs = {bytes("")}, .error = "0 bytes that start like no image"},
      {.name = "unknown pixels", .attributes = {{"pixel_format", "'HSV'"}}, .inputs = {bytes("")}, .error = "pixel_format is 'HSV'"},
  };
}

}  // namespace cameo::ops
