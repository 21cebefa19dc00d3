#include "onnx/suggest.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "onnx/text.h"
#include "ops/op.h"

namespace cameo::onnx {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Insertions, deletions and replacements that turn one name into the other, whatever the case of letters.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t k = 0; k < b.size(); ++k) {
      const size_t replaced = diagonal + (lower(a[i]) != lower(b[k]));
      diagonal = row[k + 1];
      row[k + 1] = std::min({replaced, row[k] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string explain_unknown_operator(std::string_view domain, std::string_view op_type) {
  constexpr size_t kMaxName = 64;
  const ops::OpDef* best = nullptr;
  size_t best_distance = std::min<size_t>(3, op_type.size() / 3 + 1);
  bool domain_known = false;
  for (const ops::OpDef* op : ops::all_ops()) {
    domain_known |= op->domain == domain;
    if (op->name == op_type)
      return fmt::format("unknown operator in this domain; domain '{}' has one of that name", op->domain.empty() ? "ai.onnx" : op->domain);
    if (op_type.size() > kMaxName || op->domain != domain) continue;
    if (const size_t distance = edit_distance(op_type, op->name); distance < best_distance) best = op, best_distance = distance;
  }
  if (best != nullptr) return fmt::format("unknown operator; did you mean '{}'?", best->name);
  if (domain == "com.microsoft") return "an operator of ONNX Runtime's own; export the model without its optimisations";
  if (!domain_known) return fmt::format("unknown domain {}, and the model defines no function of that name", quoted(domain));
  return "unknown operator";
}

}  // namespace cameo::onnx
