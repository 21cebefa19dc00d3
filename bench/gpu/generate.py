#!/usr/bin/env python3
"""Text generation of Cameo on a GPU beside PyTorch: the tokens, the whole loop, and the time of a step.

  generate.py --cameo build/cameo --tokenizer tokenizer.json [--model distilgpt2.onnx] [--llama DIR] [--rounds 3] [--out STEM]
              [--tables 1x12,8x12,16x12,8x8,8x16,8x32] [--steps 1,8,16,64] [--whole 1,16] [--long 512x128] [--no-compile]

--model is a GPT-2 without a cache as ONNX; PyTorch takes its weights, in float16, as Cameo does. --llama is a Llama as Hugging Face
saves it, for a long prompt and a long continuation; where DIR is not there, one of SmolLM2-135M's shape is drawn. The peers:
  Hugging Face generate   as its users call it
  compiled                the best loop over the same model that we know in PyTorch: keys and values at fixed places, the step compiled
                          with max-autotune and replayed as a CUDA graph, the token chosen on the GPU, no wait between steps
Steps are timed at about 256 tokens of context: 240 of prompt, then 32 new ones. A round runs Cameo, then each peer; the median over
rounds counts. Times are from the host to the host: prompt's ids in, all new tokens out. Results are written as they come.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "cuda"))
from on_device import gpu
from torch_decoders import Compiled, HuggingFace, Static, StaticLlama, gpt2, make_llama, weights_of

TEXT = "And the LORD spake unto Moses in the wilderness of Sinai, saying, Take ye the sum of all the congregation of the children of Israel. "


def timed(call):
    start = time.perf_counter()
    made = call()
    return (time.perf_counter() - start) * 1000, made


def cameo(o, model, configurations, modes, prompt_tokens, prompt=None, most=512):
    done = subprocess.run([o.cameo, "bench", "generate", model, "--tokenizer", o.tokenizer, "--device", "cuda", "--fp16", "--configurations", configurations, "--modes", modes,
                           "--prompt-tokens", str(prompt_tokens), *(["--prompt", prompt] if prompt else []), "--rounds", "9", "--fit-tokens", "3", "--max-length", str(most), "--json"],
                          capture_output=True, text=True)
    if done.returncode > 1 or not done.stdout:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def same(a, b):
    return [sum(x == y for x, y in zip(a, b)), len(b)]


def compiled_step(o, model):
    torch._dynamo.config.recompile_limit = 64
    return model if o.no_compile else torch.compile(model, mode="max-autotune-no-cudagraphs", dynamic=False)


def measure_loop(o, result, kind, plan, peer, batch, prompt, new, text):
    """Rounds of a loop by Cameo and by `peer`, for `result`."""
    most, unit = peer.model.capacity, "us" if kind == "steps" else "ms"
    ours, theirs = [], []
    for _ in range(o.rounds):
        row = cameo(o, plan, f"{batch}x{new}", "cached", prompt, text, max(512, most))["table"][0]
        ids = row["prompt_token_ids"]
        made = peer.run(ids, new)
        ours.append(row["cached_step_ms"] * 1000 if kind == "steps" else row["cached_ms"])
        for _ in range(9 if kind != "long" else 3):
            theirs.append(peer.step_us(ids, new - 1) if kind == "steps" else timed(lambda: peer.run(ids, new))[0])
    first = lambda rows: [r[0] for r in rows]
    result[kind].append({"batch": batch, "prompt": prompt, "new_tokens": new, "cameo_" + unit: statistics.median(ours), "pytorch_" + unit: statistics.median(theirs),
                         "same_sequences": same(made, row["token_ids"]), "same_first_tokens": same(first(made), first(row["token_ids"]))})
    return ids


def build(o, model, plan):
    subprocess.run([o.cameo, "build", model, "-o", plan, "--kv-cache=on", "--device", "cuda", "--fp16"], check=True, capture_output=True)
    return plan


def measure_gpt2(o, result):
    weights, plan = weights_of(o.model), build(o, o.model, o.model + ".plan")
    result["model"] = o.model.split("/")[-1]
    hugging_face, tables = HuggingFace(gpt2(weights)), []
    for r in range(o.rounds if o.tables else 0):
        run = cameo(o, o.model, o.tables, "recompute,o1,cached", 4)
        for row in run["table"]:
            ids, new = row["prompt_token_ids"], row["new_tokens"]
            if r == 0:
                hugging_face.run(ids, new)
            row["hugging_face_ms"], made = timed(lambda: hugging_face.run(ids, new))
            row["same_sequences"] = same(made, row["token_ids"])
        tables.append(run)
        result["rounds"], result["agreement"] = len(tables), run["agreement"]
        result["tables"] = [{"batch": row["batch"], "new_tokens": row["new_tokens"], "same_sequences": row["same_sequences"],
                             **{k: statistics.median(run["table"][i][k] for run in tables) for k in row if k.endswith("_ms")}} for i, row in enumerate(run["table"])]
        write(o, result)
    # A loop over new tokens takes 4 prompt tokens, steps are timed behind 240.
    kinds = sorted([("steps", b, 240, 32) for b in o.steps] + [("whole", b, 4, 12) for b in o.whole], key=lambda k: k[1])
    model, started = Static(weights, 288), time.time()
    step = compiled_step(o, model)
    for kind, batch, prompt, new in kinds:
        begun = time.time()
        if begun - started > o.compile_seconds:
            print("no time to compile", kind, batch, flush=True)
            continue
        peer = Compiled(model, step, batch, prompt)
        result["compile_s"][f"{kind} {batch}"] = time.time() - begun
        measure_loop(o, result, kind, plan, peer, batch, prompt, new, TEXT * 12 if kind == "steps" else None)
        write(o, result)


def measure_llama(o, result):
    import transformers
    if not pathlib.Path(o.llama, "config.json").exists():
        make_llama(o.llama)
    prompt, new = o.long
    plan, model = build(o, o.llama, o.llama.rstrip("/") + ".plan"), transformers.LlamaForCausalLM.from_pretrained(o.llama).eval()
    static, begun = StaticLlama(model, prompt + new), time.time()
    peer = Compiled(static, compiled_step(o, static), 1, prompt)
    result["compile_s"]["long 1"] = time.time() - begun
    ids = measure_loop(o, result, "long", plan, peer, 1, prompt, new, TEXT * (prompt // 20 + 1))
    write(o, result)
    hugging_face = HuggingFace(model)
    hugging_face.run(ids, new)
    result["long"][-1]["hugging_face_ms"] = statistics.median(timed(lambda: hugging_face.run(ids, new))[0] for _ in range(3))
    write(o, result)


def write(o, result):
    if o.out:
        with open(o.out + ".json", "w") as f:
            json.dump(result, f, indent=1)
        with open(o.out + ".md", "w") as f:
            f.write(markdown(result))


def markdown(r):
    how = "compiled with max-autotune, replayed as a CUDA graph" if r["compiled"] else "eager, replayed as a CUDA graph"
    out = (r["model"] + ", float16," if r["model"] else "Float16") + f" on one {r['gpu']}, PyTorch {r['torch']}; medians of {r['rounds']} rounds, from host to host.\n\n"
    if r["steps"]:
        out += f"A step at 256 tokens of context, microseconds; PyTorch with keys and values at fixed places, {how}:\n\n| batch | PyTorch | Cameo | PyTorch / Cameo |\n|---:|---:|---:|---:|\n"
        for s in r["steps"]:
            out += f"| {s['batch']} | {s['pytorch_us']:.0f} | {s['cameo_us']:.0f} | {s['pytorch_us'] / s['cameo_us']:.2f}x |\n"
    if r["whole"]:
        out += "\n4 tokens in, 12 new ones out, milliseconds:\n\n| batch | PyTorch | Cameo | PyTorch / Cameo |\n|---:|---:|---:|---:|\n"
        for s in r["whole"]:
            out += f"| {s['batch']} | {s['pytorch_ms']:.2f} | {s['cameo_ms']:.2f} | {s['pytorch_ms'] / s['cameo_ms']:.2f}x |\n"
    for s in r["long"]:
        out += (f"\nA Llama of SmolLM2-135M's shape, {s['prompt']} tokens in, {s['new_tokens']} new ones out, batch {s['batch']}, milliseconds: PyTorch {s['pytorch_ms']:.1f}, "
                f"Cameo {s['cameo_ms']:.1f}, {s['pytorch_ms'] / s['cameo_ms']:.2f}x" + (f"; Hugging Face generate {s['hugging_face_ms']:.0f}" if "hugging_face_ms" in s else "") + ".\n")
    if not r["tables"]:
        return out
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
    parser.add_argument("--model")
    parser.add_argument("--llama", metavar="DIR")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", default="1x12,8x12,16x12,8x8,8x16,8x32")
    parser.add_argument("--steps", type=numbers, default=[1, 8, 16, 64])
    parser.add_argument("--whole", type=numbers, default=[1, 16])
    parser.add_argument("--long", type=lambda text: [int(x) for x in text.split("x")], default=[512, 128])
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--compile-seconds", type=float, default=3600, help="batches whose step would begin to compile later are left out")
    parser.add_argument("--out", help="files STEM.md and STEM.json, written anew after each step")
    o = parser.parse_args()
    if gpu(o.cameo) is None:
        return 0
    result = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "model": "", "compiled": not o.no_compile, "rounds": o.rounds, "compile_s": {}, "tables": [], "steps": [], "whole": [], "long": []}
    if o.model:
        measure_gpt2(o, result)
    if o.llama:
        measure_llama(o, result)
    print(markdown(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
