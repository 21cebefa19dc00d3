// A set of strings, each with a number, that is walked byte by byte.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace cameo::tokenizer {

// The children of all nodes are in one open-addressing table.
class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = UINT32_MAX;

  // Makes room for strings of so many bytes together.
  void reserve(size_t bytes);
  // Gives the string the number, which is not kNone. False if it had one, which it keeps.
  bool insert(std::string_view text, uint32_t value);

  // The node after one more byte, or kNone.
  uint32_t next(uint32_t node, char byte) const {
    const uint64_t key = uint64_t{node} << 8 | static_cast<unsigned char>(byte);
    for (size_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      if (edges_[at].key == key) return edges_[at].node;
      if (edges_[at].key == kEmpty) return kNone;
    }
  }
  uint32_t find(std::string_view text) const;
  // The number of the string that ends at the node, or kNone.
  uint32_t value(uint32_t node) const { return values_[node]; }
  size_t nodes() const { return values_.size(); }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Edge {
    uint64_t key = kEmpty;
    uint32_t node = 0;
  };

  static size_t hash(uint64_t key) {
    const uint64_t h = key * 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(h ^ (h >> 32));
  }
  void grow(size_t slots);

  std::vector<uint32_t> values_ = {kNone};
  std::vector<Edge> edges_ = std::vector<Edge>(16);
  size_t mask_ = 15;
};

}  // namespace cameo::tokenizer
