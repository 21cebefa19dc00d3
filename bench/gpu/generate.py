#!/usr/bin/env python3
"""Text generation of Cameo on a GPU beside PyTorch: the tokens, the whole loop, and the time of a step.

  generate.py --cameo build/cameo --model distilgpt2.onnx --tokenizer tokenizer.json [--rounds 3] [--out STEM]
              [--tables 1x12,8x12,16x12,8x8,8x16,8x32] [--steps 1,8,16,64] [--whole 1,16] [--no-compile]

The model is a GPT-2 without a cache as ONNX; PyTorch takes its weights, in float16, as Cameo does. The peers:
  Hugging Face generate   as its users call it
  compiled                the best loop over the same model that we know in PyTorch: keys and values at fixed places, the step compiled
                          with max-autotune and replayed as a CUDA graph, the token chosen on the GPU, no wait between steps
Steps are timed at about 256 tokens of context: 240 of prompt, then 32 new ones. A round runs Cameo, then each peer; the median over
rounds counts. Times are from the host to the host: prompt's ids in, all new tokens out.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

TEXT = "And the LORD spake unto Moses in the wilderness of Sinai, saying, Take ye the sum of all the congregation of the children of Israel. "


def weights_of(path):
    """GPT-2's weights by Hugging Face's names, from an exported graph."""
    import onnx
    from onnx import numpy_helper
    graph = onnx.load(path).graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    renamed = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in held}
    weights = {}
    for name in list(held) + list(renamed):
        at = name.find("transformer.")
        if at >= 0:
            weights[name[at:]] = held.get(name, held.get(renamed.get(name)))
    head = next(n for n in reversed(graph.node) if n.op_type == "MatMul" and n.input[1] in held)
    weights["lm_head.weight"] = held[head.input[1]].T
    return {k: torch.tensor(np.array(v)) for k, v in weights.items()}


class HuggingFace:
    def __init__(self, weights):
        from transformers import GPT2Config, GPT2LMHeadModel
        layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("transformer.h."))
        vocabulary, hidden = weights["transformer.wte.weight"].shape
        config = GPT2Config(vocab_size=vocabulary, n_positions=weights["transformer.wpe.weight"].shape[0], n_embd=hidden, n_layer=layers, n_head=hidden // 64,
                            bos_token_id=0, eos_token_id=None, pad_token_id=0, tie_word_embeddings=False)
        self.model = GPT2LMHeadModel(config).eval()
        missing, _ = self.model.load_state_dict(weights, strict=False)
        if [m for m in missing if not m.endswith((".attn.bias", ".attn.masked_bias"))]:
            raise RuntimeError(f"no weights for {missing[:3]}")
        self.model = self.model.half().cuda()

    def run(self, rows, count):
        ids = torch.tensor(rows, device="cuda")
        with torch.inference_mode():
            out = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False, use_cache=True)
        return out[:, ids.shape[1]:].tolist()


class Static(torch.nn.Module):
    """GPT-2 over a cache of fixed size."""

    def __init__(self, weights, capacity):
        super().__init__()
        self.w = {k: v.half().cuda() for k, v in weights.items()}
        self.layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("transformer.h."))
        self.hidden = weights["transformer.wte.weight"].shape[1]
        self.heads = self.hidden // 64
        self.capacity = capacity

    def caches(self, batch):
        return [torch.zeros(batch, self.heads, self.capacity, 64, dtype=torch.float16, device="cuda") for _ in range(2 * self.layers)]

    def forward(self, ids, positions, caches):
        """ids [batch, n] at `positions` [n]; the likeliest next token of each row."""
        w, f = self.w, torch.nn.functional
        batch, n = ids.shape
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][positions]
        mask = torch.arange(self.capacity, device=ids.device)[None, :] <= positions[:, None]
        norm = lambda x, at: f.layer_norm(x, (self.hidden,), w[at + ".weight"], w[at + ".bias"])
        linear = lambda x, at: torch.addmm(w[at + ".bias"], x.reshape(-1, x.shape[-1]), w[at + ".weight"]).view(batch, n, -1)
        for i in range(self.layers):
            at = f"transformer.h.{i}."
            q, k, v = linear(norm(x, at + "ln_1"), at + "attn.c_attn").view(batch, n, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
            keys, values = caches[2 * i], caches[2 * i + 1]
            keys.index_copy_(2, positions, k)
            values.index_copy_(2, positions, v)
            y = f.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
            x = x + linear(y.transpose(1, 2).reshape(batch, n, -1), at + "attn.c_proj")
            x = x + linear(f.gelu(linear(norm(x, at + "ln_2"), at + "mlp.c_fc"), approximate="tanh"), at + "mlp.c_proj")
        return (norm(x[:, -1], "transformer.ln_f") @ w["lm_head.weight"].T).argmax(-1)


class Compiled:
    """Static, each step one replay of a CUDA graph."""

    def __init__(self, model, step, batch, prompt):
        self.model, self.compiled = model, step
        self.caches = model.caches(batch)
        self.ids = torch.zeros(batch, prompt, dtype=torch.long, device="cuda")
        self.token = torch.zeros(batch, 1, dtype=torch.long, device="cuda")
        self.position = torch.zeros(1, dtype=torch.long, device="cuda")
        self.made = torch.zeros(model.capacity, batch, dtype=torch.long, device="cuda")
        self.all = torch.arange(prompt, device="cuda")
        self.prompt = prompt
        with torch.inference_mode():
            self.fill = self.graph(self.first)
            self.step = self.graph(self.next)

    def first(self):
        self.token.copy_(self.model(self.ids, self.all, self.caches)[:, None])  # not compiled, but a graph too
        self.position.fill_(self.prompt)
        self.made.index_copy_(0, self.position, self.token.T)

    def next(self):
        self.token.copy_(self.compiled(self.token, self.position, self.caches)[:, None])
        self.position.add_(1)
        self.made.index_copy_(0, self.position, self.token.T)

    def graph(self, call):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.position.fill_(self.prompt)
                call()
        torch.cuda.current_stream().wait_stream(stream)
        self.position.fill_(self.prompt)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph

    def run(self, rows, count):
        self.ids.copy_(torch.tensor(rows))
        self.fill.replay()
        for _ in range(count - 1):
            self.step.replay()
        return self.made[self.prompt:self.prompt + count].T.tolist()

    def step_us(self, rows, count):
        self.run(rows, 1)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            self.step.replay()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / count * 1e6


def timed(call):
    start = time.perf_counter()
    made = call()
    return (time.perf_counter() - start) * 1000, made


def cameo(o, model, configurations, modes, prompt_tokens, prompt=None):
    done = subprocess.run([o.cameo, "bench", "generate", model, "--tokenizer", o.tokenizer, "--device", "cuda", "--fp16", "--configurations", configurations, "--modes", modes,
                           "--prompt-tokens", str(prompt_tokens), *(["--prompt", prompt] if prompt else []), "--rounds", "9", "--fit-tokens", "3", "--max-length", "512", "--json"],
                          capture_output=True, text=True)
    if done.returncode > 1 or not done.stdout:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def same(a, b):
    return [sum(x == y for x, y in zip(a, b)), len(b)]


def measure(o):
    torch._dynamo.config.recompile_limit = 64
    weights = weights_of(o.model)
    result = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "model": o.model.split("/")[-1], "compiled": not o.no_compile, "rounds": o.rounds, "compile_s": {}, "tables": [], "steps": [], "whole": []}
    plan = o.model + ".plan"
    subprocess.run([o.cameo, "build", o.model, "-o", plan, "--kv-cache=on", "--device", "cuda", "--fp16"], check=True, capture_output=True)
    hugging_face = HuggingFace(weights)
    # A loop over new tokens takes 4 prompt tokens, steps are timed behind 240.
    kinds = sorted([("steps", b, 240, 32) for b in o.steps] + [("whole", b, 4, 12) for b in o.whole], key=lambda k: k[1])
    model = Static(weights, 288)
    step = model if o.no_compile else torch.compile(model, mode="max-autotune-no-cudagraphs", dynamic=False)
    peers, started = {}, time.time()
    for kind, batch, prompt, _ in kinds:
        begun = time.time()
        if begun - started > o.compile_seconds:
            continue
        peers[kind, batch] = Compiled(model, step, batch, prompt)
        result["compile_s"][f"{kind} {batch}"] = time.time() - begun
        print(kind, batch, "ready after", round(time.time() - begun, 1), "s", flush=True)
    kinds = [k for k in kinds if k[:2] in peers]
    times, rows, tables = {}, {}, []
    for r in range(o.rounds):
        for kind, prompt, text in (("steps", 240, TEXT * 12), ("whole", 4, None)):
            mine = [k for k in kinds if k[0] == kind]
            if not mine:
                continue
            run = cameo(o, plan, ",".join(f"{b}x{n}" for _, b, _, n in mine), "cached", prompt, text)["table"]
            for (_, batch, _, new), row in zip(mine, run):
                peer, key = peers[kind, batch], (kind, batch)
                ours, theirs = times.setdefault(key, ([], []))
                made = peer.run(row["prompt_token_ids"], new)
                ours.append(row["cached_step_ms"] * 1000 if kind == "steps" else row["cached_ms"])
                for _ in range(9):
                    theirs.append(peer.step_us(row["prompt_token_ids"], new - 1) if kind == "steps" else timed(lambda: peer.run(row["prompt_token_ids"], new))[0])
                rows[key] = {"batch": batch, "same_sequences": same(made, row["token_ids"]), "same_first_tokens": same([m[0] for m in made], [m[0] for m in row["token_ids"]])}
        run = cameo(o, o.model, o.tables, "recompute,o1,cached", 4)
        for row in run["table"]:
            ids, new = row["prompt_token_ids"], row["new_tokens"]
            if r == 0:
                hugging_face.run(ids, new)
            row["hugging_face_ms"], made = timed(lambda: hugging_face.run(ids, new))
            row["same_sequences"] = same(made, row["token_ids"])
        tables.append(run)
        finish(o, {**result, "steps": [], "whole": []}, rows, times, tables)
    return


def finish(o, result, rows, times, tables):
    result["rounds"] = len(tables)
    for key, row in rows.items():
        unit = "_us" if key[0] == "steps" else "_ms"
        ours, theirs = (statistics.median(t) for t in times[key])
        result[key[0]].append({**row, "cameo" + unit: ours, "pytorch" + unit: theirs})
    result["tables"] = []
    for i, row in enumerate(tables[0]["table"]):
        result["tables"].append({"batch": row["batch"], "new_tokens": row["new_tokens"], "same_sequences": row["same_sequences"],
                                 **{k: statistics.median(run["table"][i][k] for run in tables) for k in row if k.endswith("_ms")}})
    result["agreement"] = tables[0]["agreement"]
    print(markdown(result), flush=True)
    if o.out:
        with open(o.out + ".json", "w") as f:
            json.dump(result, f, indent=1)
        with open(o.out + ".md", "w") as f:
            f.write(markdown(result))


def markdown(r):
    how = "compiled with max-autotune, replayed as a CUDA graph" if r["compiled"] else "eager, replayed as a CUDA graph"
    out = f"{r['model']}, float16, on one {r['gpu']}, PyTorch {r['torch']}; medians of {r['rounds']} rounds, from host to host.\n\n"
    if r["steps"]:
        out += f"A step at 256 tokens of context, microseconds; PyTorch with keys and values at fixed places, {how}:\n\n| batch | PyTorch | Cameo | PyTorch / Cameo |\n|---:|---:|---:|---:|\n"
        for s in r["steps"]:
            out += f"| {s['batch']} | {s['pytorch_us']:.0f} | {s['cameo_us']:.0f} | {s['pytorch_us'] / s['cameo_us']:.2f}x |\n"
    if r["whole"]:
        out += "\n4 tokens in, 12 new ones out, milliseconds:\n\n| batch | PyTorch | Cameo | PyTorch / Cameo |\n|---:|---:|---:|---:|\n"
        for s in r["whole"]:
            out += f"| {s['batch']} | {s['pytorch_ms']:.2f} | {s['cameo_ms']:.2f} | {s['pytorch_ms'] / s['cameo_ms']:.2f}x |\n"
    out += "\nThe ways to continue a text, prompts of 4 tokens, milliseconds for the whole loop:\n\n| batch | new tokens | Hugging Face generate | Cameo, no cache | its compute | E2E / compute | Cameo O1 | O1 drop | Cameo, with cache | Hugging Face / Cameo |\n|" + "---:|" * 10 + "\n"
    for t in r["tables"]:
        hf = t["hugging_face_ms"]
        out += (f"| {t['batch']} | {t['new_tokens']} | {hf:.1f} | {t['recompute_ms']:.2f} | {t['recompute_compute_ms']:.2f} | {t['recompute_ms'] / t['recompute_compute_ms']:.2f}x | {t['o1_ms']:.2f} | "
                f"{100 * (1 - t['o1_ms'] / t['recompute_ms']):.1f} % | {t['cached_ms']:.2f} | {hf / t['cached_ms']:.1f}x |\n")
    a = r["agreement"]
    return out + f"\nCameo's modes agree token by token in {a['equal_sequences']} of {a['sequences']} sequences ({a['tokens']} tokens; float16, drawn weights).\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(x) for x in text.split(",") if x]
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", default="1x12,8x12,16x12,8x8,8x16,8x32")
    parser.add_argument("--steps", type=numbers, default=[1, 8, 16, 64])
    parser.add_argument("--whole", type=numbers, default=[1, 16])
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--compile-seconds", type=float, default=3600, help="batches whose step would begin to compile later are left out")
    parser.add_argument("--out", help="files STEM.md and STEM.json, written anew after each round")
    o = parser.parse_args()
    measure(o)


if __name__ == "__main__":
    main()
