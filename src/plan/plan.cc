#include "cameo/plan.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/file.h"
#include "plan/layout.h"

namespace cameo {

Result<Plan> Plan::load(const std::string& path) {
  auto file = map_file(path);
  if (!file.ok()) return std::move(file).error();
  return Plan(file->bytes, file->owner);
}

Status Plan::save(const std::string& path) const { return write_file(path, bytes_); }

uint64_t plan::checksum(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }

}  // namespace cameo
