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
    "minilm-l6-sdpa": ("BertModel", "BertConfig", _MINILM),
    "mpnet-base": ("MPNetModel", "MPNetConfig", dict(vocab_size=30527, max_position_embeddings=514)),
    "mpnet-base-dynamo": ("MPNetModel", "MPNetConfig", dict(vocab_size=30527, max_position_embeddings=514)),
    "roberta-base": ("RobertaModel", "RobertaConfig", dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1)),
    "t5-small-encoder": ("T5EncoderModel", "T5Config", dict(vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8)),
}


class FirstOutput(torch.nn.Module):
    """Of a network that gives several, or by name, the first."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        out = self.network(*inputs)
        if hasattr(out, "to_tuple"):
            out = out.to_tuple()[0]
        return out if isinstance(out, torch.Tensor) else out[0]


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
        return FirstOutput(network).eval()
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
    """The convolutions and linear layers, each once, in the order of their first use."""
    seen, hooks = [], []
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            hooks.append(module.register_forward_hook(lambda m, _i, _o: seen.append(m) if all(m is not s for s in seen) else None))
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def load_weights(network, graph, inputs):
    """Gives the network the weights of the ONNX graph (with data). Whether all of both found each other."""
    import onnx.numpy_helper

    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    readers = {}
    for node in graph.node:
        for i in node.input:
            readers.setdefault(i, []).append(node)

    def bias_behind(node, size):
        for reader in readers.get(node.output[0], []):
            if reader.op_type == "Add":
                for i in reader.input:
                    if i in constants and constants[i].shape == (size,):
                        return constants[i]
        return None

    layers = []
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in constants:
            layers.append((constants[node.input[1]], constants.get(node.input[2]) if len(node.input) > 2 else None))
        elif node.op_type == "Gemm" and node.input[1] in constants:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            w = constants[node.input[1]]
            layers.append((w if transposed else w.T, constants.get(node.input[2]) if len(node.input) > 2 else None))
        elif node.op_type == "MatMul" and node.input[1] in constants:
            w = constants[node.input[1]]
            layers.append((w.T, bias_behind(node, w.shape[1])))
    modules = used_in_order(network, inputs)
    if len(layers) != len(modules):
        return False
    with torch.no_grad():
        for module, (weight, bias) in zip(modules, layers):
            if tuple(module.weight.shape) != weight.shape or (module.bias is None) != (bias is None):
                return False
            module.weight.copy_(torch.from_numpy(weight.copy()))
            if bias is not None:
                module.bias.copy_(torch.from_numpy(bias.copy()))
        # What is no such layer keeps its name in the graph, behind a prefix: embeddings, norms that are not trivial.
        inside = {id(p) for m in modules for p in m.parameters()}
        for name, parameter in network.named_parameters():
            if id(parameter) in inside:
                continue
            short = name.removeprefix("network.")
            found = [c for n, c in constants.items() if n.removeprefix("m.") == short]
            if found and found[0].shape == tuple(parameter.shape):
                parameter.copy_(torch.from_numpy(found[0].copy()))
            elif parameter.ndim > 1:
                return False
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.fill_(1)
    return True
