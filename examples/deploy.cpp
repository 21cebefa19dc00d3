// Logger, builder, plan, engine, context, shapes, addresses, run, outputs.  Usage: deploy models/tiny-gpt2/model.onnx
#include <cameo/builder.h>
#include <cameo/engine.h>
#include <algorithm>
#include <cstdio>

struct Logger final : cameo::Logger {
  void log(cameo::Severity severity, std::string_view message) noexcept override {
    if (severity <= cameo::Severity::kWarning) std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  }
};

cameo::Status deploy(const char* model) {
  Logger logger;
  cameo::BuildOptions options;
  options.profiles = {{{{"input_ids", {1, 1}, {1, 16}, {8, 128}}, {"attention_mask", {1, 1}, {1, 16}, {8, 128}}}}};
  auto plan = cameo::Builder(logger).build(model, options);  // offline, once
  if (!plan.ok()) return plan.error();
  if (auto s = plan->save("model.plan"); !s.ok()) return s;
  auto engine = cameo::Engine::load("model.plan", {.logger = &logger, .verify_weights = {}});  // shared by all threads
  if (!engine.ok()) return engine.error();
  auto context = engine->create_context();  // one for each thread
  if (!context.ok()) return context.error();
  int64_t ids[] = {1155, 259, 2070}, mask[] = {1, 1, 1};
  for (auto [name, data] : {std::pair("input_ids", ids), std::pair("attention_mask", mask)}) {
    if (auto s = context->set_input_shape(name, {1, 3}); !s.ok()) return s;
    if (auto s = context->set_tensor_address(name, data, sizeof ids); !s.ok()) return s;
  }
  if (auto s = context->run(); !s.ok()) return s;
  const auto logits = context->output("logits");  // float32[1, 3, vocabulary]
  if (!logits.ok()) return logits.error();
  const float* last = logits->data<float>() + 2 * logits->dim(2);
  std::printf("next token: %td\n", std::max_element(last, last + logits->dim(2)) - last);
  return {};
}

int main(int argc, char** argv) {
  const auto status = deploy(argc > 1 ? argv[1] : "model.onnx");
  return status.ok() ? 0 : std::fprintf(stderr, "%s\n", status.error().message().c_str());
}
