// Encodes and decodes what compare.py sends it.
//
//   encode_lines TOKENIZER_JSON < requests > answers
//
// A request is a kind and a body; numbers are 32 bits, little-endian:
//   'e' flags size bytes…   encode the bytes as text (flags: 1 = add special tokens)
//   'd' flags count ids…    decode the ids (flags: 1 = skip special tokens)
// An answer is a status (0 done, 1 error), then for 'e' a count and ids, for 'd' or an error a size and bytes.
// The processor time spent in encoding and in decoding goes to stderr as JSON.
#include <fmt/core.h>

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace {

// Of this thread: other work on the machine does not count.
double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

bool read_exactly(void* to, size_t size) { return std::fread(to, 1, size, stdin) == size; }

void write_number(uint32_t value) { std::fwrite(&value, sizeof value, 1, stdout); }

void write_text(uint8_t status, const std::string& text) {
  std::fputc(status, stdout);
  write_number(static_cast<uint32_t>(text.size()));
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: encode_lines TOKENIZER_JSON < requests > answers\n");
    return 2;
  }
  const auto load_start = seconds();
  const auto tokenizer = cameo::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    fmt::print(stderr, "{}\n", tokenizer.error().message());
    return 3;
  }
  const double load_seconds = seconds() - load_start;
  double encode_seconds = 0, decode_seconds = 0;
  uint64_t encoded_bytes = 0, decoded_ids = 0;
  struct Header {
    uint32_t flags, size;
  } header;
  for (int kind = 0; (kind = std::getchar()) != EOF;) {
    if (!read_exactly(&header.flags, 4) || !read_exactly(&header.size, 4)) return 2;
    if (kind == 'e') {
      std::string text(header.size, '\0');
      if (!read_exactly(text.data(), text.size())) return 2;
      const auto start = seconds();
      const auto encoding = tokenizer->encode(text, {.add_special_tokens = (header.flags & 1) != 0});
      encode_seconds += seconds() - start;
      encoded_bytes += text.size();
      if (!encoding) {
        write_text(1, encoding.error().message());
        continue;
      }
      std::fputc(0, stdout);
      write_number(static_cast<uint32_t>(encoding->ids.size()));
      std::fwrite(encoding->ids.data(), 4, encoding->ids.size(), stdout);
    } else if (kind == 'd') {
      std::vector<uint32_t> ids(header.size);
      if (!read_exactly(ids.data(), ids.size() * 4)) return 2;
      const auto start = seconds();
      const auto text = tokenizer->decode(ids, (header.flags & 1) != 0);
      decode_seconds += seconds() - start;
      decoded_ids += ids.size();
      write_text(text ? 0 : 1, text ? *text : text.error().message());
    } else {
      return 2;
    }
  }
  fmt::print(stderr, R"({{"load_seconds": {}, "encode_seconds": {}, "encoded_bytes": {}, "decode_seconds": {}, "decoded_ids": {}}})",
             load_seconds, encode_seconds, encoded_bytes, decode_seconds, decoded_ids);
  return 0;
}
