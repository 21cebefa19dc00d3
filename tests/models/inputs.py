"""The inputs that each model is run with: two sets of shapes a model, drawn from fixed seeds."""
import zlib

import numpy as np
import onnx

# Rows of the embedding table, and the id that stands at padded places.
VOCABULARY = {
    "bert-base": (30522, 0),
    "bert-base-sdpa-dynamo": (30522, 0),
    "distilbert": (30522, 0),
    "distilgpt2": (50257, 0),
    "distilgpt2-dynamo": (50257, 0),
    "distilgpt2-with-past": (50257, 0),
    "lstm-gru": (1000, 0),
    "minilm-l6-sdpa": (30522, 0),
    "mpnet-base": (30527, 1),
    "mpnet-base-dynamo": (30527, 1),
    "qwen2-4l-with-past": (151936, 0),
    "roberta-base": (50265, 1),
    "smollm2-135m-with-past": (49152, 0),
    "t5-small-encoder": (32128, 0),
}
# Under the drawn weights the signal of these networks fades until the biases decide the output; their second image is
# so much larger that it does not. (Of ssdlite320 all scores are equal for the first image, and distinct for the second.)
AMPLITUDE = {
    "deeplabv3_mbv3": 1e2,
    "inception_v3": 1e7,
    "mobilenet_v3_large": 1e2,
    "shufflenet_v2": 1e4,
    "ssdlite320": 1e9,
}
# Where the first dimension of the images or features is open: two batch sizes.
BATCHES = (1, 2)
# Batch size and tokens; with past, batch size, new tokens and past tokens.
TEXT_SHAPES = ((1, 16), (2, 7))
PAST_SHAPES = ((1, 5, 3), (2, 1, 7))


def _rng(*key):
    return np.random.Generator(np.random.PCG64(zlib.crc32("/".join(map(str, key)).encode())))


def _text_mask(batch, length):
    """Ones, and in the last row of several some zeros at the end: padding."""
    mask = np.ones((batch, length), np.int64)
    if batch > 1:
        mask[-1, length - 2 :] = 0
    return mask


def _past_mask(batch, length):
    """Ones, and in the last row of several some zeros at the start."""
    mask = np.ones((batch, length), np.int64)
    if batch > 1:
        mask[-1, :2] = 0
    return mask


def _text(name, shape, rng):
    vocabulary, pad = VOCABULARY[name]
    ids = rng.integers(3, vocabulary, shape, np.int64)
    mask = _text_mask(*shape)
    return {"input_ids": np.where(mask == 1, ids, pad), "attention_mask": mask}


def _with_past(name, shape, rng, infos):
    batch, new, past = shape
    mask = _past_mask(batch, past + new)
    feeds = {
        "input_ids": rng.integers(3, VOCABULARY[name][0], (batch, new), np.int64),
        "attention_mask": mask,
        "position_ids": np.maximum(np.cumsum(mask, 1) - 1, 0)[:, past:],
    }
    for info in infos:
        if info.name not in feeds:
            dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
            feeds[info.name] = rng.standard_normal((batch, dims[1], past, dims[3]), np.float32)
    return feeds


def input_sets(name, model):
    """Two pairs of a label ("2x7") and the inputs by name; `model` is the onnx.ModelProto."""
    infos = list(model.graph.input)
    names = [info.name for info in infos]
    sets = []
    for k in range(2):
        rng = _rng(name, k)
        if "position_ids" in names:
            shape = PAST_SHAPES[k]
            feeds = _with_past(name, shape, rng, infos)
            label = "{}x{} past {}".format(*shape)
        elif names == ["tokens"]:
            feeds = {"tokens": rng.integers(0, VOCABULARY[name][0], TEXT_SHAPES[k], np.int64)}
            label = "{}x{}".format(*TEXT_SHAPES[k])
        elif "input_ids" in names:
            feeds = _text(name, TEXT_SHAPES[k], rng)
            label = "{}x{}".format(*TEXT_SHAPES[k])
        else:  # one float input, its first dimension open, or none open: then another drawing
            (info,) = infos
            assert info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            dims = [d.dim_value if d.HasField("dim_value") else BATCHES[k] for d in info.type.tensor_type.shape.dim]
            amplitude = AMPLITUDE.get(name, 1) if k == 1 else 1
            feeds = {info.name: rng.standard_normal(dims, np.float32) * np.float32(amplitude)}
            label = "x".join(map(str, dims))
            if all(d.HasField("dim_value") for d in info.type.tensor_type.shape.dim):
                label += f" #{k + 1}"
        sets.append((label, {n: np.ascontiguousarray(feeds[n]) for n in names}))
    return sets
