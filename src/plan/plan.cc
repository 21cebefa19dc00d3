#include "cameo/plan.h"

#include "base/file.h"

namespace cameo {

Result<Plan> Plan::load(const std::string& path) {
  auto file = map_file(path);
  if (!file.ok()) return std::move(file).error();
  return Plan(file->bytes, file->owner);
}

Status Plan::save(const std::string& path) const { return write_file(path, bytes_); }

}  // namespace cameo
