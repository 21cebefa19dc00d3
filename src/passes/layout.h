// Channels last: which operators can work on [N, spatial…, C] as well as on [N, C, spatial…], and how they are written then.
#pragma once

#include <functional>

#include "passes/patch.h"

namespace cameo::passes {

// Permutations between the two forms of a value of that rank (3 or more).
std::vector<int64_t> to_channels_last(size_t rank);
std::vector<int64_t> to_channels_first(size_t rank);
// Whether the node is a Transpose with that permutation, of a value of known rank.
bool is_transpose(const GraphView& view, const ir::Node& node, std::vector<int64_t> (*permutation)(size_t rank));

// What a node does with the channels-last forms of values.
struct LayoutRole {
  bool prefers_last = false;            // Conv: its kernels are made for that form
  std::vector<size_t> inputs = {};      // positions that are read in the channels-last form
  std::vector<size_t> outputs = {};     // positions that come out in it
  std::vector<uint32_t> absorbed = {};  // indices of nodes below it that it takes in
};

// Nothing for a node that cannot work on channels-last values (or does so already).
std::optional<LayoutRole> layout_role(const GraphView& view, const ir::Node& node);

// Adds the node in its channels-last form to the patch; gives its outputs, those that the role names in that form, the others
// as they were. last(id) gives the channels-last form of a value. Nothing when it cannot be written.
using LastForm = std::function<ir::ValueId(ir::ValueId)>;
std::optional<std::vector<ir::ValueId>> channels_last_form(const GraphView& view, const ir::Node& node, const LayoutRole& role,
                                                           Patch& patch, const LastForm& last);

}  // namespace cameo::passes
