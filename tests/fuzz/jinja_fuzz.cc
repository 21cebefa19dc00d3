// Fuzzes chat templates: any bytes as a template, rendered with a conversation. Nothing may crash, hang or run out of memory.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cameo::jinja::Value;
  static const auto variables = [] {
    const auto json =
        nlohmann::ordered_json::parse(R"({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a é 😀 \n"},
      {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5, true]}}}]}],
      "tools": [{"name": "f"}], "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true})");
    std::unordered_map<std::string, Value> made;
    for (const auto& [name, value] : json.items()) made[name] = Value::from_json(value).value();
    return made;
  }();
  const auto parsed = cameo::jinja::Template::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed) return 0;
  const auto text = parsed->render(variables, {.steps = 50'000, .bytes = 8 << 20, .output = 1 << 20});
  (void)text;
  return 0;
}
