#include <cameo/engine.h>

#include <algorithm>
#include <cstdio>

int main(int, char** argv) {
  auto engine = cameo::Engine::load(argv[1]);
  if (!engine.ok()) return std::fprintf(stderr, "%s\n", engine.error().message().c_str());
  auto context = engine->create_context().value();
  bool set = context.set_input("input_ids", cameo::Tensor::of<int64_t>({1, 3}, {1155, 259, 2070})).ok();
  set = set && context.set_input("attention_mask", cameo::Tensor::of<int64_t>({1, 3}, {1, 1, 1})).ok();
  if (!set || !context.run().ok()) return 1;
  const cameo::Tensor logits = context.output("logits").value();
  const float* last = logits.data<float>() + 2 * logits.dim(2);
  std::printf("next token: %td\n", std::max_element(last, last + logits.dim(2)) - last);
  return 0;
}
