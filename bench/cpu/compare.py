#!/usr/bin/env python3
"""Cameo beside ONNX Runtime and OpenVINO on the same inputs, round by round in one process.

  compare.py --build build --models FOLDER --out FOLDER [--suite main,graphs,…] [NAME…]

A round runs every engine for some milliseconds, in an order that turns with each round, after a pause in which threads of
the others come to rest. What counts is the median over the rounds of an engine's median in each; the ratio is the faster
peer's time over Cameo's, per round, and then its median. Inputs are bound and outputs fetched in the time measured. All
engines have the same number of threads. The answers must agree before anything is timed. Where reading the weights bounds the
time, bench_peak reads memory in each round too, and Cameo's share of that rate is given.

Models of tests/models get their weights in --models when they are not there yet; other files must lie there (see README.md).
Writes OUT/cpu.json and OUT/cpu.md.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import numpy as np

import cameo_api
from workloads import fill_weights, workloads


def model_file(name, folder):
    if name.endswith(".onnx"):
        return folder / name
    path = folder / name / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fill_weights.fill(name, path.parent)
    return path


def input_infos(path):
    """Name -> (shape, element type); open extents are None."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {t.name for t in graph.initializer}
    return {i.name: ([d.dim_value if d.HasField("dim_value") else None for d in i.type.tensor_type.shape.dim], i.type.tensor_type.elem_type)
            for i in graph.input if i.name not in constants}


class OnnxRuntime:
    def __init__(self, path, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.version = onnxruntime.__version__

    def run(self, feeds):
        return self._session.run(None, feeds)


class OpenVino:
    def __init__(self, path, threads):
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self._request = openvino.Core().compile_model(str(path), "CPU", hints).create_infer_request()
        self.version = openvino.__version__

    def run(self, feeds):
        results = self._request.infer(feeds, share_inputs=True, share_outputs=True)
        return [results[i] for i in range(len(results))]


def shapes_text(feeds):
    """As `cameo build` takes shapes."""
    return ",".join(f"'{n}':{'x'.join(map(str, v.shape)) or 'scalar'}" for n, v in feeds.items())


def build_plan(args, work, path, feeds, plan):
    command = [args.build / "cameo", "build", path, "-o", plan, "--opt-shapes", shapes_text(feeds), "--threads", args.threads, "--opt-level", args.level,
               "--timing-cache", args.timing_cache, *work.build]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-400:])


def disagreement(got, want):
    """The largest difference relative to the largest value, over all outputs."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if b.size == 0 or b.dtype.kind not in "f":
            continue
        scale = float(np.max(np.abs(b))) or 1.0
        worst = max(worst, float(np.max(np.abs(a.astype(np.float64) - b))) / scale)
    return worst


def time_engine(engine, feeds, seconds, least):
    engine.run(feeds)
    times = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        engine.run(feeds)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def streamed_bytes(path, feeds):
    """Of constant operands of products, and of the inputs: what a run must read from memory."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    read = {i for n in graph.node if n.op_type in ("MatMul", "Gemm") for i in n.input}
    read |= {n.input[0] for n in graph.node if n.op_type == "Transpose" and n.output[0] in read}
    return sum(4 * int(np.prod(t.dims)) for t in graph.initializer if t.name in read) + sum(v.nbytes for v in feeds.values())


def read_rate(args):
    """GB/s, as bench_peak finds it now."""
    done = subprocess.run([str(args.build / "bench" / "bench_peak"), f"--threads={args.threads}"], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-3])


def measure(work, args):
    path = model_file(work.model, args.models)
    feeds = {n: np.asarray(v, order="C") for n, v in work.feeds(input_infos(path)).items()}
    plan = args.models / "bench.plan"
    build_plan(args, work, path, feeds, plan)
    peers_path = model_file(work.peers_model, args.models) if work.peers_model else path
    engines = {"cameo": cameo_api.Cameo(cameo_api.library_in(args.build), plan, args.threads)}
    problems = {}
    for name, peer in (("onnxruntime", OnnxRuntime), ("openvino", OpenVino)):
        try:
            engines[name] = peer(peers_path, args.threads)
            engines[name].run(feeds)
        except Exception as e:  # a peer that cannot run the model is left out, and said to be
            engines.pop(name, None)
            problems[name] = str(e).strip().split("\n")[0][:200]
    want = [np.array(o) for o in engines["onnxruntime"].run(feeds)]
    difference = disagreement(engines["cameo"].run(feeds), want)
    rounds = []
    names = list(engines)
    for r in range(args.rounds):
        row = {}
        for name in names[r % len(names):] + names[: r % len(names)]:
            time.sleep(0.02)
            row[name] = time_engine(engines[name], feeds, args.seconds, 3)
        if work.bandwidth_bound:
            row["read"] = read_rate(args)
        rounds.append(row)
    plan.unlink()
    medians = {n: statistics.median(row[n] for row in rounds) for n in names}
    ratio = statistics.median(min(row[n] for n in names if n != "cameo") / row["cameo"] for row in rounds)
    result = {"name": work.name, "suite": work.suite, "milliseconds": {n: round(t, 4) for n, t in medians.items()}, "ratio": round(ratio, 3),
              "goal": work.goal, "difference": difference, "problems": problems}
    if work.bandwidth_bound:
        size = streamed_bytes(path, feeds)
        result["share_of_read_bandwidth"] = round(statistics.median(size / row["cameo"] / 1e6 / row["read"] for row in rounds), 3)
    return result


def markdown(report):
    lines = [f"{report['machine']}, {report['threads']} threads, {report['date']}; ONNX Runtime {report['onnxruntime']}, OpenVINO {report['openvino']}; "
             f"{report['rounds']} interleaved rounds, medians in milliseconds.", "",
             "| work | Cameo | ONNX Runtime | OpenVINO | ratio to the faster | goal | difference |", "|---|---:|---:|---:|---:|---:|---:|"]
    for r in report["results"]:
        ms = r["milliseconds"]
        cells = [f"{ms[n]:.3f}" if n in ms else "–" for n in ("cameo", "onnxruntime", "openvino")]
        lines.append(f"| {r['name']} | {' | '.join(cells)} | {r['ratio']:.2f} | {r['goal']:.2f} | {r['difference']:.1e} |")
    graphs = [r["ratio"] for r in report["results"] if r["suite"] == "graphs"]
    if len(graphs) > 1:
        lines += ["", f"Geometric mean over {len(graphs)} graphs: {statistics.geometric_mean(graphs):.3f}; least {min(graphs):.2f}."]
    bound = {r["name"]: r["share_of_read_bandwidth"] for r in report["results"] if "share_of_read_bandwidth" in r}
    if bound:
        lines += ["", "Share of the rate at which bench_peak reads memory: " + ", ".join(f"{n} {share:.2f}" for n, share in bound.items()) + "."]
    for r in report["failed"]:
        lines += ["", f"Not measured: {r['name']}: {r['problem']}"]
    return "\n".join(lines) + "\n"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names of workloads; default: all of the suites")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder with cameo and libcameo.so")
    parser.add_argument("--models", type=pathlib.Path, required=True, help="folder for models")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for cpu.json and cpu.md")
    parser.add_argument("--suite", default="main,weights,graphs,int8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="per engine and round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--level", type=int, default=3, help="--opt-level of cameo build")
    args = parser.parse_args()
    args.timing_cache = args.models / "timing_cache.json"
    if not (args.build / "bench" / "bench_peak").exists():
        parser.error(f"{args.build} has no bench_peak; build it with: cmake -DCAMEO_BENCH=ON {args.build} && cmake --build {args.build}")
    args.models.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    import onnxruntime
    import openvino

    report = {"machine": processor(), "threads": args.threads, "date": time.strftime("%Y-%m-%d"), "onnxruntime": onnxruntime.__version__,
              "openvino": openvino.__version__.split("-")[0], "rounds": args.rounds, "results": [], "failed": []}
    chosen = [w for w in workloads() if w.suite in args.suite.split(",") and (not args.names or any(n in w.name for n in args.names))]
    for work in chosen:
        try:
            result = measure(work, args)
            report["results"].append(result)
            print(f"{result['name']:34s} {result['ratio']:6.2f} (goal {result['goal']:.2f})  {result['milliseconds']}  difference {result['difference']:.1e} "
                  f"{result['problems'] or ''}", flush=True)
        except Exception as e:  # one model that fails must not hide the others
            report["failed"].append({"name": work.name, "problem": str(e)[:300]})
            print(f"{work.name:34s} failed: {str(e)[:300]}", file=sys.stderr, flush=True)
    (args.out / "cpu.json").write_text(json.dumps(report, indent=1) + "\n")
    (args.out / "cpu.md").write_text(markdown(report))
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
