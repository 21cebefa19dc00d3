// The tokens of pieces that were seen before, since most words come again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"

namespace cameo::tokenizer {

// One place for each hash, the newest piece stays. Bounded: 2 MiB. Only tokens that lie end to end are kept.
class WordCache {
 public:
  WordCache() : slots_(kSlots) {}

  bool find(std::string_view key, uint64_t hash, std::vector<ModelToken>& tokens) const {
    const Slot& slot = slots_[hash & (kSlots - 1)];
    if (slot.key_size != key.size() || std::memcmp(slot.key, key.data(), key.size()) != 0) return false;
    const size_t start = tokens.size();
    tokens.resize(start + slot.count);
    ModelToken* to = tokens.data() + start;
    uint32_t at = 0;
    for (size_t i = 0; i < slot.count; ++i) {
      to[i] = {slot.ids[i], at, slot.ends[i]};
      at = slot.ends[i];
    }
    return true;
  }

  // key is not empty
  void insert(std::string_view key, uint64_t hash, const ModelToken* tokens, size_t count) {
    if (key.size() > kMaxKey || count > kMaxTokens) return;
    uint32_t at = 0;
    for (size_t i = 0; i < count; ++i) {
      if (tokens[i].begin != at || tokens[i].end > UINT8_MAX) return;
      at = tokens[i].end;
    }
    Slot& slot = slots_[hash & (kSlots - 1)];
    slot.key_size = static_cast<uint8_t>(key.size());
    slot.count = static_cast<uint8_t>(count);
    std::memcpy(slot.key, key.data(), key.size());
    for (size_t i = 0; i < count; ++i) {
      slot.ids[i] = tokens[i].id;
      slot.ends[i] = static_cast<uint8_t>(tokens[i].end);
    }
  }

 private:
  static constexpr size_t kMaxKey = 50;
  static constexpr size_t kMaxTokens = 15;
  static constexpr size_t kSlots = size_t{1} << 14;
  struct Slot {
    uint8_t key_size = 0;
    uint8_t count = 0;
    char key[kMaxKey] = {};
    uint8_t ends[kMaxTokens] = {};
    uint32_t ids[kMaxTokens] = {};
  };
  std::vector<Slot> slots_;
};

}  // namespace cameo::tokenizer
