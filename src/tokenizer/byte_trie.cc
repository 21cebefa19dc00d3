#include "tokenizer/byte_trie.h"

#include <bit>

namespace cameo::tokenizer {

void ByteTrie::reserve(size_t bytes) {
  if (const size_t slots = std::bit_ceil(bytes * 2); slots > edges_.size()) grow(slots);
}

void ByteTrie::grow(size_t slots) {
  std::vector<Edge> old(slots);
  old.swap(edges_);
  mask_ = slots - 1;
  for (const Edge& edge : old) {
    if (edge.key == kEmpty) continue;
    size_t at = hash(edge.key) & mask_;
    while (edges_[at].key != kEmpty) at = (at + 1) & mask_;
    edges_[at] = edge;
  }
}

bool ByteTrie::insert(std::string_view text, uint32_t value) {
  uint32_t node = kRoot;
  for (const char byte : text) {
    const uint64_t key = uint64_t{node} << 8 | static_cast<unsigned char>(byte);
    size_t at = hash(key) & mask_;
    while (edges_[at].key != key && edges_[at].key != kEmpty) at = (at + 1) & mask_;
    if (edges_[at].key == kEmpty) {
      edges_[at] = {key, static_cast<uint32_t>(values_.size())};
      values_.push_back(kNone);
      node = edges_[at].node;
      if (values_.size() * 2 > edges_.size()) grow(edges_.size() * 2);
    } else {
      node = edges_[at].node;
    }
  }
  if (values_[node] != kNone) return false;
  values_[node] = value;
  return true;
}

uint32_t ByteTrie::find(std::string_view text) const {
  uint32_t node = kRoot;
  for (size_t i = 0; i < text.size() && node != kNone; ++i) node = next(node, text[i]);
  return node;
}

}  // namespace cameo::tokenizer
