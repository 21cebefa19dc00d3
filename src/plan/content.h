// What a plan holds, and its way to bytes and back. The layout is described in FORMAT.md.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "cameo/plan.h"
#include "cameo/profile.h"
#include "ir/graph.h"

namespace cameo::plan {

struct Content {
  std::string cameo_version;
  std::string backend = "cpu";
  std::string target;
  std::string model_name;
  std::string precision;      // of float32 values on a device: "fp32", "tf32", "fp16", "bf16"; empty on the CPU
  bool cpu_fallback = false;  // operators that the device lacks run on the CPU
  // On a device: the choices that were measured, by problem, and where; empty: none. Elsewhere they are made anew.
  std::string tuned_for;
  std::map<std::string, int> choices;
  int tuning_level = 3;        // how much is measured where the plan is loaded and a choice is not known
  bool deterministic = false;  // the same bits in every run and process
  ir::Graph graph;
  std::vector<Profile> profiles;
  // The symbol that is the first extent of inputs and outputs whose rows are independent; empty: not known.
  std::string batch;
};

// The bytes of a plan. The same content gives the same bytes. Errors: kUnsupported for what a plan cannot hold.
Result<Plan> write(const Content& content);

// Checks the whole metadata, then gives the content; constants are views into the plan's bytes, which they keep alive.
// `verify_weights` also compares the weights with their checksum. Errors: kInvalidPlan, kVersionMismatch.
Result<Content> read(const Plan& plan, bool verify_weights);

// What plans built here name as their target: the instruction set that every kernel in them may rely on.
std::string host_target();

}  // namespace cameo::plan
