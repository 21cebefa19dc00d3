// Where the nodes of a plan for a device run, and what is copied between it and the host besides inputs and outputs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/backend.h"

namespace cameo::cli {

struct PlacedNode {
  std::string name;
  int depth = 0;  // of the subgraph
  bool on_host = false;
  std::string reason;               // why it is on the host
  std::vector<std::string> copies;  // "x to the host"
};

struct Placement {
  std::vector<PlacedNode> nodes;  // in the order of the graph, those of subgraphs behind their node
  size_t on_device = 0, on_host = 0, fallen_back = 0, copies = 0;
};

// Needs no device. A value is copied once in each direction; arithmetic on few elements that lie on the host anyway is done there,
// which only a run shows.
Placement place(const ir::Graph& graph, const runtime::Backend& backend);
nlohmann::ordered_json to_json(const Placement& placement);
// Nodes on the host, and those that copy; with `every_node` all.
void print(const Placement& placement, bool every_node);

}  // namespace cameo::cli
