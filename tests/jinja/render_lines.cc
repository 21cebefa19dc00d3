// Renders templates for compare.py: a line of JSON each, {"template": …, "variables": {…}}; prints {"text": …} or {"error": …}.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "jinja/template.h"

int main() {
  using Json = nlohmann::ordered_json;
  for (std::string line; std::getline(std::cin, line);) {
    const Json job = Json::parse(line);
    Json answer;
    const auto parsed = cameo::jinja::Template::parse(job.at("template").get<std::string>());
    if (!parsed.ok()) {
      answer["error"] = parsed.error().message();
    } else {
      std::unordered_map<std::string, cameo::jinja::Value> variables;
      for (const auto& [name, value] : job.at("variables").items()) variables[name] = cameo::jinja::Value::from_json(value).value();
      const auto text = parsed->render(variables);
      answer[text.ok() ? "text" : "error"] = text.ok() ? *text : text.error().message();
    }
    std::printf("%s\n", answer.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  }
}
