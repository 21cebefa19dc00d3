"""What is measured: models, inputs and the goal against the faster peer."""
import dataclasses
import pathlib
import sys
from typing import Callable

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "models"))
import fill_weights  # noqa: E402
import inputs  # noqa: E402


@dataclasses.dataclass
class Workload:
    name: str  # "resnet50 b8"
    model: str  # a graph of tests/models, or a file name in --models
    feeds: Callable  # (model inputs by name: (shape, type)) -> arrays by name
    goal: float
    suite: str
    build: tuple = ()  # further flags of `cameo build`
    peers_model: str = ""  # another file for the peers, for instance float32 where Cameo quantises
    bandwidth_bound: bool = False  # reading the weights takes the time


def images(batch, side=None):
    """`side`: height and width where the model leaves them open."""

    def feeds(infos):
        rng = np.random.default_rng(7)
        return {n: rng.standard_normal([batch] + [side if d is None else d for d in shape[1:]], np.float32) for n, (shape, _) in infos.items()}

    return feeds


def text(batch, length):
    def feeds(infos):
        rng = np.random.default_rng(7)
        ids = rng.integers(3, 30000, (batch, length), np.int64)
        return {n: ids if n == "input_ids" else np.ones((batch, length), np.int64) if "mask" in n else np.zeros((batch, length), np.int64) for n in infos}

    return feeds


def decode(batch, past):
    """One new token after `past` tokens."""

    def feeds(infos):
        rng = np.random.default_rng(7)
        out = {}
        for n, (shape, _) in infos.items():
            if n == "input_ids":
                out[n] = rng.integers(3, 40000, (batch, 1), np.int64)
            elif n == "attention_mask":
                out[n] = np.ones((batch, past + 1), np.int64)
            elif n == "position_ids":
                out[n] = np.full((batch, 1), past, np.int64)
            else:
                out[n] = rng.standard_normal((batch, shape[1], past, shape[3]), np.float32)
        return out

    return feeds


def as_tested(model):
    """The first set of inputs of the models test."""

    def feeds(_):
        return dict(inputs.input_sets(model, fill_weights.read_graph(model))[0][1])

    return feeds


def _silero(infos):
    rng = np.random.default_rng(7)
    out = {}
    for n, (shape, dtype) in infos.items():
        if n == "sr":
            out[n] = np.array(16000, np.int64)
        elif n == "state":
            out[n] = np.zeros((2, 1, 128), np.float32)
        else:
            out[n] = rng.standard_normal((1, 576), np.float32) * np.float32(0.1)
    return out


def workloads():
    main = [Workload(f"resnet50 b{b}", "resnet50", images(b), 1.25, "main") for b in (1, 8, 16)]
    for model in ("mpnet-base", "bert-base"):
        main += [Workload(f"{model} {b}x{s}", model, text(b, s), 1.25, "main") for b, s in ((1, 16), (1, 128), (8, 128))]
    for model in ("mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "vit_small_timm-dynamo", "swin_t", "whisper-tiny-encoder"):
        main.append(Workload(f"{model} b1", model, as_tested(model), 1.1, "main"))
    main.append(Workload("yolov8n (nudenet) b1", "nudenet.onnx", images(1, 320), 1.1, "main"))
    main.append(Workload("silero-vad", "silero_vad.onnx", _silero, 1.1, "main"))
    for batch in (1, 8):
        for past in (4, 16, 64):
            main.append(Workload(f"distilgpt2 past {past} b{batch}", "distilgpt2-with-past", decode(batch, past), 1.1, "main", bandwidth_bound=True))
    for bits, goal in ((8, 3.5), (4, 4.5)):
        for batch in (1, 8):
            main.append(Workload(f"distilgpt2 int{bits} weights past 16 b{batch}", "distilgpt2-with-past", decode(batch, 16), goal, "weights",
                                 build=("--weights", f"int{bits}")))
    every = [Workload(f"{m}", m, as_tested(m), 0.95, "graphs") for m in fill_weights.names()]
    int8 = [Workload("resnet50 int8 b1", "resnet50-qdq.onnx", images(1), 1.1, "int8"),
            Workload("resnet50 int8 b8", "resnet50-qdq.onnx", images(8), 1.1, "int8"),
            Workload("mpnet int8 1x128", "mpnet-qdq.onnx", text(1, 128), 1.1, "int8")]
    return main + every + int8
