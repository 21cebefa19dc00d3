// Memory of the GPU that ends at any point while a language model is loaded or writes: the call says so, and the next one works.
//   cuda_generate_memory_test FOLDER [N]: only each N-th allocation
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cameo/generate.h"
#include "fail_allocation.h"
#include "on_device.h"

namespace cameo {
namespace {

using test::expect;
using test::message;
using Tokens = std::vector<std::vector<uint32_t>>;

struct Way {
  const char* what;
  DevicePrecision precision;
  size_t rows;
  GenerateOptions options;
};

Result<TextModel> load(const std::string& folder, const Way& way) {
  TextModelOptions options{.kv_cache = KvCache::kOn};
  options.build.device = "cuda";
  options.build.portable = true;
  options.build.precision = way.precision;
  return TextModel::load(folder, options);
}
Result<Tokens> write(TextGenerator& generator, const Way& way) {
  std::vector<std::string> prompts;
  for (size_t i = 0; i < way.rows; ++i) prompts.push_back(i % 2 ? "And the LORD spake unto Moses, saying" : "In the beginning");
  CAMEO_ASSIGN(const Generation made, generator.generate(prompts, way.options));
  Tokens all;
  for (const Completion& c : made.completions) all.push_back(c.token_ids);
  return all;
}
Result<Tokens> load_and_write(const std::string& folder, const Way& way) {
  CAMEO_ASSIGN(const TextModel model, load(folder, way));
  CAMEO_ASSIGN(TextGenerator generator, TextGenerator::create(model));
  return write(generator, way);
}

Status check(const std::string& folder, const Way& way, FailAllocation fail, int stride) {
  CAMEO_ASSIGN(const Tokens want, load_and_write(folder, way));
  const auto same = [&](const Result<Tokens>& got, const std::string& what) {
    expect(got.ok() && *got == want, std::string(way.what) + ", " + what + (got.ok() ? ": other tokens" : ": " + got.error().message()));
  };
  int allocations[2] = {}, refused[2] = {};
  for (const bool loaded : {false, true}) {
    CAMEO_ASSIGN(const TextModel model, load(folder, way));
    for (int n = 1;; n += stride) {
      const std::string what = "allocation " + std::to_string(n) + (loaded ? " of a generator" : "");
      fail(n);
      Result<TextGenerator> generator = loaded ? TextGenerator::create(model) : Error(ErrorCode::kInternal, "");
      const Result<Tokens> got = !loaded          ? load_and_write(folder, way)
                                 : generator.ok() ? write(*generator, way)
                                                  : Result<Tokens>(generator.error());
      const bool came = fail(0) <= 0;
      if (got.ok()) {
        same(got, what);
      } else {
        ++refused[loaded];
        expect(got.error().code() == ErrorCode::kOutOfMemory, std::string(way.what) + ", " + what + ": " + got.error().message());
        // The same generator, and where there is none another one, goes on.
        if (loaded && generator.ok()) same(write(*generator, way), "again after " + what);
      }
      if (!came) break;
      allocations[loaded] = n;
    }
    same(load_and_write(folder, way), "afterwards");
  }
  std::printf("%s: each of %d allocations failed once, %d times the call was refused; of a generator alone %d, %d\n", way.what,
              allocations[0], refused[0], allocations[1], refused[1]);
  return {};
}

Status run(const std::string& folder, int stride) {
  CAMEO_ASSIGN(const FailAllocation fail, find_fail_allocation());
  GenerateOptions greedy, drawn;
  greedy.max_new_tokens = drawn.max_new_tokens = 8;
  greedy.ignore_end_tokens = drawn.ignore_end_tokens = true;
  greedy.pass_logits = drawn.pass_logits = false;
  drawn.temperature = 0.8, drawn.top_k = 20, drawn.repetition_penalty = 1.2, drawn.seed = 3;
  for (const Way& way : {Way{"one row, float16", DevicePrecision::kFloat16, 1, greedy},
                         // In float16 what is drawn depends on which kernels there is memory for.
                         Way{"nine rows, float32, drawn", DevicePrecision::kFloat32, 9, drawn},
                         Way{"three rows, float32", DevicePrecision::kFloat32, 3, greedy}}) {
    const Status status = check(folder, way, fail, stride);
    expect(status.ok(), std::string(way.what) + ": " + message(status));
  }
  return {};
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  const int stride = argc > 2 ? std::max(1, std::atoi(argv[2])) : 1;
  return cameo::test::on_device("memory that ends while texts are written", [&] { return cameo::run(folder, stride); });
}
