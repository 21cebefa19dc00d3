"""The networks of tests/models in PyTorch: from torchvision and transformers, with the weights of the ONNX graphs where these can
be told by the order in which they are used."""
import torch

# Vision: torchvision's constructors. Text: (class, configuration) of transformers.
VISION = {
    "convnext_tiny": "convnext_tiny",
    "densenet121": "densenet121",
    "efficientnet_b0": "efficientnet_b0",
    "inception_v3": "inception_v3",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "regnet_y_400mf": "regnet_y_400mf",
    "resnet50": "resnet50",
    "resnet50-dynamo": "resnet50",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "squeezenet1_1": "squeezenet1_1",
    "swin_t": "swin_t",
}
_MINILM = dict(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
TEXT = {
    "bert-base": ("BertModel", "BertConfig", dict()),
    "bert-base-sdpa-dynamo": ("BertModel", "BertConfig", dict()),
    "distilbert": ("DistilBertModel", "DistilBertConfig", dict()),
    "distilgpt2": ("GPT2LMHeadModel", "GPT2Config", dict(n_layer=6, use_cache=False)),
    "distilgpt2-dynamo": ("GPT2LMHeadModel", "GPT2Config", dict(n_layer=6, use_cache=False)),
    "distilgpt2-with-past": ("GPT2LMHeadModel", "GPT2Config", dict(n_layer=6)),
    "qwen2-4l-with-past": ("Qwen2ForCausalLM", "Qwen2Config", dict(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=4, num_attention_heads=14, num_key_value_heads=2,
        tie_word_embeddings=True)),
    "smollm2-135m-with-past": ("LlamaForCausalLM", "LlamaConfig", dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, tie_word_embeddings=True)),
    "minilm-l6-sdpa": ("BertModel", "BertConfig", _MINILM),
    "mpnet-base": ("MPNetModel", "MPNetConfig", dict(vocab_size=30527, max_position_embeddings=514)),
    "mpnet-base-dynamo": ("MPNetModel", "MPNetConfig", dict(vocab_size=30527, max_position_embeddings=514)),
    "roberta-base": ("RobertaModel", "RobertaConfig", dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1)),
    "t5-small-encoder": ("T5EncoderModel", "T5Config", dict(vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8)),
}


class FirstOutput(torch.nn.Module):
    """Of a network that gives several, or by name, the first. Its second input is the mask."""

    def __init__(self, network, mask="attention_mask"):
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, first, *mask):
        out = self.network(first, **dict(zip([self.mask], mask)))
        if hasattr(out, "to_tuple"):
            out = out.to_tuple()[0]
        elif isinstance(out, dict):
            out = next(iter(out.values()))
        return out if isinstance(out, torch.Tensor) else out[0]


class WithPast(torch.nn.Module):
    """A decoder's step as the graphs have it: ids, mask, positions and the keys and values of each layer to logits and the new ones."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, ids, mask, positions, *past):
        from transformers import DynamicCache

        cache = DynamicCache(list(zip(past[::2], past[1::2])))
        out = self.network(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return (out.logits, *[t for layer in out.past_key_values.layers for t in (layer.keys, layer.values)])


class Recurrent(torch.nn.Module):
    """lstm-gru: two LSTM layers in both directions, a GRU, and what its last step says."""

    def __init__(self):
        super().__init__()
        self.e, self.l = torch.nn.Embedding(1000, 64), torch.nn.LSTM(64, 128, 2, batch_first=True, bidirectional=True)
        self.g, self.o = torch.nn.GRU(256, 64, batch_first=True), torch.nn.Linear(64, 10)

    def forward(self, tokens):
        return self.o(self.g(self.l(self.e(tokens))[0])[0][:, -1])


class Detector(torch.nn.Module):
    """Boxes, scores and labels of one image."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        found = self.network([image])[0]
        return found["boxes"], found["scores"], found["labels"]


def make(name):
    """The network in eval mode, float32, on the CPU, batch norms folded; None where it is not at hand."""
    torch.manual_seed(0)
    if name in VISION:
        import torchvision
        from torch.fx.experimental.optimization import fuse

        options = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
        network = getattr(torchvision.models, VISION[name])(weights=None, **options).eval()
        try:
            return fuse(network)
        except Exception:  # what does not trace stays as it is
            return network
    if name == "vit_small_timm-dynamo":
        import torchvision

        return torchvision.models.VisionTransformer(224, 16, 12, 6, 384, 1536).eval()
    if name in TEXT:
        import transformers

        kind, config, options = TEXT[name]
        network = getattr(transformers, kind)(getattr(transformers, config)(**options))
        return (WithPast if name.endswith("-with-past") else FirstOutput)(network).eval()
    if name == "deeplabv3_mbv3":
        import torchvision

        return FirstOutput(torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)).eval()
    if name == "ssdlite320":
        import torchvision

        return Detector(torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)).eval()
    if name == "lstm-gru":
        return Recurrent().eval()
    if name == "whisper-tiny-encoder":
        import transformers
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = transformers.WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536)
        return FirstOutput(WhisperEncoder(config)).eval()
    return None


class WithPositions(torch.nn.Module):
    """Its positions are constants: what counts them from the ids, compiled, leaves the table at 32x512."""

    def __init__(self, first, length):
        super().__init__()
        self.first = first
        self.register_buffer("positions", torch.arange(2, 2 + length)[None])

    def forward(self, ids, mask):
        return self.first.network(ids, attention_mask=mask, position_ids=self.positions)[0]


def with_positions(name, network, length):
    return WithPositions(network, length) if name.startswith("mpnet-base") else network


def used_in_order(network, inputs):
    """The convolutions and linear layers that count for the answer, each once, in the order of their first use."""
    seen, hooks = [], []
    for name, module in network.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv1d, torch.nn.Linear)) and "pooler" not in name:
            hooks.append(module.register_forward_hook(lambda m, _i, _o: seen.append(m) if all(m is not s for s in seen) else None))
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def layers_of(graph, constants):
    """(name of the weight, weight as PyTorch has it, bias or None) of the convolutions and products with a constant, in order."""
    readers = {}
    for node in graph.node:
        for i in node.input:
            readers.setdefault(i, []).append(node)
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        weight, bias = constants[node.input[1]], constants.get(node.input[2]) if len(node.input) > 2 else None
        if node.op_type == "MatMul":
            weight = weight.T
            behind = [constants[i] for r in readers.get(node.output[0], []) if r.op_type == "Add" for i in r.input if i in constants]
            bias = next((c for c in behind if c.shape == weight.shape[:1]), None)
        elif node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
            weight = weight.T
        yield node.input[1], weight, bias


def untie_head(network, named, give):
    """A language model's head gets a weight of its own, which the graph may have filled otherwise; or one of the two has both's."""
    head = getattr(getattr(network, "network", None), "lm_head", None)
    if head is None:
        return
    words = network.network.get_input_embeddings().weight
    head.weight = torch.nn.Parameter(words.detach().clone())
    if "lm_head.weight" in named:
        for target in (head.weight, words):
            give(target, named["lm_head.weight"][1])


def load_weights(network, graph, inputs):
    """Gives the network the weights of the ONNX graph (with data): by their names, else by the order in which they are used. Whether
    all of both found each other."""
    import onnx.numpy_helper

    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # exporters write equal tensors once
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    named = {n.removeprefix("m."): (n, c) for n, c in constants.items()}
    done, taken = set(), set()

    def give(target, value):
        target.copy_(torch.from_numpy(value.copy()))
        done.add(id(target))

    with torch.no_grad():
        for name, target in [*network.named_parameters(), *network.named_buffers()]:
            found = named.get(name.removeprefix("network."))
            if found and found[1].shape == tuple(target.shape):
                give(target, found[1])
                taken.add(found[0])
        untie_head(network, named, give)
        modules = [m for m in used_in_order(network, inputs) if id(m.weight) not in done]
        layers = [layer for layer in layers_of(graph, constants) if layer[0] not in taken]
        if [tuple(m.weight.shape) for m in modules] != [w.shape for _, w, _ in layers]:
            return False
        for module, (_, weight, bias) in zip(modules, layers):
            give(module.weight, weight)
            if module.bias is not None and bias is not None:
                give(module.bias, bias)
        for name, parameter in network.named_parameters():  # norms and biases that are trivial were left out of the graph
            if id(parameter) in done or "pooler" in name:
                continue
            if parameter.ndim > 1:
                return False
            parameter.fill_(0 if name.endswith("bias") else 1)
    return True
