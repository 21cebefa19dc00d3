#!/usr/bin/env python3
"""Cameo beside PyTorch on one GPU, from host memory to host memory, interleaved in one process.

  compare.py --cameo build/cameo --library build/src/libcameo.so --work DIR --out bench/results [--rows TEXT] [--modes …]

A row is a network, a precision and a shape. Both engines get the same inputs in page-locked memory (float32 images, int64 tokens)
and leave their answer in page-locked memory; copies are in the time. PyTorch runs eagerly and compiled with CUDA graphs
(--modes reduce-overhead,max-autotune; max-autotune-gemm: what is tuned are products alone, which takes a fraction of max-autotune's
minutes; none: eagerly alone; alone: Cameo without PyTorch), every one beside the others; batch norms are
folded, convolutions have the channels last, answers of both leave in the network's precision. Each row has a process of its own. Several (--jobs) make themselves ready at once,
with the GPU to themselves while kernels are chosen; then one after the other measures, while the others rest. A round runs each
engine for a moment, in an order that turns; what counts is the median over rounds of the median in each. Cameo's answers must agree
with float32 ones of ONNX Runtime on the CPU (for 16 bits 2e-2 of the largest value and a cosine of 0.9999; or no farther away than ONNX
Runtime gets when it rounds each value to float16, which the signal of efficientnet_b0 leaves under the drawn weights), and PyTorch's too
where it has the graph's weights. Writes gpu.json after each row, into which rows of earlier runs are kept, and gpu.md. Needs torch,
torchvision, transformers, numpy, onnx, onnxruntime.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
import onnx

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "models"), str(ROOT / "tests" / "cuda"), str(ROOT / "bench" / "cpu"), str(HERE)]
from on_device import call, gpu  # noqa: E402
import fill_weights  # noqa: E402
import workloads  # noqa: E402

MODES = ["reduce-overhead", "max-autotune-gemm", "max-autotune", "none", "alone"]
# Milliseconds.
GOALS = {
    "mpnet-base fp16 1x16": 0.14, "mpnet-base fp16 1x128": 0.26, "mpnet-base fp16 32x128": 1.8, "mpnet-base fp16 32x512": 6.4,
    "resnet50 fp16 b1": 0.28, "resnet50 fp16 b8": 0.42, "resnet50 fp16 b16": 0.58, "resnet50 fp16 b32": 1.0, "resnet50 fp16 b128": 3.4,
    "resnet50 fp32 b32": 9.0, "resnet50 tf32 b32": 2.5,
}
# Networks whose second extent is a length of 128 tokens; those that have images.
TEXT = ["bert-base", "bert-base-sdpa-dynamo", "distilbert", "distilgpt2", "distilgpt2-dynamo", "minilm-l6-sdpa", "mpnet-base-dynamo", "roberta-base",
        "t5-small-encoder"]
IMAGES = ["convnext_tiny", "deeplabv3_mbv3", "densenet121", "efficientnet_b0", "inception_v3", "mobilenet_v3_large", "regnet_y_400mf", "resnet50-dynamo", "shufflenet_v2",
          "squeezenet1_1", "swin_t", "vit_small_timm-dynamo", "whisper-tiny-encoder"]


# Decoders, whose row is one token after PAST; networks that take one image alone, or words of their own.
DECODERS = ["distilgpt2-with-past", "qwen2-4l-with-past", "smollm2-135m-with-past"]
PAST = 128
SINGLE = ["ssdlite320"]
WORDS = ["lstm-gru"]


class Row:
    def __init__(self, model, precision, batch, length=0, side=224):
        self.model, self.precision, self.batch, self.length, self.side = model, precision, batch, length, side
        self.name = f"{model} {precision} " + (f"{batch}x{length}" if length else f"b{batch}")

    def feeds(self, infos):
        if self.model in DECODERS:
            make = workloads.decode(self.batch, PAST)
        elif self.model in SINGLE:
            make = workloads.as_tested(self.model)
        elif self.model in WORDS:
            return {n: np.random.default_rng(7).integers(1, 1000, (self.batch, self.length), np.int64) for n in infos}
        else:
            make = workloads.text(self.batch, self.length) if self.length else workloads.images(self.batch, self.side)
        return make(infos)

    def first_rows(self, feeds, count):
        """The same for fewer rows."""
        return feeds if self.model in SINGLE else {n: v[:count] for n, v in feeds.items()}


def rows():
    """The most wanted first."""
    found = [Row("mpnet-base", "fp16", b, s) for b, s in ((1, 16), (1, 128), (32, 128), (32, 512))]
    found += [Row("resnet50", "fp16", b) for b in (1, 8, 16, 32, 128)]
    found += [Row("resnet50", p, 32) for p in ("tf32", "fp32")]
    for batch in (1, 32):
        found += [Row(name, "fp16", batch, 128) for name in TEXT + WORDS] + [Row(name, "fp16", batch) for name in IMAGES + DECODERS]
    return found + [Row(name, "fp16", 1) for name in SINGLE]


def infos_of(path):
    """Inputs of an ONNX file: name -> (extents, None where one is open; nothing)."""
    graph = onnx.load(path, load_external_data=False).graph
    return {i.name: ([d.dim_value if d.HasField("dim_value") else None for d in i.type.tensor_type.shape.dim], None) for i in graph.input}


def fits(row, work):
    infos = infos_of(work / row.model / f"{row.model}.onnx")
    return row.model in SINGLE or all(shape[0] in (None, row.batch) and (not row.length or shape[1] in (None, row.length)) for shape, _ in infos.values())


def make_models(batch, args):
    """The graphs with weights and the plans of some rows."""

    def fill(name):
        if not (args.work / name / f"{name}.onnx").exists():
            call(sys.executable, ROOT / "tests" / "models" / "fill_weights.py", name, args.work / name)

    def build(model, precision):
        plan = args.work / model / f"{precision}.plan"
        if not plan.exists():
            # As PyTorch's, answers have the network's precision.
            flags = {"fp32": [], "tf32": ["--tf32"], "fp16": ["--fp16", "--output-types", "fp16"]}[precision]
            call(args.cameo, "build", args.work / model / f"{model}.onnx", "-o", plan, "--device", "cuda", *flags)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(fill, {r.model for r in batch}))
        list(pool.map(lambda pair: build(*pair), {(r.model, r.precision) for r in batch}))


class Child:
    """A process of compare_row.py; lines of its output come through `heard` as (child, line), None at its end."""

    def __init__(self, row, job, args, heard):
        self.row, self.result, self.ready, self.ended = row, None, False, False
        self.log = args.work / "logs" / (row.name.replace(" ", "_") + ".log")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(max(1, (os.cpu_count() or 1) // args.jobs))
        # Compilers take turns on the processors: rows are not done at once.
        env = dict(os.environ, TORCHINDUCTOR_COMPILE_THREADS=str(max(4, int(threads))), OMP_NUM_THREADS=threads)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([sys.executable, str(HERE / "compare_row.py"), json.dumps({**job, "row": row.name, "threads": int(threads)})],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        threading.Thread(target=self.listen, args=(heard,), daemon=True).start()

    def listen(self, heard):
        for line in self.process.stdout:
            heard.put((self, line.rstrip("\n")))
        heard.put((self, None))

    def take(self, line):
        if line is None:
            self.ended = True
        elif line == "READY":
            self.ready = True
        elif line.startswith("RESULT "):
            self.result = json.loads(line[7:])
        elif line.startswith("NOTE "):
            print(f"{self.row.name}: {line[5:]}", flush=True)

    def go(self):
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except OSError:
            pass

    def end(self):
        self.process.kill()
        self.process.wait()


def run_batch(batch, job, args):
    """Results of some rows, each as soon as it is there."""
    heard = queue.Queue()
    children = [Child(row, job, args, heard) for row in batch]

    def hear(until, end):
        while not until() and (left := end - time.monotonic()) > 0:
            try:
                child, line = heard.get(timeout=left)
            except queue.Empty:
                return
            child.take(line)

    try:
        hear(lambda: all(c.ready or c.ended for c in children), time.monotonic() + args.compile_seconds + args.ready_seconds)
        for child in children:
            if not child.ready and not child.ended:
                print(f"{child.row.name}: not ready", flush=True)
                child.end()
        for child in children:
            if child.ready:
                child.go()
                hear(lambda: child.result is not None or child.ended, time.monotonic() + 60)
            if child.result is None:
                print(f"{child.row.name}: no result; {child.log} says: {' '.join(child.log.read_text(errors='replace').split())[-300:]}", flush=True)
            else:
                yield child.row, child.result
    finally:
        for child in children:
            child.end()


def share_of_limit(result, rates):
    """The least time: copies, and the larger of arithmetic and reading the weights."""
    result["copies_ms"] = result["copied_bytes"] / rates["host_gb_s"] * 1e-6
    if "gflop" in result and " fp16 " in result["name"]:
        limit = max(result["gflop"] / rates["fp16_tflops"], result["weight_bytes"] / rates["copy_tb_s"] * 1e-9) + result["copies_ms"]
        result["limit_ms"], result["share"] = limit, limit / result["cameo_ms"]


def peers(result):
    return [m for m in ("eager", *MODES) if f"{m}_ms" in result]


def table(results):
    def number(v, digits=3):
        return "–" if v is None else f"{v:.{digits}g}"

    lines = ["# Cameo beside PyTorch on a GPU", "", "Written by `bench/gpu/compare.py`, which says how. Milliseconds from host memory to host memory, median.", ""]
    for key, rates in sorted(results["machines"].items()):
        lines.append(f"{key}: {rates['fp16_tflops']:.0f} TFLOP/s in a product of fp16, {rates['copy_tb_s']:.2f} TB/s in a copy, {rates['host_gb_s']:.0f} GB/s from the host.")
    if any(r.get("library_convolutions") and "max-autotune_ms" in r for r in results["rows"].values()):
        lines += ["", "Where max-autotune has a \\*, it chose among kernels for products, and cuDNN's convolutions."]
    lines += ["", "| work | Cameo | torch eager | reduce-overhead | products tuned | max-autotune | × the fastest | goal | limit | share of it | error | GPU, date |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in results["rows"].values():
        goal = "–" if not r.get("goal_ms") else f"{r['goal_ms']} {'✓' if r['cameo_ms'] <= r['goal_ms'] else '✗'}"
        share = f"{r['share']:.0%}" if "share" in r else "–"
        error = f"{r['error']:.1e}{'' if r['agrees'] else ' ✗'}" if "error" in r else "–"
        if "rounding_error" in r:
            error += f" (rounding alone: {r['rounding_error']:.1e})"
        star = "\\*" if r.get("library_convolutions") and "max-autotune_ms" in r else ""
        lines.append(f"| {r['name']} | {number(r['cameo_ms'])} | {number(r.get('eager_ms'))} | {number(r.get('reduce-overhead_ms'))} | "
                     f"{number(r.get('max-autotune-gemm_ms'))} | {number(r.get('max-autotune_ms'))}{star} | "
                     f"{number(r.get('ratio'))} | {goal} | {number(r.get('limit_ms'))} | {share} | {error} | {r['machine']}, {r['date']} |")
    for batch, what in (((" b1", " 1x128"), "batch 1"), ((" b32", " 32x128"), "batch 32")):
        ratios = {r["name"]: r["ratio"] for r in results["rows"].values() if len(peers(r)) > 1 and " fp16" in r["name"] and r["name"].endswith(batch)}
        if len(ratios) > 2:
            mean = math.exp(statistics.mean(map(math.log, ratios.values())))
            worst = min(ratios, key=ratios.get)
            lines += ["", f"Geometric mean over the {len(ratios)} networks with a compiled peer, fp16, {what}: {mean:.2f} × the fastest of their peers; "
                          f"least {ratios[worst]:.2f}, {worst}."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--rows", action="append", help="only rows with this text in their names; =TEXT: the row of that name; repeatable")
    parser.add_argument("--new", action="store_true", help="only rows that gpu.json does not have with all of --modes")
    parser.add_argument("--modes", default="reduce-overhead,max-autotune", help="of torch.compile, the quickest to compile first; or none, or alone")
    parser.add_argument("--library-convolutions", action="store_true", help="max-autotune tries no convolutions but the library's")
    parser.add_argument("--jobs", type=int, default=4, help="rows that are made ready at once")
    parser.add_argument("--compile-seconds", type=int, default=240, help="a row is measured with the modes that are compiled by then")
    parser.add_argument("--ready-seconds", type=int, default=60, help="for the rest of what makes a row ready")
    parser.add_argument("--seconds", type=float, default=1e9, help="no rows are begun after so many")
    parser.add_argument("--no-check", action="store_true")
    args = parser.parse_args()
    modes = args.modes.split(",")
    if set(modes) - set(MODES):
        parser.error(f"--modes takes some of {', '.join(MODES)}; it was given {args.modes}")
    begin = time.monotonic()
    args.cameo, args.library, args.work = pathlib.Path(args.cameo).resolve(), pathlib.Path(args.library).resolve(), args.work.resolve()
    if gpu(args.cameo) is None:
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.out / "gpu.json"
    results = json.loads(kept.read_text()) if kept.exists() else {"machines": {}, "rows": {}}
    rates = json.loads(call(sys.executable, HERE / "compare_row.py", "{}").splitlines()[-1].removeprefix("RESULT "))
    results["machines"][rates["device"]] = rates
    wanted = [r for r in rows() if not args.rows or any(r.name == t[1:] if t.startswith("=") else t in r.name for t in args.rows)]
    if args.new:
        wanted = [r for r in wanted if not {f"{m}_ms" for m in modes} <= results["rows"].get(r.name, {}).keys()]
    job = {"library": str(args.library), "work": str(args.work), "modes": modes, "check": not args.no_check, "lock": str(args.work / "gpu.lock"),
           "library_convolutions": args.library_convolutions, "compile_seconds": args.compile_seconds}
    for at in range(0, len(wanted), args.jobs):
        batch = wanted[at:at + args.jobs]
        if time.monotonic() - begin > args.seconds:
            print("no time left for", ", ".join(r.name for r in wanted[at:]))
            break
        try:
            make_models(batch, args)
        except ValueError as problem:
            print(f"models: {problem}", flush=True)
        there = [r for r in batch if (args.work / r.model / f"{r.precision}.plan").exists() and fits(r, args.work)]
        for row, result in run_batch(there, job, args):
            share_of_limit(result, rates)
            result.update(goal_ms=GOALS.get(row.name), date=time.strftime("%Y-%m-%d"), machine=rates["device"], library_convolutions=args.library_convolutions)
            print(f"{time.monotonic() - begin:.0f} s", json.dumps(result), flush=True)
            if len(peers(result)) < len(peers(results["rows"].get(row.name, {}))):
                print(f"{row.name}: the row of an earlier run stays, which has more peers", flush=True)
                continue
            results["rows"][row.name] = result
            kept.write_text(json.dumps(results, indent=1))
            (args.out / "gpu.md").write_text(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
