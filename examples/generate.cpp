// Streams the completion of a prompt.  Usage: generate models/tiny-gpt2 "In the beginning"
#include <cameo/generate.h>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: generate MODEL [PROMPT]\n"), 2;
  const auto model = cameo::TextModel::load(argv[1]);  // a folder, an ONNX file or a plan; shared by all threads
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.error().message().c_str()), 1;
  auto generator = cameo::TextGenerator::create(*model);  // one for each thread
  if (!generator.ok()) return std::fprintf(stderr, "%s\n", generator.error().message().c_str()), 1;

  cameo::GenerateOptions options = model->defaults();  // what generation_config.json says
  options.max_new_tokens = 32;
  options.stop_strings = {"\n"};
  const std::string prompt = argc > 2 ? argv[2] : "In the beginning";
  std::printf("%s", prompt.c_str());
  const auto made = generator->generate(prompt, options, [](const cameo::TokenEvent& token) {
    std::fwrite(token.text.data(), 1, token.text.size(), stdout);
    std::fflush(stdout);
    return true;  // false ends the text
  });
  if (!made.ok()) return std::fprintf(stderr, "\n%s\n", made.error().message().c_str()), 1;
  std::printf("\n[%zu tokens, ended by %s]\n", made->token_ids.size(), std::string(finish_reason_name(made->finish_reason)).c_str());
}
