#include "cli/placement.h"

#include <cstdio>

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Reader {
  const runtime::Backend& backend;
  Placement& placement;

  // `on_host` says of each value of the graph whether it lies on the host; inputs come filled in.
  void read(const ir::Graph& graph, std::vector<char> on_host, int depth) {
    for (size_t id = 0; id < graph.values.size(); ++id)
      if (graph.values[id].is_constant()) on_host[id] = kBoth;
    for (const ir::Node& node : graph.nodes) {
      PlacedNode placed{.name = node.describe(), .depth = depth};
      const bool by_nature = backend.on_host(node, graph);
      const Status supported = by_nature ? Status() : backend.supports(node, graph);
      const bool nearby = !by_nature && reads_little_of_the_host(graph, node, on_host);
      placed.on_host = by_nature || nearby || !supported.ok();
      placed.reason = by_nature        ? "its place is the host"
                      : nearby         ? "what it reads is little and lies there"
                      : supported.ok() ? ""
                                       : supported.error().message();
      // These read no elements.
      const bool extents_only = node.op->domain.empty() && (node.op->name == "Shape" || node.op->name == "Size");
      const bool control = by_nature && !node.subgraphs.empty();
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const ir::ValueId id = node.inputs[i];
        if (id == ir::kNoValue || on_host[id] == kBoth || extents_only || (control && i >= 2)) continue;
        const bool lies_on_host = on_host[id] == kHost;
        if (lies_on_host != placed.on_host) {
          placed.copies.push_back(graph.value(id).name + (placed.on_host ? " to the host" : " to the device"));
          on_host[id] = kBoth;
        }
      }
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) on_host[id] = placed.on_host && !control ? kHost : kDevice;
      ++(placed.on_host ? by_nature || nearby ? placement.on_host : placement.fallen_back : placement.on_device);
      placement.copies += placed.copies.size();
      placement.nodes.push_back(std::move(placed));
      for (const ir::Subgraph& s : node.subgraphs) {
        std::vector<char> inner(s.graph->values.size(), kDevice);
        const size_t formal = s.num_formal_inputs();
        for (size_t i = 0; i < s.captures.size() && formal + i < s.graph->inputs.size(); ++i)
          inner[s.graph->inputs[formal + i]] = on_host[s.captures[i]];
        read(*s.graph, std::move(inner), depth + 1);
      }
    }
  }

  // Arithmetic on shapes.
  static bool reads_little_of_the_host(const ir::Graph& graph, const ir::Node& node, const std::vector<char>& on_host) {
    bool any = false;
    for (ir::ValueId id : node.inputs) {
      if (id == ir::kNoValue) continue;
      const ir::Value& v = graph.value(id);
      if (on_host[id] == kDevice || (v.is_constant() && v.constant.num_elements() > kLittle)) return false;
      if (v.type.shape)
        if (const auto dims = ir::to_dims(*v.type.shape); dims && dims->num_elements() > kLittle) return false;
      any |= on_host[id] == kHost;
    }
    return any && node.subgraphs.empty();
  }

  static constexpr int64_t kLittle = 1024;
  static constexpr char kDevice = 0, kHost = 1, kBoth = 2;
};

}  // namespace

Placement place(const ir::Graph& graph, const runtime::Backend& backend) {
  Placement placement;
  Reader{backend, placement}.read(graph, std::vector<char>(graph.values.size(), Reader::kDevice), 0);
  return placement;
}

Json to_json(const Placement& p) {
  Json nodes = Json::array();
  for (const PlacedNode& n : p.nodes) {
    Json node = {{"node", n.name}, {"place", n.on_host ? "host" : "device"}};
    if (!n.reason.empty()) node["reason"] = n.reason;
    if (!n.copies.empty()) node["copies"] = n.copies;
    nodes.push_back(std::move(node));
  }
  return {{"on_device", p.on_device}, {"on_host", p.on_host}, {"fallen_back", p.fallen_back}, {"copies", p.copies}, {"nodes", nodes}};
}

void print(const Placement& p, bool every_node) {
  std::printf("placement: %zu nodes on the device, %zu on the host, %zu fallen back to the CPU; %zu copies between them\n", p.on_device,
              p.on_host, p.fallen_back, p.copies);
  for (const PlacedNode& n : p.nodes) {
    if (!every_node && !n.on_host && n.copies.empty()) continue;
    std::printf("  %*s%s: %s%s%s%s\n", 2 * n.depth, "", n.name.c_str(), n.on_host ? "host" : "device", n.reason.empty() ? "" : " (",
                n.reason.c_str(), n.reason.empty() ? "" : ")");
    for (const std::string& copy : n.copies) std::printf("  %*s  copies %s\n", 2 * n.depth, "", copy.c_str());
  }
}

}  // namespace cameo::cli
