#!/usr/bin/env python3
"""Folders as Hugging Face publishes models against the exported graphs of the same models (tests/models): `cameo build FOLDER` must give
what ONNX Runtime gives for the graph, or, where that is not installed, what Cameo gives for it.

  compare.py --cameo build/cameo --work DIR [--summary FILE] [NAME…]

The weights are drawn (tests/models/fill_weights.py). Each graph's parameters are found by the paths that torch.onnx names nodes after, and
written with a config.json as model.safetensors; qwen2's go into two files with an index. Needs numpy and onnx.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models"))
import fill_weights  # noqa: E402

BERT = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu",
        "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
MODELS = {
    "bert-base": {"model_type": "bert", **BERT},
    "roberta-base": {"model_type": "roberta", **BERT, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1},
    "mpnet-base": {"model_type": "mpnet", **BERT, "vocab_size": 30527, "max_position_embeddings": 514, "pad_token_id": 1,
                   "relative_attention_num_buckets": 32},
    "distilbert": {"model_type": "distilbert", "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "activation": "gelu",
                   "max_position_embeddings": 512},
    "distilgpt2-with-past": {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 6, "n_head": 12, "n_positions": 1024,
                             "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": False},
    "qwen2-4l-with-past": {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "num_hidden_layers": 4, "num_attention_heads": 14,
                           "num_key_value_heads": 2, "intermediate_size": 4864, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
                           "hidden_act": "silu", "use_sliding_window": False, "sliding_window": 32768, "tie_word_embeddings": False},
}


def parameters(model):
    """The module parameters of an exported graph by name."""
    held = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:  # one shared tensor under the names of several modules
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    found = {}

    def take(name, tensor, transposed=False):
        a = numpy_helper.to_array(held[tensor])
        found.setdefault(name, np.ascontiguousarray(a.T if transposed else a))

    for node in model.graph.node:
        module = node.name.rsplit("/", 1)[0].strip("/").replace("/", ".")
        module = module[2:] if module.startswith("m.") else module
        at = [i for i, name in enumerate(node.input) if name in held and numpy_helper.to_array(held[name]).size > 1]
        if node.op_type == "Gemm":
            take(module + ".weight", node.input[1])
            take(module + ".bias", node.input[2])
        elif node.op_type == "MatMul" and at == [1]:
            take(module + ".weight", node.input[1], transposed=True)
        elif node.op_type == "LayerNormalization":
            take(module + ".weight", node.input[1])
            take(module + ".bias", node.input[2])
        elif node.op_type == "Gather" and at[:1] == [0] and len(held[node.input[0]].dims) == 2:
            take(module + ".weight", node.input[0])
        elif node.op_type == "Add" and len(at) == 1 and not module.endswith("embeddings") and len(held[node.input[at[0]]].dims) == 1:
            take(module + ".bias", node.input[at[0]])
        elif node.op_type == "Mul" and len(at) == 1 and module.endswith("norm"):
            take(module + ".weight", node.input[at[0]])
    return found


def save_file(tensors, path):
    """A safetensors file of float32."""
    header, offset = {}, 0
    for name, a in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for a in tensors.values():
            f.write(a.tobytes())


def write_folder(name, model, folder):
    weights = {k: v for k, v in parameters(model).items() if v.dtype == np.float32}
    types = [n for n in weights if n.endswith("token_type_embeddings.weight")]
    if MODELS[name].get("type_vocab_size") and not types:  # the exporter looked the only row up
        shape = (MODELS[name]["type_vocab_size"], MODELS[name]["hidden_size"])
        weights["embeddings.token_type_embeddings.weight"] = np.zeros(shape, np.float32)
        for t in model.graph.initializer:
            a = numpy_helper.to_array(t)
            if a.size == shape[1] * shape[0] and "token_type" in t.name:
                weights["embeddings.token_type_embeddings.weight"] = a.reshape(shape)
    os.makedirs(folder, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(MODELS[name]))
    if name.startswith("qwen2"):
        names = sorted(weights)
        parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
        for file, part in parts.items():
            save_file({n: weights[n] for n in part}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {n: f for f, part in parts.items() for n in part}}))
    else:
        save_file(weights, folder / "model.safetensors")


def feeds_of(model, config):
    """Three texts of different lengths; for a causal model with a past, of which one row has a shorter one."""
    random = np.random.default_rng(3)
    batch, length, past = 3, 11, 5
    inputs = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    causal = any(name.startswith("past") for name in inputs)
    feeds = {}
    for name, shape in inputs.items():
        if name == "input_ids":
            feeds[name] = random.integers(5, config["vocab_size"], (batch, length))
        elif name == "attention_mask":
            feeds[name] = np.ones((batch, length + past if causal else length), np.int64)
            if causal:
                feeds[name][1, :4] = 0
            else:
                feeds[name][1, 7:], feeds[name][2, 3:] = 0, 0
        elif name == "position_ids":
            feeds[name] = np.tile(np.arange(past, past + length), (batch, 1))
            feeds[name][1] -= 4
        else:
            feeds[name] = random.normal(0, 1, (batch, shape[1], past, shape[3])).astype(np.float32)
    if not causal:
        feeds["input_ids"][feeds["attention_mask"] == 0] = config.get("pad_token_id", 0)
    return feeds


def run_cameo(cameo, model, feeds, work):
    plan, out = work / "m.plan", work / "out"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([cameo, "build", model, "-o", plan, "--opt-level", "0", "--verify-passes"], check=True, stdout=subprocess.DEVNULL)
    command = [cameo, "run", plan, "--output-dir", out]
    for key, value in feeds.items():
        np.save(work / (key + ".npy"), value)
        command += ["--input", f"{key}={work / (key + '.npy')}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {file.stem: np.load(file) for file in out.glob("*.npy")}


def compare(name, args):
    work = args.work / name
    source = fill_weights.fill(name, work)
    model = onnx.load(source)
    folder = work / "folder"
    write_folder(name, model, folder)
    feeds = feeds_of(model, MODELS[name])
    if onnxruntime:
        session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
        want = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    else:
        want = run_cameo(args.cameo, source, feeds, work)
    if name == "bert-base":
        feeds["token_type_ids"] = np.zeros_like(feeds["input_ids"])
    got = run_cameo(args.cameo, folder, feeds, work)
    shutil.rmtree(work)
    if got.keys() != want.keys():
        return f"the outputs are {sorted(got)}, not {sorted(want)}"
    for key, value in want.items():
        if got[key].shape != value.shape:
            return f"{key} has shape {got[key].shape}, not {value.shape}"
    # Against the largest value where that is more than 1, as it is for logits.
    return max(float(np.abs(got[key] - value).max() / max(1.0, np.abs(value).max())) for key, value in want.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--summary", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    args = parser.parse_args()
    lines, failed = [], False
    for name in args.names:
        result = compare(name, args)
        good = isinstance(result, float) and result <= 1e-4
        failed |= not good
        lines.append(f"{name}: {f'largest difference {result:.1e}' if isinstance(result, float) else result}: {'agrees' if good else 'DIFFERS'}")
        print(lines[-1], flush=True)
    if args.summary:
        peer = "ONNX Runtime" if onnxruntime else "the exported graph"
        args.summary.write_text(f"Hugging Face folders against {peer}:\n" + "\n".join("  " + line for line in lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
