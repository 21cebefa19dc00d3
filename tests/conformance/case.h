// One official case as export_cases.py wrote it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/op.h"

namespace cameo::conformance {

// A line of index.txt.
struct CaseEntry {
  std::string name;
  double rtol = 0, atol = 0;
};

struct Case {
  std::string name;
  double rtol = 0, atol = 0;
  std::string model_path;
  // Name and value, in the order in which the model declares them.
  std::vector<std::pair<std::string, ops::RtValue>> inputs, outputs;
};

Result<std::vector<CaseEntry>> read_index(const std::string& data_dir);
// `model` is "model.onnx", or "open.onnx" for the one whose inputs have open extents.
Result<Case> read_case(const std::string& data_dir, const CaseEntry& entry, const std::string& model);

// Lines "NAME: REASON"; those that are empty or begin with # are skipped. Pairs of name and reason.
Result<std::vector<std::pair<std::string, std::string>>> read_listed(const std::string& path);

}  // namespace cameo::conformance
