#!/usr/bin/env python3
"""Runs models with trained weights on a GPU and on the CPU, and compares what they say.

  real_on_device.py --cameo build/cameo --work DIR [--jobs N] MODEL…

MODEL is the folder of a sentence encoder (model.onnx, tokenizer.json, config.json; all-MiniLM-L6-v2, all-mpnet-base-v2), a language
model (a GGUF file beside its tokenizer.json, or a folder as Hugging Face has it), or FILE.onnx@INPUT:EXTENTS@INPUT=VALUE…, which gets
drawn inputs of these extents. Hidden states must be close to the CPU's in float32 and in float16; those of
all-mpnet-base-v2 also to what TensorRT prints for it in float16. Outputs of an ONNX file must be close in float32, and
numbers in float16 are printed. Greedy tokens must be the CPU's in float32; in float16 it is printed
how many are. Needs tokenizers for encoders. Prints SKIPPED where there is no GPU.
"""
import json
import pathlib
import shutil
import sys

import numpy as np

from on_device import call, check_all, parser, run_plan

SENTENCES = ["This is an example sentence.", "The waters were upon the face of the deep.", "How do I measure inference latency end to end?",
             "A GPU moves data between host and device; the copy often takes longer than the computation itself, so both must be measured.",
             "Moses", "Bonjour le monde"]
PROMPTS = ["The capital of France is", "def fibonacci(n):", "Once upon a time there was a small robot who", "Water boils at",
           "A list of the planets of the solar system, from the sun outwards: Mercury, Venus,", "1 + 1 ="]
# The first and last three numbers of the first three rows for "This is an example sentence.", as printed after a build with FP16.
TENSORRT_MPNET = np.array([[0.05776978, -0.15673828, -0.01065826, -0.00502777, 0.15405273, -0.019104],
                           [0.01416016, -0.22570801, -0.09771729, -0.04104614, 0.04962158, -0.01191711],
                           [-0.02050781, -0.41845703, -0.07580566, -0.11193848, 0.11920166, 0.05178833]])


def build(cameo, model, work, *flags):
    """Plans of a model for the CPU, and for the GPU in float32 and float16."""
    plans = {name: work / f"{name}.plan" for name in ("cpu", "fp32", "fp16")}
    call(cameo, "build", model, "-o", plans["cpu"], "--opt-level", "0", *flags)
    call(cameo, "build", model, "-o", plans["fp32"], "--device", "cuda", *flags)
    call(cameo, "build", model, "-o", plans["fp16"], "--device", "cuda", "--fp16", *flags)
    return plans


def encoder(cameo, folder, work):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    plans = build(cameo, folder / "model.onnx", work)
    inputs = json.loads(call(cameo, "inspect", folder / "model.onnx", "--json"))["inputs"]
    lines, printed = [], None
    worst = {"fp32": (0, 1), "fp16": (0, 1)}
    for k, text in enumerate(SENTENCES):
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {i["name"]: given[i["name"]] for i in inputs}
        y = {p: run_plan(cameo, plan, feeds, ["last_hidden_state"], work / f"{p}{k}")["last_hidden_state"].astype(np.float64) for p, plan in plans.items()}
        for p, (error, cosine) in worst.items():
            off = abs(y[p] - y["cpu"]).max() / abs(y["cpu"]).max()
            same = (y[p] * y["cpu"]).sum() / np.sqrt((y[p] ** 2).sum() * (y["cpu"] ** 2).sum())
            worst[p] = max(error, off), min(cosine, same)
        if k == 0:
            printed = {p: np.concatenate([y[p][0, :3, :3], y[p][0, :3, -3:]], 1) for p in plans}
    for p, (error, cosine) in worst.items():
        good = error <= (1e-4 if p == "fp32" else 2e-2) and cosine >= 0.9999
        lines.append((good, f"{'ok  ' if good else 'FAIL'} {folder.name} {p}: {len(SENTENCES)} sentences, error {error:.1e} of the largest value, cosine {cosine:.6f}"))
    if json.loads((folder / "config.json").read_text()).get("model_type") == "mpnet" and printed["cpu"].shape == TENSORRT_MPNET.shape:
        for p in worst:
            off = abs(printed[p] - TENSORRT_MPNET).max()
            good = off <= 3e-3
            lines.append((good, f"{'ok  ' if good else 'FAIL'} {folder.name} {p}: within {off:.1e} of what TensorRT prints in FP16"))
    return lines


def onnx_file(cameo, model, work, given):
    arguments = ["--shapes", ",".join(g for g in given if "=" not in g)] if any("=" not in g for g in given) else []
    arguments += [x for g in given if "=" in g for x in ("--input", g)]
    y = {}
    for p, flags in {"cpu": [], "fp32": ["--device", "cuda"], "fp16": ["--device", "cuda", "--fp16"]}.items():
        call(cameo, "run", model, *arguments, *flags, "--output-dir", work / p)
        y[p] = {f.name: np.load(f).astype(np.float64) for f in sorted((work / p).glob("*.npy"))}
    lines = []
    for p in ("fp32", "fp16"):
        off = max(abs(y[p][n] - v).max(initial=0) / max(abs(v).max(initial=0), 1e-30) if y[p][n].shape == v.shape else np.inf for n, v in y["cpu"].items())
        good = off <= (1e-3 if p == "fp32" else 5e-2)
        lines.append((good, f"{'ok  ' if good else 'FAIL'} {model.name} {p}: {len(y['cpu'])} outputs, error {off:.1e} of the largest value"))
    return lines


def language_model(cameo, model, work):
    plans = build(cameo, model, work, "--kv-cache=on")
    arguments = [x for p in PROMPTS for x in ("--prompt", p)]
    beside = ["--tokenizer", (model if model.is_dir() else model.parent) / "tokenizer.json"]
    tokens, texts = {}, {}
    for p, plan in plans.items():
        made = json.loads(call(cameo, "generate", plan, *beside, *arguments, "--greedy", "--max-new-tokens", 48, "--ignore-eos", "--json"))
        tokens[p] = [c["token_ids"] for c in made["completions"]]
        texts[p] = made["completions"][0].get("text", "")
    total = sum(map(len, tokens["cpu"]))
    lines = []
    for p in ("fp32", "fp16"):
        same = sum(next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), len(y)) for x, y in zip(tokens[p], tokens["cpu"]))
        good = same == total if p == "fp32" else same > 0
        lines.append((good, f"{'ok  ' if good else 'FAIL'} {model.name} {p}: {same} of {total} tokens up to the first difference in each row; {PROMPTS[0]!r} goes on {texts[p][:80]!r}"))
    return lines


def check(model, args):
    path, *given = str(model).split("@")
    model = pathlib.Path(path)
    work = args.work / model.name
    work.mkdir(parents=True, exist_ok=True)
    try:
        if model.suffix == ".onnx":
            return onnx_file(args.cameo, model, work, given)
        return (encoder if (model / "model.onnx").exists() else language_model)(args.cameo, model, work)
    except (ValueError, OSError, KeyError) as problem:
        return [(False, f"FAIL {model.name}: {problem}")]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main():
    args = parser(__doc__, 2, "folders and files of models").parse_args()
    return check_all(args, args.names, lambda name: check(name, args), "trained models")


if __name__ == "__main__":
    sys.exit(main())
