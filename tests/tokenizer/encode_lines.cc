// Encodes and decodes what compare.py sends it.
//
//   encode_lines TOKENIZER_JSON < requests > answers
//
// A request is a kind and a body; numbers are 32 bits, little-endian:
//   'e' flags count (size bytes…)…   encode `count` texts, as a batch if there are more than one
//                                    (flags: 1 add special tokens, 2 everything and not just ids, 4 texts are pairs,
//                                    8 offsets in bytes)
//   'd' flags count ids…             decode the ids (flags: 1 skip special tokens)
// An answer is a status (0 done, 1 error) and a size and bytes: of the text, of the error, or of the encodings. An encoding
// is a count and ids, and with flag 2: type ids, masks of special tokens and attention, words, offsets, the size and bytes of
// all tokens with 0xff between them, a count and the overflowing encodings.
// The processor time spent in encoding and in decoding goes to stderr as JSON.
#include <fmt/core.h>

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "cameo/tokenizer.h"

namespace {

// Of this thread: other work on the machine does not count.
double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

bool read_exactly(void* to, size_t size) { return std::fread(to, 1, size, stdin) == size; }

void write_number(std::string& out, uint32_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

template <class Values>
void write_numbers(std::string& out, const Values& values) {
  for (const auto value : values) write_number(out, static_cast<uint32_t>(value));
}

void write_answer(bool ok, const std::string& body) {
  std::fputc(ok ? 0 : 1, stdout);
  std::string size;
  write_number(size, static_cast<uint32_t>(body.size()));
  std::fwrite(size.data(), 1, size.size(), stdout);
  std::fwrite(body.data(), 1, body.size(), stdout);
}

void write_encoding(std::string& out, const cameo::Encoding& encoding, bool everything) {
  write_number(out, static_cast<uint32_t>(encoding.ids.size()));
  write_numbers(out, encoding.ids);
  if (!everything) return;
  write_numbers(out, encoding.type_ids);
  write_numbers(out, encoding.special_tokens_mask);
  write_numbers(out, encoding.attention_mask);
  write_numbers(out, encoding.words);
  for (const auto& offsets : encoding.offsets) {
    write_number(out, static_cast<uint32_t>(offsets.begin));
    write_number(out, static_cast<uint32_t>(offsets.end));
  }
  std::string tokens;
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    if (i > 0) tokens += '\xff';
    tokens += encoding.tokens[i];
  }
  write_number(out, static_cast<uint32_t>(tokens.size()));
  out += tokens;
  write_number(out, static_cast<uint32_t>(encoding.overflowing.size()));
  for (const cameo::Encoding& more : encoding.overflowing) write_encoding(out, more, true);
}

cameo::Result<std::vector<cameo::Encoding>> encode(const cameo::Tokenizer& tokenizer, const std::vector<std::string>& texts,
                                                   uint32_t flags) {
  cameo::EncodeOptions options;
  options.add_special_tokens = (flags & 1) != 0;
  const bool pairs = (flags & 4) != 0;
  if (flags & 2) {
    options.offsets = flags & 8 ? cameo::OffsetUnit::kBytes : cameo::OffsetUnit::kCharacters;
    options.tokens = options.overflow = true;
  }
  if (texts.size() == (pairs ? 2 : 1)) {
    auto one = pairs ? tokenizer.encode_pair(texts[0], texts[1], options) : tokenizer.encode(texts[0], options);
    if (!one) return std::move(one).error();
    std::vector<cameo::Encoding> encodings;
    encodings.push_back(std::move(one).value());
    return encodings;
  }
  std::vector<cameo::TextInput> inputs;
  for (size_t i = 0; i < texts.size(); i += pairs ? 2 : 1) {
    if (pairs) {
      inputs.emplace_back(texts[i], texts[i + 1]);
    } else {
      inputs.emplace_back(texts[i]);
    }
  }
  return tokenizer.encode_batch(inputs, options, 2);
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
    uint32_t flags, count;
  } header;
  for (int kind = 0; (kind = std::getchar()) != EOF;) {
    if (!read_exactly(&header.flags, 4) || !read_exactly(&header.count, 4)) return 2;
    if (kind == 'e') {
      std::vector<std::string> texts(header.count);
      for (std::string& text : texts) {
        uint32_t size = 0;
        if (!read_exactly(&size, 4)) return 2;
        text.resize(size);
        if (!read_exactly(text.data(), size)) return 2;
        encoded_bytes += size;
      }
      if (((header.flags & 4) != 0 && texts.size() % 2 != 0) || texts.empty()) return 2;
      const auto start = seconds();
      const auto encodings = encode(*tokenizer, texts, header.flags);
      encode_seconds += seconds() - start;
      std::string answer;
      if (encodings) {
        for (const cameo::Encoding& encoding : *encodings) write_encoding(answer, encoding, (header.flags & 2) != 0);
      }
      write_answer(encodings.ok(), encodings ? answer : encodings.error().message());
    } else if (kind == 'd') {
      std::vector<uint32_t> ids(header.count);
      if (!read_exactly(ids.data(), ids.size() * 4)) return 2;
      const auto start = seconds();
      const auto text = tokenizer->decode(ids, (header.flags & 1) != 0);
      decode_seconds += seconds() - start;
      decoded_ids += ids.size();
      write_answer(text.ok(), text ? *text : text.error().message());
    } else {
      return 2;
    }
  }
  fmt::print(stderr, R"({{"load_seconds": {}, "encode_seconds": {}, "encoded_bytes": {}, "decode_seconds": {}, "decoded_ids": {}}})",
             load_seconds, encode_seconds, encoded_bytes, decode_seconds, decoded_ids);
  return 0;
}
