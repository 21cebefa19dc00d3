// Times the tokenizer on texts, on one thread.
//
//   bench_tokenizer TOKENIZER_JSON TEXTS ROUNDS
//
// TEXTS holds texts, each after its size in 32 bits. They are encoded ROUNDS times, for ids alone and for everything that
// encode can give; the least processor time of a round goes to stdout as JSON, with the sum of all ids to compare.
#include <fmt/core.h>

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "cameo/tokenizer.h"

namespace {

double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

int fail(const cameo::Error& error) {
  fmt::print(stderr, "{}\n", error.message());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench_tokenizer TOKENIZER_JSON TEXTS ROUNDS\n");
    return 2;
  }
  auto tokenizer = cameo::Tokenizer::load(argv[1]);
  if (!tokenizer) return fail(tokenizer.error());
  // Whole texts are timed, whatever the file says.
  if (auto status = tokenizer->set_truncation(std::nullopt); !status) return fail(status.error());
  if (auto status = tokenizer->set_padding(std::nullopt); !status) return fail(status.error());
  const auto file = cameo::map_file(argv[2]);
  if (!file) return fail(file.error());
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes.data()), file->bytes.size());
  std::vector<std::string_view> texts;
  for (size_t at = 0; at + 4 <= bytes.size();) {
    uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at, 4);
    texts.push_back(bytes.substr(at + 4, size));
    at += 4 + size;
  }
  const cameo::EncodeOptions options[] = {{}, {.offsets = cameo::OffsetUnit::kCharacters, .tokens = true}};
  double best[] = {1e30, 1e30};
  uint64_t sum = 0;
  for (int round = 0; round < std::atoi(argv[3]); ++round) {
    for (int i = 0; i < 2; ++i) {
      sum = 0;
      const double start = seconds();
      for (const std::string_view text : texts) {
        const auto encoding = tokenizer->encode(text, options[i]);
        if (!encoding) return fail(encoding.error());
        for (const uint32_t id : encoding->ids) sum += id;
      }
      best[i] = std::min(best[i], seconds() - start);
    }
  }
  fmt::print(R"({{"ids_seconds": {}, "everything_seconds": {}, "sum": {}}})", best[0], best[1], sum);
  return 0;
}
