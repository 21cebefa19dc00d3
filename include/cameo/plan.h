// A plan: the optimised model, ready to be run; what Builder makes and Engine loads.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "cameo/error.h"
#include "cameo/export.h"

namespace cameo {

// The bytes of a plan, in memory or mapped from a file. Cheap to copy.
class CAMEO_API Plan {
 public:
  Plan() = default;
  // Bytes whose memory lives as long as `owner`, 64-byte aligned for zero-copy weights. Without an owner the caller
  // keeps them alive and unchanged.
  explicit Plan(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr) : bytes_(bytes), owner_(std::move(owner)) {}

  // Maps a file; nothing is checked yet but that it can be read. Errors: kIo.
  static Result<Plan> load(const std::string& path);

  // Writes the plan beside `path` first and renames it, so that a file of that name is never half written.
  Status save(const std::string& path) const;

  std::span<const std::byte> bytes() const { return bytes_; }
  // Keeps the bytes alive; empty for a view.
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

// What a plan says of itself; read without loading it.
struct PlanInfo {
  uint32_t format_version = 0;
  std::string cameo_version;  // of the builder that made it
  std::string backend;        // "cpu"
  std::string target;         // what the backend requires of the machine, e.g. "x86-64"
  std::string model_name;
  size_t metadata_bytes = 0;
  size_t weight_bytes = 0;
};

// Errors: kInvalidPlan (damaged, or no plan), kVersionMismatch (another format version).
CAMEO_API Result<PlanInfo> plan_info(const Plan& plan);

}  // namespace cameo
