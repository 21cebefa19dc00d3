#!/usr/bin/env python3
"""Cameo beside PyTorch on one GPU, from host memory to host memory, interleaved in one process.

  compare.py --cameo build/cameo --library build/src/libcameo.so --work DIR --out bench/results [--rows TEXT] [--mode …]

A row is a network, a precision and a shape. Both engines get the same inputs in page-locked memory (float32 images, int64 tokens)
and leave their answer in page-locked memory; copies are in the time. PyTorch runs eagerly and compiled with CUDA graphs
(--mode max-autotune, reduce-overhead or none); batch norms are folded, convolutions have the channels last, answers leave in the
network's precision. A round runs each engine for a moment, in an order that turns; what counts is the median over rounds of the
median in each. Cameo's answers must agree with float32 ones of ONNX Runtime on the CPU (for 16 bits 2e-2 of the largest value and
a cosine of 0.9999), and PyTorch's too where it has the graph's weights. Writes gpu.json, into which rows of earlier runs are
kept, and gpu.md. Needs torch, torchvision, transformers, numpy, onnx, onnxruntime.
"""
import argparse
import ctypes
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "models"), str(ROOT / "bench" / "cpu"), str(pathlib.Path(__file__).parent)]
import cameo_api  # noqa: E402
import fill_weights  # noqa: E402
import torch_models  # noqa: E402
import workloads  # noqa: E402

ROUNDS, ROUND_SECONDS = 5, 0.12
LIMITS = {"fp32": (1e-3, 0.99999), "tf32": (1e-2, 0.9999), "fp16": (2e-2, 0.9999)}
# Milliseconds: what is wanted, and the share of a row's name that picks it.
GOALS = {
    "mpnet-base fp16 1x16": 0.14, "mpnet-base fp16 1x128": 0.26, "mpnet-base fp16 32x128": 1.8, "mpnet-base fp16 32x512": 6.4,
    "resnet50 fp16 b1": 0.28, "resnet50 fp16 b8": 0.42, "resnet50 fp16 b16": 0.58, "resnet50 fp16 b32": 1.0, "resnet50 fp16 b128": 3.4,
    "resnet50 fp32 b32": 9.0, "resnet50 tf32 b32": 2.5,
}


class Row:
    def __init__(self, model, precision, batch, length=0, side=224):
        self.model, self.precision, self.batch, self.length, self.side = model, precision, batch, length, side
        self.name = f"{model} {precision} " + (f"{batch}x{length}" if length else f"b{batch}")

    def feeds(self, infos):
        make = workloads.text(self.batch, self.length) if self.length else workloads.images(self.batch, self.side)
        return make(infos)


def rows():
    found = [Row("mpnet-base", "fp16", b, s) for b, s in ((1, 16), (1, 128), (32, 128), (32, 512))]
    found += [Row("resnet50", "fp16", b) for b in (1, 8, 16, 32, 128)]
    found += [Row("resnet50", p, 32) for p in ("fp32", "tf32")]
    for name in fill_weights.names():
        if name in ("mpnet-base", "resnet50"):
            continue
        for batch in (1, 32):
            if name in torch_models.TEXT:
                found.append(Row(name, "fp16", batch, 128))
            elif name in torch_models.VISION or name in ("vit_small_timm-dynamo", "whisper-tiny-encoder"):
                found.append(Row(name, "fp16", batch))
    return found


class Bound(cameo_api.Cameo):
    """A plan whose inputs are bound once."""

    def bind(self, feeds):
        self._kept = feeds
        for name, value in feeds.items():
            key, dims = name.encode(), (ctypes.c_int64 * value.ndim)(*value.shape)
            self._call("cameo_context_set_input_shape", self._context, key, dims, ctypes.c_size_t(value.ndim))
            self._call("cameo_context_set_tensor_address", self._context, key, ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes))

    def run_bound(self):
        self._call("cameo_context_run", self._context)


def pinned(array):
    return torch.from_numpy(np.ascontiguousarray(array)).pin_memory()


def median_ms(call, seconds):
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def difference(got, want):
    a, b = np.asarray(got, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)), float(a @ b / norm) if norm else 1.0


def machine():
    """What this GPU reaches: TFLOP/s of a large product, TB/s of a copy, GB/s from the host."""

    def best(call, repeat=5):
        call()
        times = []
        for _ in range(repeat):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
        return statistics.median(times)

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.half) for _ in range(2))
    big, host = torch.empty(1 << 30, dtype=torch.uint8, device="cuda"), torch.empty(1 << 28, dtype=torch.uint8).pin_memory()
    other = torch.empty_like(big)
    return {
        "device": torch.cuda.get_device_name(),
        "fp16_tflops": 2 * 8192**3 / best(lambda: torch.mm(a, b)) * 1e-12,
        "copy_tb_s": 2 * big.numel() / best(lambda: other.copy_(big)) * 1e-12,
        "host_gb_s": host.numel() / best(lambda: big[: host.numel()].copy_(host, non_blocking=True)) * 1e-9,
    }


class Peer:
    """PyTorch on one row."""

    def __init__(self, row, network, feeds, infos, compile_mode):
        half = row.precision == "fp16"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.precision == "tf32"
        torch.backends.cudnn.benchmark = True
        network = network.to("cuda")
        if half:
            network = network.half()
        images = not row.length
        if images and row.model != "whisper-tiny-encoder":
            network = network.to(memory_format=torch.channels_last)
        self.host = [pinned(feeds[n]) for n in infos]
        self.device = [torch.empty_like(h, device="cuda") for h in self.host]

        def forward(*inputs):
            if images:
                x = inputs[0].half() if half else inputs[0]
                return network(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)
            return network(*inputs)

        self.forward = forward
        if compile_mode != "none":
            torch._dynamo.reset()
            self.forward = torch.compile(forward, mode=compile_mode, dynamic=False)
        self.answer = None
        start = time.monotonic()
        for _ in range(4):
            self.run()
        self.ready_s = time.monotonic() - start

    def run(self):
        with torch.no_grad():
            for d, h in zip(self.device, self.host):
                d.copy_(h, non_blocking=True)
            y = self.forward(*self.device)
            if self.answer is None:
                self.answer = torch.empty(y.shape, dtype=y.dtype).pin_memory()
            self.answer.copy_(y, non_blocking=True)
            torch.cuda.synchronize()


def flops(network, feeds, infos):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*[torch.from_numpy(feeds[n]) for n in infos])
    return counter.get_total_flops()


def measure(row, args, rates):
    work = args.work / row.model
    path = work / f"{row.model}.onnx"
    if not path.exists():
        fill_weights.fill(row.model, work)
    graph = onnx.load(path, load_external_data=False).graph
    infos = {i.name: ([d.dim_value if d.HasField("dim_value") else None for d in i.type.tensor_type.shape.dim], None) for i in graph.input}
    if any(shape[0] not in (None, row.batch) for shape, _ in infos.values()):
        return None
    feeds = {n: pinned(v).numpy() for n, v in row.feeds(infos).items()}
    plan = work / f"{row.precision}.plan"
    result = {"name": row.name, "goal_ms": GOALS.get(row.name), "date": time.strftime("%Y-%m-%d")}
    start = time.monotonic()
    if not plan.exists():
        flags = [] if row.precision == "fp32" else ["--" + row.precision]
        subprocess.run([str(args.cameo), "build", str(path), "-o", str(plan), "--device", "cuda", *flags], check=True, capture_output=True)
    result["build_s"] = time.monotonic() - start
    start = time.monotonic()
    cameo = Bound(args.library, plan, 1)
    cameo.bind(feeds)
    cameo.run_bound()
    result["first_answer_s"] = time.monotonic() - start
    engines = {"cameo": cameo.run_bound}
    network = torch_models.make(row.model)
    peers = {}
    loaded = False
    if network is not None:
        small = {n: v[:1] for n, v in feeds.items()}
        try:
            result["gflop"] = flops(network, small, infos) * row.batch * 1e-9
            loaded = torch_models.load_weights(network, onnx.load(path).graph, [torch.from_numpy(small[n]) for n in infos])
        except Exception as problem:  # a peer that does not run is told, not fatal
            print(f"{row.name}: torch: {problem}"[:300])
        for kind, mode in (("eager", "none"), ("compiled", args.mode)):
            if kind == "compiled" and mode == "none":
                continue
            try:
                peers[kind] = Peer(row, network, feeds, infos, mode)
                result[f"{kind}_ready_s"] = peers[kind].ready_s
                engines[kind] = peers[kind].run
            except Exception as problem:
                print(f"{row.name}: {kind}: {str(problem)[:300]}")
    if not args.no_check:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        first = min(row.batch, 4)  # of a batch, the first images or sentences
        want = session.run(None, {n: v[:first] for n, v in feeds.items()})[0]
        worst, cosine = difference(cameo.run(feeds)[0][:first], want)
        result["error"], result["cosine"] = worst, cosine
        limit = LIMITS[row.precision]
        result["agrees"] = bool(worst <= limit[0] and cosine >= limit[1])
        for kind, peer in peers.items():
            if loaded:
                peer.run()
                result[f"{kind}_error"], result[f"{kind}_cosine"] = difference(peer.answer.numpy()[:first].astype(np.float32), want)
        cameo.bind(feeds)
    order, times = list(engines), {e: [] for e in engines}
    for call in engines.values():
        for _ in range(5):
            call()
    for _ in range(ROUNDS):
        for engine in order:
            times[engine].append(median_ms(engines[engine], ROUND_SECONDS))
        order = order[1:] + order[:1]
    for engine in engines:
        result[f"{engine}_ms"] = statistics.median(times[engine])
    if len(engines) > 1:
        result["ratio"] = statistics.median(min(times[e][i] for e in engines if e != "cameo") / times["cameo"][i] for i in range(ROUNDS))
    weights = sum(p.numel() for p in network.parameters()) * (2 if row.precision == "fp16" else 4) if network is not None else 0
    answers = sum(a.nbytes for a in cameo.run(feeds))
    copies = (sum(v.nbytes for v in feeds.values()) + answers) / rates["host_gb_s"] * 1e-6
    if "gflop" in result and row.precision == "fp16":
        limit = max(result["gflop"] / rates["fp16_tflops"], weights / rates["copy_tb_s"] * 1e-9) + copies
        result["limit_ms"], result["share"] = limit, limit / result["cameo_ms"]
    result["copies_ms"] = copies
    return result


def table(results):
    def number(v, digits=3):
        return "–" if v is None else f"{v:.{digits}g}"

    lines = ["# Cameo beside PyTorch on a GPU", "", "Written by `bench/gpu/compare.py`, which says how. Milliseconds from host memory to host memory, median.", ""]
    for key, rates in sorted(results["machines"].items()):
        lines.append(f"{key}: {rates['fp16_tflops']:.0f} TFLOP/s in a product of fp16, {rates['copy_tb_s']:.2f} TB/s in a copy, {rates['host_gb_s']:.0f} GB/s from the host.")
    lines += ["", "| work | Cameo | torch eager | torch compiled | × the faster | goal | limit | share of it | error | GPU, mode, date |", "|---|---|---|---|---|---|---|---|---|---|"]
    for r in results["rows"].values():
        goal = "–" if not r.get("goal_ms") else f"{r['goal_ms']} {'✓' if r['cameo_ms'] <= r['goal_ms'] else '✗'}"
        share = f"{r['share']:.0%}" if "share" in r else "–"
        error = f"{r['error']:.1e}{'' if r['agrees'] else ' ✗'}" if "error" in r else "–"
        lines.append(f"| {r['name']} | {number(r['cameo_ms'])} | {number(r.get('eager_ms'))} | {number(r.get('compiled_ms'))} | {number(r.get('ratio'))} | {goal} | "
                     f"{number(r.get('limit_ms'))} | {share} | {error} | {r['machine']}, {r['mode']}, {r['date']} |")
    for batch, what in (((" b1", " 1x128"), "batch 1"), ((" b32", " 32x128"), "batch 32")):
        ratios = [r["ratio"] for r in results["rows"].values() if "ratio" in r and "compiled_ms" in r and " fp16" in r["name"] and r["name"].endswith(batch)]
        if len(ratios) > 2:
            mean = math.exp(statistics.mean(map(math.log, ratios)))
            lines += ["", f"Geometric mean over the {len(ratios)} networks with a compiled peer, fp16, {what}: {mean:.2f} × the faster of both."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--rows", action="append", help="only rows with this text in their names")
    parser.add_argument("--mode", default="max-autotune", choices=["max-autotune", "reduce-overhead", "none"])
    parser.add_argument("--seconds", type=float, default=1e9, help="no row is begun after so many")
    parser.add_argument("--no-check", action="store_true")
    args = parser.parse_args()
    begin = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "gpu.json"
    results = json.loads(kept.read_text()) if kept.exists() else {"machines": {}, "rows": {}}
    rates = machine()
    results["machines"][rates["device"]] = rates
    for row in rows():
        if args.rows and not any(text in row.name for text in args.rows):
            continue
        if time.monotonic() - begin > args.seconds:
            print(f"no time left for {row.name}")
            continue
        try:
            result = measure(row, args, rates)
        except Exception as problem:
            print(f"{row.name}: {str(problem)[:400]}", flush=True)
            continue
        if result is None:
            continue
        result["machine"], result["mode"] = rates["device"], args.mode if "compiled_ms" in result else "eager" if "eager_ms" in result else "alone"
        results["rows"][row.name] = result
        print(json.dumps(result), flush=True)
        kept.write_text(json.dumps(results, indent=1))
        (args.out / "gpu.md").write_text(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
