// Jinja templates as transformers runs chat templates: with trim_blocks, lstrip_blocks, loop controls, the tag "generation",
// and the functions raise_exception and strftime_now, in a sandbox without access to other templates or files.
//
// A template comes with a model, so nothing in it is trusted: steps, memory, output and depth are bounded.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "jinja/value.h"

namespace cameo::jinja {

class Template {
 public:
  // Errors: kInvalidModel with the line, kUnsupported for statements that need other templates.
  static Result<Template> parse(std::string_view source);

  // The text that the template makes of these variables. Errors: kInvalidInput with the template's own words where it calls
  // raise_exception, else kInvalidModel with the line; also where the limits are passed.
  Result<std::string> render(const std::unordered_map<std::string, Value>& variables, const Meter::Limits& limits = {}) const;

 private:
  struct Parsed;
  explicit Template(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace cameo::jinja
