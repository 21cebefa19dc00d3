#include "onnx/model.h"

#include "base/file.h"
#include "onnx/file_kind.h"
#include "onnx/wire.h"

namespace cameo::onnx {
namespace {

// Names the field for errors while a nested message is read.
class InField {
 public:
  InField(WireSource& source, const char* name) : source_(source) { source.path.push_back(name); }
  ~InField() { source_.path.pop_back(); }
  InField(const InField&) = delete;
  InField& operator=(const InField&) = delete;

 private:
  WireSource& source_;
};

// Reads nested messages. A field that may stand once and stands twice is an error, where protocol buffers would
// merge both: no writer does that, and readers that disagree about it are a way to hide a graph.
class Parser {
 public:
  explicit Parser(WireSource& source) : source_(source) {}

  void read(std::string_view bytes, Model& model);
  void read(std::string_view bytes, TensorProto& tensor);

 private:
  void read(std::string_view bytes, GraphProto& graph);
  void read(std::string_view bytes, NodeProto& node);
  void read(std::string_view bytes, AttributeProto& attribute);
  void read(std::string_view bytes, SparseTensorProto& tensor);
  void read(std::string_view bytes, ValueInfoProto& info);
  void read(std::string_view bytes, TypeProto& type);
  void read_type_body(std::string_view bytes, TypeProto& type);
  void read(std::string_view bytes, DimensionProto& dim);
  void read(std::string_view bytes, FunctionProto& function);
  void read(std::string_view bytes, OpsetId& opset);
  void read(std::string_view bytes, StringPair& pair);

  template <class T>
  void nested(MessageReader& reader, const char* name, T& value) {
    InField in(source_, name);
    const std::string_view bytes = reader.bytes();
    if (source_.ok()) read(bytes, value);
  }
  template <class T>
  void element(MessageReader& reader, const char* name, std::vector<T>& values) {
    nested(reader, name, values.emplace_back());
  }
  bool enter(MessageReader& reader, int& depth) {
    if (++depth <= kMaxNesting) return true;
    reader.fail(fmt::format("nested deeper than {} levels", kMaxNesting));
    return false;
  }

  WireSource& source_;
  int graph_depth_ = 0;
  int type_depth_ = 0;
};

void Parser::read(std::string_view bytes, Model& model) {
  MessageReader reader(source_, bytes);
  bool has_graph = false;
  while (reader.next()) switch (reader.field()) {
      case 1:
        model.ir_version = reader.int64();
        break;
      case 2:
        model.producer_name = reader.bytes();
        break;
      case 3:
        model.producer_version = reader.bytes();
        break;
      case 4:
        model.domain = reader.bytes();
        break;
      case 5:
        model.model_version = reader.int64();
        break;
      case 7:
        if (has_graph) reader.fail("a second graph");
        has_graph = true;
        nested(reader, "graph", model.graph);
        break;
      case 8:
        element(reader, "opset_import", model.opset_imports);
        break;
      case 14:
        element(reader, "metadata_props", model.metadata);
        break;
      case 25:
        element(reader, "functions", model.functions);
        break;
      default:
        reader.skip();
    }
  if (source_.ok() && !has_graph) source_.fail(bytes.data() + bytes.size(), "the model holds no graph");
}

void Parser::read(std::string_view bytes, GraphProto& graph) {
  MessageReader reader(source_, bytes);
  if (!enter(reader, graph_depth_)) return;
  while (reader.next()) switch (reader.field()) {
      case 1:
        element(reader, "node", graph.nodes);
        break;
      case 2:
        graph.name = reader.bytes();
        break;
      case 5:
        element(reader, "initializer", graph.initializers);
        break;
      case 11:
        element(reader, "input", graph.inputs);
        break;
      case 12:
        element(reader, "output", graph.outputs);
        break;
      case 13:
        element(reader, "value_info", graph.value_infos);
        break;
      case 15:
        element(reader, "sparse_initializer", graph.sparse_initializers);
        break;
      case 16:
        element(reader, "metadata_props", graph.metadata);
        break;
      default:
        reader.skip();
    }
  --graph_depth_;
}

void Parser::read(std::string_view bytes, NodeProto& node) {
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        node.inputs.push_back(reader.bytes());
        break;
      case 2:
        node.outputs.push_back(reader.bytes());
        break;
      case 3:
        node.name = reader.bytes();
        break;
      case 4:
        node.op_type = reader.bytes();
        break;
      case 5:
        element(reader, "attribute", node.attributes);
        break;
      case 7:
        node.domain = reader.bytes();
        break;
      case 8:
        node.overload = reader.bytes();
        break;
      case 9:
        element(reader, "metadata_props", node.metadata);
        break;
      default:
        reader.skip();
    }
  if (node.op_type.empty()) source_.fail(bytes.data(), fmt::format("node '{}' has no op_type", node.name));
}

void Parser::read(std::string_view bytes, AttributeProto& attribute) {
  using enum AttributeType;
  MessageReader reader(source_, bytes);
  AttributeType seen = kUndefined;  // the type of the field that is set
  int fields = 0;
  int32_t declared = 0;
  bool twice = false;
  const auto set = [&](AttributeType type) {
    if (type != seen)
      ++fields;
    else if (type == kTensor || type == kGraph || type == kSparseTensor || type == kTypeProto)
      twice = true;
    seen = type;
  };
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        attribute.name = reader.bytes();
        break;
      case 2:
        attribute.f = reader.float32(), set(kFloat);
        break;
      case 3:
        attribute.i = reader.int64(), set(kInt);
        break;
      case 4:
        attribute.s = reader.bytes(), set(kString);
        break;
      case 5:
        set(kTensor), element(reader, "t", attribute.mutable_lists().tensors);
        break;
      case 6:
        set(kGraph), element(reader, "g", attribute.mutable_lists().graphs);
        break;
      case 7:
        reader.append(attribute.mutable_lists().floats), set(kFloats);
        break;
      case 8:
        reader.append(attribute.mutable_lists().ints), set(kInts);
        break;
      case 9:
        attribute.mutable_lists().strings.push_back(reader.bytes()), set(kStrings);
        break;
      case 10:
        set(kTensors), element(reader, "tensors", attribute.mutable_lists().tensors);
        break;
      case 11:
        set(kGraphs), element(reader, "graphs", attribute.mutable_lists().graphs);
        break;
      case 14:
        set(kTypeProto), element(reader, "tp", attribute.mutable_lists().type_protos);
        break;
      case 15:
        set(kTypeProtos), element(reader, "type_protos", attribute.mutable_lists().type_protos);
        break;
      case 20:
        declared = reader.int32();
        break;
      case 21:
        attribute.ref_attr_name = reader.bytes();
        break;
      case 22:
        set(kSparseTensor), element(reader, "sparse_tensor", attribute.mutable_lists().sparse_tensors);
        break;
      case 23:
        set(kSparseTensors), element(reader, "sparse_tensors", attribute.mutable_lists().sparse_tensors);
        break;
      default:
        reader.skip();
    }
    if (twice) reader.fail("a field of the attribute that holds one value stands twice");
  }
  if (!source_.ok()) return;
  const auto fail = [&](const std::string& what) { source_.fail(bytes.data(), fmt::format("attribute '{}' {}", attribute.name, what)); };
  if (attribute.name.empty()) return fail("has no name");
  if (declared < 0 || declared > static_cast<int32_t>(kTypeProtos)) return fail(fmt::format("has the unknown type {}", declared));
  attribute.type = declared == 0 ? seen : static_cast<AttributeType>(declared);
  // Some writers also set the fields of other types to their defaults (proto2 without presence), so only a value
  // that is of another type alone is an error.
  if (fields == 1 && attribute.type != seen)
    fail(fmt::format("is said to be of type {} but holds a value of type {}", attribute_type_name(attribute.type),
                     attribute_type_name(seen)));
  const AttributeLists& lists = attribute.lists();
  if (attribute.ref_attr_name.empty() &&
      ((attribute.type == kTensor && lists.tensors.empty()) || (attribute.type == kGraph && lists.graphs.empty()) ||
       (attribute.type == kSparseTensor && lists.sparse_tensors.empty()) || (attribute.type == kTypeProto && lists.type_protos.empty())))
    fail(fmt::format("is of type {} but holds none", attribute_type_name(attribute.type)));
}

void Parser::read(std::string_view bytes, TensorProto& tensor) {
  MessageReader reader(source_, bytes);
  tensor.message = bytes;
  while (reader.next()) switch (reader.field()) {
      case 1:
        reader.append(tensor.dims);
        break;
      case 2:
        tensor.data_type = reader.int32();
        break;
      case 3:
        tensor.has_segment = true, reader.skip();
        break;
      case 8:
        tensor.name = reader.bytes();
        break;
      case 9:
        if (tensor.has_raw_data) reader.fail("raw_data stands twice");
        tensor.raw_data = reader.bytes(), tensor.has_raw_data = true;
        break;
      case 13:
        element(reader, "external_data", tensor.external_data);
        break;
      case 14: {
        const int32_t location = reader.int32();
        if (location != 0 && location != 1) reader.fail(fmt::format("data_location is {}, expected 0 (default) or 1 (external)", location));
        tensor.external = location == 1;
        break;
      }
      default:
        reader.skip();  // typed fields are read when the data is wanted
    }
}

void Parser::read(std::string_view bytes, SparseTensorProto& tensor) {
  MessageReader reader(source_, bytes);
  bool values = false, indices = false;
  while (reader.next()) switch (reader.field()) {
      case 1:
        if (std::exchange(values, true)) reader.fail("values stand twice");
        nested(reader, "values", tensor.values);
        break;
      case 2:
        if (std::exchange(indices, true)) reader.fail("indices stand twice");
        nested(reader, "indices", tensor.indices);
        break;
      case 3:
        reader.append(tensor.dims);
        break;
      default:
        reader.skip();
    }
}

void Parser::read(std::string_view bytes, ValueInfoProto& info) {
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        info.name = reader.bytes();
        break;
      case 2:
        nested(reader, "type", info.type);
        break;
      default:
        reader.skip();
    }
  if (info.name.empty()) source_.fail(bytes.data(), "a value without a name");
}

void Parser::read(std::string_view bytes, TypeProto& type) {
  MessageReader reader(source_, bytes);
  if (!enter(reader, type_depth_)) return;
  while (reader.next()) {
    using Kind = TypeProto::Kind;
    Kind kind = Kind::kUnset;
    const char* name = nullptr;
    switch (reader.field()) {
      case 1:
        kind = Kind::kTensor, name = "tensor_type";
        break;
      case 4:
        kind = Kind::kSequence, name = "sequence_type";
        break;
      case 5:
        kind = Kind::kMap, name = "map_type";
        break;
      case 7:
        kind = Kind::kOpaque, name = "opaque_type";
        break;
      case 8:
        kind = Kind::kSparseTensor, name = "sparse_tensor_type";
        break;
      case 9:
        kind = Kind::kOptional, name = "optional_type";
        break;
      case 6:
        type.denotation = reader.bytes();
        continue;
      default:
        reader.skip();
        continue;
    }
    if (type.kind != Kind::kUnset) reader.fail("a type of two kinds");
    type.kind = kind;
    InField in(source_, name);
    read_type_body(reader.bytes(), type);
  }
  --type_depth_;
}

// The message inside a TypeProto: all kinds number their fields alike.
void Parser::read_type_body(std::string_view bytes, TypeProto& type) {
  using Kind = TypeProto::Kind;
  const bool tensor = type.kind == Kind::kTensor || type.kind == Kind::kSparseTensor;
  MessageReader reader(source_, bytes);
  while (reader.next()) {
    const uint32_t field = reader.field();
    if (field == 1 && (tensor || type.kind == Kind::kMap)) {
      type.elem_type = reader.int32();
    } else if (field == 2 && tensor) {
      InField in(source_, "shape");
      MessageReader shape(source_, reader.bytes());
      if (type.shape) reader.fail("the shape stands twice");
      type.shape.emplace();
      while (shape.next()) {
        if (shape.field() == 1)
          element(shape, "dim", *type.shape);
        else
          shape.skip();
      }
    } else if ((field == 1 && (type.kind == Kind::kSequence || type.kind == Kind::kOptional)) || (field == 2 && type.kind == Kind::kMap)) {
      if (type.element) reader.fail("the element type stands twice");
      auto element_type = std::make_shared<TypeProto>();
      nested(reader, "elem_type", *element_type);
      type.element = std::move(element_type);
    } else {
      reader.skip();
    }
  }
}

void Parser::read(std::string_view bytes, DimensionProto& dim) {
  using Kind = DimensionProto::Kind;
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        dim.dim_value = reader.int64(), dim.kind = Kind::kValue;
        break;
      case 2:
        dim.dim_param = reader.bytes(), dim.kind = Kind::kParam;
        break;
      case 3:
        dim.denotation = reader.bytes();
        break;
      default:
        reader.skip();
    }
}

void Parser::read(std::string_view bytes, FunctionProto& function) {
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        function.name = reader.bytes();
        break;
      case 4:
        function.inputs.push_back(reader.bytes());
        break;
      case 5:
        function.outputs.push_back(reader.bytes());
        break;
      case 6:
        function.attributes.push_back(reader.bytes());
        break;
      case 7:
        element(reader, "node", function.nodes);
        break;
      case 9:
        element(reader, "opset_import", function.opset_imports);
        break;
      case 10:
        function.domain = reader.bytes();
        break;
      case 11:
        element(reader, "attribute_proto", function.default_attributes);
        break;
      case 13:
        function.overload = reader.bytes();
        break;
      case 14:
        element(reader, "metadata_props", function.metadata);
        break;
      default:
        reader.skip();
    }
  if (function.name.empty()) source_.fail(bytes.data(), "a function without a name");
}

void Parser::read(std::string_view bytes, OpsetId& opset) {
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        opset.domain = reader.bytes();
        break;
      case 2:
        opset.version = reader.int64();
        break;
      default:
        reader.skip();
    }
}

void Parser::read(std::string_view bytes, StringPair& pair) {
  MessageReader reader(source_, bytes);
  while (reader.next()) switch (reader.field()) {
      case 1:
        pair.key = reader.bytes();
        break;
      case 2:
        pair.value = reader.bytes();
        break;
      default:
        reader.skip();
    }
}

std::string_view as_view(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

std::string_view attribute_type_name(AttributeType type) {
  constexpr std::string_view kNames[] = {"undefined",      "float",      "int",        "string",  "tensor", "graph",
                                         "floats",         "ints",       "strings",    "tensors", "graphs", "sparse tensor",
                                         "sparse tensors", "type proto", "type protos"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

const AttributeLists& AttributeProto::lists() const {
  static const AttributeLists kNone;
  return lists_ ? *lists_ : kNone;
}

AttributeLists& AttributeProto::mutable_lists() {
  if (!lists_) lists_ = std::make_shared<AttributeLists>();
  return *lists_;
}

Result<Model> read_model(std::span<const std::byte> bytes, std::string base_dir, std::shared_ptr<const void> owner) {
  // Also keeps pointers from being null.
  if (bytes.empty()) return error(ErrorCode::kInvalidModel, "not an ONNX model: it is an empty file");
  WireSource source{as_view(bytes)};
  Model model;
  Parser(source).read(source.bytes, model);
  if (!source.ok()) {
    if (const auto kind = guess_file_kind(source.bytes))
      return error(ErrorCode::kInvalidModel, "not an ONNX model: it looks like {}", *kind);
    return std::move(*source.failure).in("not a valid ONNX model");
  }
  model.base_dir = std::move(base_dir);
  model.owner = std::move(owner);
  return model;
}

Result<Model> read_model(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  const size_t slash = path.rfind('/');
  std::string base_dir = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  auto model = read_model(file.bytes, std::move(base_dir), file.owner);
  if (!model.ok()) return std::move(model).error().in(path);
  model->path = path;
  return model;
}

Result<TensorProto> read_tensor_proto(std::span<const std::byte> bytes) {
  TensorProto tensor;
  if (bytes.empty()) return tensor;
  WireSource source{as_view(bytes)};
  Parser(source).read(source.bytes, tensor);
  if (!source.ok()) return std::move(*source.failure).in("not a valid TensorProto");
  return tensor;
}

}  // namespace cameo::onnx
