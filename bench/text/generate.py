#!/usr/bin/env python3
"""Text generation of Cameo beside Hugging Face, ONNX Runtime and llama.cpp, token for token and in time.

  generate.py --cameo build/cameo --model FOLDER [--with-past FILE.onnx] [--plain FILE.onnx] [--gguf FILE.gguf]
              [--tokenizer FILE] [--weights int8,int4] [--chat QUESTION] [--configurations 1x12,8x12] [--rounds 3] [--threads N]
              [--out STEM]

FOLDER is what `cameo bench generate` takes. Peers that are not there are left out: Hugging Face needs torch and transformers
and a GPT-2 without a cache as ONNX, whose weights it takes; ONNX Runtime runs --plain without a cache and --with-past with one;
llama-cpp-python runs --gguf. With --weights Cameo runs with a cache and such weights too; their tokens may differ. A round runs `cameo bench generate`, then each peer once on the same prompts; what counts is the
median over rounds. All choose the likeliest token; the tokens must be Cameo's, and how many are stands in the table.
With --chat the answer to a question through the chat template is compared, and its speed. Writes STEM.md, STEM.json and, of
the table, STEM.svg: how the time of a step grows.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())


class OrtPlain:
    """The whole sequence at every step."""
    name = "ONNX Runtime, no cache"

    def __init__(self, path, threads):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name for i in self.session.get_inputs()}

    def run(self, rows, count):
        ids = np.array(rows, np.int64)
        made = []
        for _ in range(count):
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None].repeat(len(rows), 0)}
            logits = self.session.run(["logits"], {k: v for k, v in feed.items() if k in self.inputs})[0]
            next_ids = logits[:, -1].argmax(-1)
            made.append(next_ids)
            ids = np.concatenate([ids, next_ids[:, None]], 1)
        return np.stack(made, 1).tolist()


class OrtPast(OrtPlain):
    """Past keys and values in, present ones out."""
    name = "ONNX Runtime, with past"

    def __init__(self, path, threads, weights_of=None):
        model = path
        if weights_of:  # drawn weights differ from file to file
            import onnx
            model, source = onnx.load(path), onnx.load(weights_of)
            held = {t.name: t for t in source.graph.initializer}
            names = {t.name for t in model.graph.initializer}
            left = {tuple(t.dims): t for t in source.graph.initializer if t.name not in names}
            for t in model.graph.initializer:
                other = held.get(t.name, left.get(tuple(t.dims)))
                if other is not None:
                    t.raw_data = other.raw_data
            model = model.SerializeToString()
        super().__init__(model, threads)
        self.past = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values")]

    def run(self, rows, count, times=None):
        ids = np.array(rows, np.int64)
        past = {i.name: np.zeros((len(rows), i.shape[1], 0, i.shape[3]), np.float32) for i in self.past}
        names = ["logits"] + [i.name.replace("past_key_values", "present") for i in self.past]
        made, seen = [], 0
        for _ in range(count):
            start = time.perf_counter()
            total = seen + ids.shape[1]
            feed = {"input_ids": ids, "attention_mask": np.ones((len(rows), total), np.int64), "position_ids": np.arange(seen, total, dtype=np.int64)[None].repeat(len(rows), 0), **past}
            out = self.session.run(names, {k: v for k, v in feed.items() if k in self.inputs})
            past = dict(zip(past, out[1:]))
            ids = out[0][:, -1].argmax(-1)[:, None]
            made.append(ids[:, 0])
            seen = total
            if times is not None:
                times.append((time.perf_counter() - start) * 1000)
        return np.stack(made, 1).tolist()


class HuggingFace:
    """generate() of a GPT-2 with the weights of the ONNX file."""
    name = "Hugging Face generate"

    def __init__(self, path, threads):
        import onnx
        import torch
        from onnx import numpy_helper
        from transformers import GPT2Config, GPT2LMHeadModel
        torch.set_num_threads(threads)
        self.torch = torch
        graph = onnx.load(path).graph
        held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        renamed = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in held}
        find = lambda name: held.get(name, held.get(renamed.get(name)))
        weights = {}
        for name in list(held) + list(renamed):
            at = name.find("transformer.")
            if at >= 0:
                weights[name[at:]] = find(name)
        head = next(n for n in reversed(graph.node) if n.op_type == "MatMul" and n.input[1] in held)
        weights["lm_head.weight"] = held[head.input[1]].T
        embeddings, positions = weights["transformer.wte.weight"], weights["transformer.wpe.weight"]
        layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("transformer.h."))
        heads = embeddings.shape[1] // 64  # as in all of the GPT-2 family
        config = GPT2Config(vocab_size=embeddings.shape[0], n_positions=positions.shape[0], n_embd=embeddings.shape[1], n_layer=layers, n_head=heads, bos_token_id=0, eos_token_id=None, pad_token_id=0, tie_word_embeddings=False)
        self.model = GPT2LMHeadModel(config).eval()
        missing, unexpected = self.model.load_state_dict({k: torch.tensor(np.array(v)) for k, v in weights.items()}, strict=False)
        missing = [m for m in missing if not m.endswith((".attn.bias", ".attn.masked_bias"))]
        if missing:
            raise RuntimeError(f"no weights for {missing[:3]}")

    def run(self, rows, count):
        ids = self.torch.tensor(rows)
        with self.torch.inference_mode():
            out = self.model.generate(ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False, use_cache=True)
        return out[:, ids.shape[1]:].tolist()


def cameo(o, *args):
    done = subprocess.run([o.cameo, *args, "--json"], capture_output=True, text=True)
    if done.returncode > 1:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def build(o, folder, name, *flags):
    path = os.path.join(folder, name + ".plan")
    cameo(o, "build", o.model, "-o", path, "--kv-cache=on", *flags, *(["--timing-cache", o.timing_cache] if o.timing_cache else []))
    return path


def table(o, peers, threads, folder):
    extra = ["--tokenizer", o.tokenizer] if o.tokenizer else []
    if o.timing_cache:
        extra += ["--timing-cache", o.timing_cache]
    rounds, times, agree, lower = [], {}, {}, {}
    plans = {w: build(o, folder, w, "--weights", w) for w in o.weights.split(",") if w}
    for r in range(o.rounds):
        for weights, plan in plans.items():
            done = cameo(o, "bench", "generate", o.model, "--plan", plan, "--modes", "cached", "--threads", str(threads), "--rounds", str(o.inner), "--configurations", o.configurations, "--fit-tokens", "3", *extra)
            lower.setdefault(weights, []).append(done["table"])
        run = cameo(o, "bench", "generate", o.model, "--threads", str(threads), "--rounds", str(o.inner), "--configurations", o.configurations, *extra, "--fit-tokens", str(3 if r else o.fit_tokens), *(["--svg", o.out + ".svg"] if o.out and r == 0 else []))
        rounds.append(run)
        for row in run["table"]:
            for peer in peers:
                if r == 0:
                    peer.run(row["prompt_token_ids"], 2)
                for _ in range(o.inner):
                    start = time.perf_counter()
                    made = peer.run(row["prompt_token_ids"], row["new_tokens"])
                    key = (peer.name, row["batch"], row["new_tokens"])
                    times.setdefault(key, []).append((time.perf_counter() - start) * 1000)
                    agree[key] = sum(a == b for a, b in zip(made, row["token_ids"])), len(made)
    result = {"cpu": cpu_name(), "threads": threads, "model": os.path.basename(o.model.rstrip("/")), "rounds": o.rounds, "prompt_tokens": rounds[0]["prompt_tokens"], "rows": [], "fits": rounds[0]["fits"], "agreement": rounds[0]["agreement"]}
    for i, row in enumerate(rounds[0]["table"]):
        ours = {k: statistics.median(run["table"][i][k] for run in rounds) for k in row if k.endswith("_ms")}
        peers_ms = {p.name: statistics.median(times[p.name, row["batch"], row["new_tokens"]]) for p in peers}
        for weights, tables in lower.items():
            ours[f"cached_{weights}_ms"] = statistics.median(t[i]["cached_ms"] for t in tables)
        result["rows"].append({"batch": row["batch"], "new_tokens": row["new_tokens"], "cameo": ours, "peers": peers_ms,
                               "same_sequences": {p.name: agree[p.name, row["batch"], row["new_tokens"]] for p in peers}})
    return result


def markdown(result):
    names = list(result["rows"][0]["peers"])
    out = f"{result['model']}, {result['threads']} threads of {result['cpu']}, float32, prompts of {result['prompt_tokens']} tokens; milliseconds for the whole loop, median of {result['rounds']} rounds.\n\n"
    heads = ["batch", "new tokens", *names, "Cameo, no cache", "its compute", "E2E / compute", "Cameo O1", "O1 drop", "Cameo, with cache", *[f"{n} / Cameo with cache" for n in names], "same tokens"]
    out += "| " + " | ".join(heads) + " |\n|" + "---:|" * len(heads) + "\n"
    for r in result["rows"]:
        c = r["cameo"]
        cached = c.get("cached_ms")
        cells = [r["batch"], r["new_tokens"], *[f"{r['peers'][n]:.1f}" for n in names], f"{c['recompute_ms']:.1f}", f"{c['recompute_compute_ms']:.1f}", f"{c['recompute_ms'] / c['recompute_compute_ms']:.2f}×",
                 f"{c['o1_ms']:.1f}", f"{100 * (1 - c['o1_ms'] / c['recompute_ms']):.1f} %", f"{cached:.1f}" if cached else "-", *[f"{r['peers'][n] / cached:.2f}×" if cached else "-" for n in names],
                 ", ".join(f"{a}/{n}" for a, n in r["same_sequences"].values()) or "-"]
        out += "| " + " | ".join(map(str, cells)) + " |\n"
    lower = [k for k in result["rows"][0]["cameo"] if k.startswith("cached_int") or k.startswith("cached_fp") or k.startswith("cached_bf")]
    if lower:
        out += "\nCameo with a cache and weights of fewer bits, and how many times as long the float32 peers take:\n\n"
        heads = ["batch", "new tokens"]
        for k in lower:
            heads += [k.split("_")[1], *[f"{n} / {k.split('_')[1]}" for n in names]]
        out += "| " + " | ".join(heads) + " |\n|" + "---:|" * len(heads) + "\n"
        for r in result["rows"]:
            cells = [r["batch"], r["new_tokens"]]
            for k in lower:
                cells += [f"{r['cameo'][k]:.1f}", *[f"{r['peers'][n] / r['cameo'][k]:.2f}×" for n in names]]
            out += "| " + " | ".join(map(str, cells)) + " |\n"
    out += "\nTime of a step with 8 rows as the sequence grows (compute):\n\n| mode | ms at the start | µs more for each token | R² |\n|---|---:|---:|---:|\n"
    for f in result["fits"]:
        out += f"| {f['mode']} | {f['at_start_ms']:.3f} | {1000 * f['ms_per_token']:.2f} | {f['r2']:.2f} |\n"
    a = result["agreement"]
    return out + f"\nCameo's modes agree token by token in {a['equal_sequences']} of {a['sequences']} sequences ({a['tokens']} tokens).\n"


def chat(o, threads):
    """One question: tokens beside ONNX Runtime's, times of both in turn, llama.cpp's beside them."""
    args = ["generate", o.model, "--chat", "--prompt", o.chat, "--greedy", "--max-new-tokens", str(o.chat_tokens), "--ignore-eos", "--threads", str(threads)]
    args += ["--timing-cache", o.timing_cache] if o.timing_cache else []
    peer = OrtPast(o.with_past, threads)
    ours, theirs, llama = [], [], []
    for _ in range(o.rounds):
        run = cameo(o, *args)
        ours.append((run["timings"]["prefill_ms"], run["timings"]["token_ms"]["median"]))
        for _ in range(o.inner):
            times = []
            made = peer.run([run["prompt_token_ids"]], o.chat_tokens, times)[0]
            theirs.append((times[0], statistics.median(times[1:])))
    answer = cameo(o, *[a for a in args if a != "--ignore-eos"])
    result = {"question": o.chat, "answer": answer["text"], "prompt_tokens": len(run["prompt_token_ids"]), "new_tokens": o.chat_tokens, "same_tokens_as_onnx_runtime": sum(a == b for a, b in zip(made, run["token_ids"])),
              "cameo": {"prefill_ms": statistics.median(p for p, _ in ours), "token_ms": statistics.median(t for _, t in ours)},
              "onnx_runtime": {"prefill_ms": statistics.median(p for p, _ in theirs), "token_ms": statistics.median(t for _, t in theirs)}}
    if o.gguf:
        from llama_cpp import Llama
        model = Llama(o.gguf, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
        for _ in range(o.rounds):
            model.reset()
            start = time.perf_counter()
            model.eval(run["prompt_token_ids"])
            prefill = time.perf_counter() - start
            steps = []
            for token in run["token_ids"][:-1]:
                start = time.perf_counter()
                model.eval([token])
                steps.append((time.perf_counter() - start) * 1000)
            llama.append((prefill * 1000, statistics.median(steps)))
        result["llama_cpp_q4_1"] = {"prefill_ms": statistics.median(p for p, _ in llama), "token_ms": statistics.median(t for _, t in llama)}
    return result


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--cameo", "--model"):
        parser.add_argument(flag, required=True)
    for flag in ("--with-past", "--plain", "--gguf", "--tokenizer", "--chat", "--out", "--timing-cache"):
        parser.add_argument(flag)
    parser.add_argument("--configurations", default="1x12,8x12,16x12,8x8,8x16,8x32")
    parser.add_argument("--weights", default="", help="also measure these weights: int8,int4,fp16,bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inner", type=int, default=3, help="runs of each engine in a round")
    parser.add_argument("--fit-tokens", type=int, default=64, help="new tokens of the run that shows how steps grow")
    parser.add_argument("--chat-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    o = parser.parse_args()
    text, results = "", {}
    if o.chat:
        results["chat"] = c = chat(o, o.threads)
        text += f"“{c['question']}” → “{c['answer']}” ({c['same_tokens_as_onnx_runtime']} of {c['new_tokens']} tokens are ONNX Runtime's)\n\n| engine | {c['prompt_tokens']} prompt tokens (ms) | a token (ms) |\n|---|---:|---:|\n"
        for name, label in (("cameo", "Cameo"), ("onnx_runtime", "ONNX Runtime, with past"), ("llama_cpp_q4_1", "llama.cpp, Q4_1")):
            if name in c:
                text += f"| {label} | {c[name]['prefill_ms']:.1f} | {c[name]['token_ms']:.2f} |\n"
    else:
        peers = []
        for path, make, more in ((o.plain, HuggingFace, ()), (o.plain, OrtPlain, ()), (o.with_past, OrtPast, (o.plain,))):
            try:
                if path:
                    peers.append(make(path, o.threads, *more))
            except Exception as e:
                print(f"{make.name} is left out: {e}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            results["table"] = result = table(o, peers, o.threads, folder)
        text += markdown(result)
    print(text)
    if o.out:
        with open(o.out + ".md", "w") as f:
            f.write(text)
        with open(o.out + ".json", "w") as f:
            json.dump(results, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
