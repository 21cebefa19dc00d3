#!/usr/bin/env python3
"""Folders as Hugging Face publishes models against the exported graphs of the same models: `cameo build FOLDER` must give what ONNX Runtime
gives for the graph.

  compare.py --cameo build/cameo --graphs tests/models/graphs --work DIR [--summary FILE] [NAME…]

The weights are drawn (tests/models/fill_weights.py). Each graph's parameters are found by the paths that torch.onnx names nodes after, and
written with a config.json as model.safetensors; qwen2's go into two files of float16 with an index, in both ways. Needs numpy,
onnx, onnxruntime and safetensors.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file

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


def feeds_of(session, config):
    random = np.random.default_rng(3)
    batch, length, past = 3, 11, 5
    feeds = {}
    causal = any(i.name.startswith("past") for i in session.get_inputs())
    for i in session.get_inputs():
        if i.name == "input_ids":
            feeds[i.name] = random.integers(5, config["vocab_size"], (batch, length))
        elif i.name == "attention_mask":
            mask = np.ones((batch, length + past if causal else length), np.int64)
            if causal:
                mask[1, :4] = 0
            else:
                mask[1, 7:], mask[2, 3:] = 0, 0
            feeds[i.name] = mask
        elif i.name == "position_ids":
            feeds[i.name] = np.tile(np.arange(past, past + length), (batch, 1))
            feeds[i.name][1] -= 4
        elif i.name == "token_type_ids":
            feeds[i.name] = random.integers(0, 2, (batch, length))
        else:
            feeds[i.name] = random.normal(0, 1, (batch, i.shape[1], past, i.shape[3])).astype(np.float32)
    if not causal:
        feeds["input_ids"][feeds["attention_mask"] == 0] = config.get("pad_token_id", 0)
    return feeds


def compare(name, args):
    source = args.graphs / name / (name + ".onnx")
    model = onnx.load(source)
    folder = args.work / name
    write_folder(name, model, folder)
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    feeds = feeds_of(session, MODELS[name])
    want = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    plan, out = folder / "m.plan", folder / "out"
    subprocess.run([args.cameo, "build", folder, "-o", plan, "--opt-level", "0", "--verify-passes"], check=True, capture_output=True)
    if name == "bert-base":
        feeds["token_type_ids"] = np.zeros_like(feeds["input_ids"])
    command = [args.cameo, "run", plan, "--output-dir", out]
    for key, value in feeds.items():
        np.save(folder / (key + ".npy"), value)
        command += ["--input", f"{key}={folder / (key + '.npy')}"]
    subprocess.run(command, check=True, capture_output=True)
    worst = 0.0
    for key, value in want.items():
        got = np.load(out / (key + ".npy"))
        if got.shape != value.shape:
            return f"{key} has shape {got.shape}, not {value.shape}"
        # Logits grow with the vocabulary's norms; the error counts against the largest of them.
        worst = max(worst, float(np.abs(got - value).max() / max(1.0, np.abs(value).max())))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--graphs", required=True, type=pathlib.Path, help="folder with NAME/NAME.onnx and their weights")
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    args = parser.parse_args()
    failed = False
    for name in args.names:
        result = compare(name, args)
        good = isinstance(result, float) and result <= 1e-4
        failed |= not good
        print(f"{name}: {f'largest difference {result:.1e}' if isinstance(result, float) else result}: {'agrees' if good else 'DIFFERS'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
