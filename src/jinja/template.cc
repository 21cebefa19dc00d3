#include "jinja/template.h"

#include "jinja/interpreter.h"
#include "jinja/parser.h"

namespace cameo::jinja {

struct Template::Parsed {
  Body body;
};

Result<Template> Template::parse(std::string_view source) {
  constexpr size_t kMostBytes = size_t{16} << 20;
  if (source.size() > kMostBytes) return fault("a template of {} bytes is too large", source.size());
  CAMEO_ASSIGN(Body body, jinja::parse(source));
  auto parsed = std::make_shared<Parsed>();
  parsed->body = std::move(body);
  return Template(std::move(parsed));
}

Result<std::string> Template::render(const std::unordered_map<std::string, Value>& variables, const Meter::Limits& limits) const {
  Interpreter interpreter(limits, variables);
  return interpreter.render(parsed_->body);
}

}  // namespace cameo::jinja
