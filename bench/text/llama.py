#!/usr/bin/env python3
"""Cameo beside llama.cpp with the same GGUF file: prompts and decoding, in turn, and the tokens of both.

  llama.py --cameo build/cameo --gguf FILE.gguf [--prompts 32,128,512] [--new-tokens 32] [--rounds 5] [--threads N] [--out STEM]

A round runs `cameo bench generate --modes cached` and then llama-cpp-python's llama_decode on the same prompt; each engine
warms up first. What counts is the median over rounds. A token's time is the median of the steps, the choice of the likeliest
token included. Both take activations as integers, llama.cpp in 8 bits and Cameo in 16, so that tokens may part where two are
almost as likely: how many are the same is shown. Writes STEM.md and STEM.json.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import llama_cpp
import numpy as np

from generate import cpu_name


TEXT = "A good way to learn a language is to read what people wrote in it, to listen to them, and to answer as often as one can. "


class Llama:
    def __init__(self, path, threads):
        self.model = llama_cpp.Llama(path, n_ctx=2048, n_batch=2048, n_ubatch=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
        self.context, self.vocabulary = self.model._ctx.ctx, self.model.n_vocab()

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def step(self, ids):
        """Runs the tokens; returns the likeliest next one."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(tokens, len(ids))) != 0:
            sys.exit("llama_decode failed")
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (self.vocabulary,)).argmax())

    def run(self, prompt, count):
        self.clear()
        made, times = [], []
        ids = prompt
        for _ in range(count):
            start = time.perf_counter()
            ids = [self.step(ids)]
            times.append((time.perf_counter() - start) * 1000)
            made += ids
        return made, times[0], statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--timing-cache")
    parser.add_argument("--prompts", default="32,128,512", help="lengths of prompts in tokens")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out")
    o = parser.parse_args()

    def cameo(*args):
        done = subprocess.run([o.cameo, *args, "--json"], capture_output=True, text=True)
        if done.returncode > 1:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    lengths = [int(n) for n in o.prompts.split(",")]
    llama = Llama(o.gguf, o.threads)
    ours, theirs, same = {n: [] for n in lengths}, {n: [] for n in lengths}, {}
    with tempfile.TemporaryDirectory() as folder:
        plan = os.path.join(folder, "model.plan")
        cameo("build", o.gguf, "-o", plan, "--kv-cache=on", *(["--timing-cache", o.timing_cache] if o.timing_cache else []))
        for _ in range(o.rounds):
            for n in lengths:
                run = cameo("bench", "generate", o.gguf, "--plan", plan, "--modes", "cached", "--prompt", TEXT * (1 + n // 20), "--prompt-tokens", str(n), "--rounds", "1", "--fit-tokens", "3", "--configurations", f"1x{o.new_tokens}", "--threads", str(o.threads))["table"][0]
                ours[n].append((run["cached_prompt_ms"], run["cached_token_ms"]))
                prompt = run["prompt_token_ids"][0]
                llama.run(prompt, 3)
                made, prompt_ms, token_ms = llama.run(prompt, o.new_tokens)
                theirs[n].append((prompt_ms, token_ms))
                same[n] = next((i for i, (a, b) in enumerate(zip(made, run["token_ids"][0])) if a != b), len(made))
    result = {"cpu": cpu_name(), "threads": o.threads, "llama_cpp_python": llama_cpp.__version__, "model": os.path.basename(o.gguf), "rounds": o.rounds, "rows": []}
    text = (f"{result['model']}, {o.threads} threads of {result['cpu']}, llama-cpp-python {result['llama_cpp_python']} compiled for this processor; milliseconds, median of {o.rounds} rounds.\n\n"
            "| prompt tokens | prompt: llama.cpp | Cameo | ratio | a token: llama.cpp | Cameo | ratio | same tokens before they part |\n" + "|---:" * 8 + "|\n")
    for n in lengths:
        row = {"prompt_tokens": n, "new_tokens": o.new_tokens, "same_tokens": same[n]}
        for i, key in enumerate(("prompt", "token")):
            row[f"llama_cpp_{key}_ms"], row[f"cameo_{key}_ms"] = (statistics.median(t[i] for t in times[n]) for times in (theirs, ours))
            row[f"{key}_ratio"] = row[f"llama_cpp_{key}_ms"] / row[f"cameo_{key}_ms"]
        result["rows"].append(row)
        text += (f"| {n} | {row['llama_cpp_prompt_ms']:.1f} | {row['cameo_prompt_ms']:.1f} | {row['prompt_ratio']:.2f}× | {row['llama_cpp_token_ms']:.2f} | {row['cameo_token_ms']:.2f} | "
                 f"{row['token_ratio']:.2f}× | {same[n]} of {o.new_tokens} |\n")
    print(text)
    if o.out:
        with open(o.out + ".md", "w") as f:
            f.write(text)
        with open(o.out + ".json", "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
