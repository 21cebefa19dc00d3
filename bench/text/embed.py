#!/usr/bin/env python3
"""Embeddings of Cameo beside the same loop over ONNX Runtime: throughput, agreement, and what fewer bits cost.

  embed.py --cameo build/cameo --model FOLDER --out bench/results [--rounds 3] [--threads 2]

FOLDER holds model.onnx (input_ids, attention_mask → last_hidden_state) and tokenizer.json of a sentence encoder. ONNX Runtime
gets the sentences in batches of 32, padded to the longest of each, in the order of the file ("padded") and sorted by length as
sentence-transformers does it ("sorted"); both tokenise with the package tokenizers, pool by the mean and normalise. Cameo's times
are those of one `cameo embed`, loading left out, first runs at each shape included. The rounds alternate between the engines; the
median counts. Needs numpy, onnxruntime and tokenizers.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import tokenizers

HERE = pathlib.Path(__file__).parent
BATCH, LONGEST = 32, 384


class Peer:
    """The loop over ONNX Runtime."""

    def __init__(self, folder, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.names = {i.name for i in self.session.get_inputs()}
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        padding = self.tokenizer.padding or {}
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))

    def embed(self, texts, sort):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i])) if sort else list(range(len(texts)))
        rows = [None] * len(texts)
        for at in range(0, len(order), BATCH):
            part = order[at:at + BATCH]
            encodings = self.tokenizer.encode_batch([texts[i] for i in part])
            ids = np.array([e.ids for e in encodings], np.int64)
            mask = np.array([e.attention_mask for e in encodings], np.int64)
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = self.session.run(None, {k: v for k, v in feeds.items() if k in self.names})[0]
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            for i, row in zip(part, pooled):
                rows[i] = row
        return np.array(rows, np.float32)


def cameo_embed(cameo, plan, tokenizer, texts, threads):
    """(seconds, vectors) of one run of cameo embed."""
    with tempfile.TemporaryDirectory() as folder:
        text_file, out = os.path.join(folder, "texts.txt"), os.path.join(folder, "out.npy")
        with open(text_file, "w", encoding="utf-8") as f:
            f.write("\n".join(texts) + "\n")
        command = [cameo, "embed", plan, "--file", text_file, "--tokenizer", tokenizer, "--output", out, "--threads", str(threads),
                   "--max-length", str(LONGEST), "--json"]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return done["seconds"], np.load(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--weights", default="fp32,fp16,int8", help="the first is measured beside ONNX Runtime, all are compared")
    args = parser.parse_args()
    texts = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in (HERE / "pairs.tsv").read_text(encoding="utf-8").splitlines()]
    flat = [text for pair in pairs for text in pair]
    tokenizer, kinds = args.model / "tokenizer.json", args.weights.split(",")
    with tempfile.TemporaryDirectory() as folder:
        plans, sizes = {}, {}
        for kind in kinds:
            plans[kind] = os.path.join(folder, kind + ".plan")
            shapes = [f"--{which}-shapes=input_ids:{shape},attention_mask:{shape}" for which, shape in
                      (("min", "1x1"), ("opt", "16x64"), ("max", f"1024x{LONGEST}"))]
            subprocess.run([args.cameo, "build", args.model / "model.onnx", "-o", plans[kind], "--weights", kind, "--threads", str(args.threads), *shapes],
                           check=True, capture_output=True)
            sizes[kind] = os.path.getsize(plans[kind])
        peer = Peer(args.model, args.threads)
        peer.embed(texts[:BATCH], False)
        engines = {"onnxruntime, padded": lambda: peer.embed(texts, False), "onnxruntime, sorted": lambda: peer.embed(texts, True)}
        times, vectors = {}, {}
        for round_number in range(args.rounds):
            for name, run in engines.items():
                start = time.perf_counter()
                vectors[name] = run()
                times.setdefault(name, []).append(time.perf_counter() - start)
            for kind in kinds:
                seconds, vectors[kind] = cameo_embed(args.cameo, plans[kind], tokenizer, texts, args.threads)
                times.setdefault("cameo " + kind, []).append(seconds)
        similarities = {}
        for kind in kinds:
            rows = cameo_embed(args.cameo, plans[kind], tokenizer, flat, args.threads)[1]
            similarities[kind] = (rows[0::2] * rows[1::2]).sum(1)
        reference = peer.embed(flat, False)
        similarities["onnxruntime"] = (reference[0::2] * reference[1::2]).sum(1)
    model_bytes = sum(os.path.getsize(p) for p in (args.model / "model.onnx", args.model / "model.weights") if p.exists())
    result = {
        "model": args.model.name, "date": datetime.date.today().isoformat(), "threads": args.threads, "texts": len(texts),
        "tokens": sum(len(e.ids) for e in map(peer.tokenizer.encode, texts)), "onnxruntime": onnxruntime.__version__, "rounds": args.rounds,
        "seconds": {name: statistics.median(t) for name, t in times.items()}, "all_seconds": times,
        "model_bytes": model_bytes, "plan_bytes": sizes,
        "largest_difference": {kind: float(np.abs(vectors[kind] - vectors["onnxruntime, padded"]).max()) for kind in kinds},
        "similarity_error": {kind: {"mean": float(np.abs(similarities[kind] - similarities["onnxruntime"]).mean()),
                                    "largest": float(np.abs(similarities[kind] - similarities["onnxruntime"]).max())} for kind in kinds}}
    result["speedup"] = {f"cameo {k} over {name}": statistics.median(p / c for p, c in zip(times[name], times["cameo " + k]))
                         for k in kinds for name in engines}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"embed-{args.model.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    lines = [f"# Embeddings: {args.model.name}", "",
             f"`bench/text/embed.py`, {result['date']}: {len(texts)} sentences, {result['tokens']} tokens, {args.threads} threads; median of {args.rounds} rounds.", "",
             "| engine | seconds | sentences/s | Cameo fp32 is faster by |", "|---|---|---|---|"]
    for name, seconds in result["seconds"].items():
        gain = result["speedup"].get(f"cameo {kinds[0]} over {name}")
        lines.append(f"| {name} | {seconds:.2f} | {len(texts) / seconds:.1f} | {f'{gain:.2f} ×' if gain else ''} |")
    lines += ["", f"The model's files have {model_bytes / 1e6:.1f} MB. Errors are against ONNX Runtime in float32; similarities are those of bench/text/pairs.tsv.", "",
              "| weights | plan (MB) | largest difference of a component | similarity error, mean | largest |", "|---|---|---|---|---|"]
    for kind in kinds:
        e = result["similarity_error"][kind]
        lines.append(f"| {kind} | {sizes[kind] / 1e6:.1f} | {result['largest_difference'][kind]:.1e} | {e['mean']:.1e} | {e['largest']:.1e} |")
    lines += ["", "| pair | ONNX Runtime | " + " | ".join(kinds) + " |", "|---|---|" + "---|" * len(kinds)]
    for i, (first, second) in enumerate(pairs):
        lines.append(f"| {first} / {second} | {similarities['onnxruntime'][i]:.4f} | " + " | ".join(f"{similarities[k][i]:.4f}" for k in kinds) + " |")
    (args.out / f"embed-{args.model.name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
