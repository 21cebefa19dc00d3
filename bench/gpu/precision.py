#!/usr/bin/env python3
"""Lower precision on the GPU beside float16: times, and how far results are from float32 on the CPU.

  bench/gpu/precision.py --cameo build/cameo --work DIR --out bench/results/gpu-precision [--seconds 1] [--rows TEXT]

The graphs are those of tests/models, with drawn weights. Plans are timed in turns by `cameo bench`; a ratio is float16's time by the
plan's. Writes OUT.json and OUT.md. Needs numpy and onnx.
"""
import argparse
import concurrent.futures
import datetime
import json
import pathlib
import statistics
import sys
import threading

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "cuda"))
from on_device import call, gpu, run_plan  # before what lies in tests/models
import fill_weights
import inputs

ROUNDS = 3
# label, graph, shapes, the ways beside float16
ROWS = [
    ("ResNet-50, batch 32", "resnet50", "input:32x3x224x224", ["int8", "int8 symmetric"]),
    ("ResNet-50, batch 128", "resnet50", "input:128x3x224x224", ["int8"]),
    ("MPNet, 32 x 128", "mpnet-base", "input_ids:32x128,attention_mask:32x128", ["fp8 calibrated", "fp8", "int8"]),
    ("MPNet, 32 x 512", "mpnet-base", "input_ids:32x512,attention_mask:32x512", ["fp8 calibrated", "int8"]),
    ("MPNet, 1 x 16", "mpnet-base", "input_ids:1x16,attention_mask:1x16", ["int8 weights", "int4 weights"]),
]
FLAGS = {
    "fp16": [],
    "int8": ["--int8", "--calib-cache", "RANGES"],
    "int8 symmetric": ["--int8", "--calib-cache", "RANGES", "--calib-symmetric"],
    "fp8": ["--fp8"],
    "fp8 calibrated": ["--fp8", "--calib-cache", "RANGES"],
    "int8 weights": ["--weights", "int8"],
    "int4 weights": ["--weights", "int4"],
}


def cosine(got, want):
    flat = lambda values: [v.astype(np.float64).ravel() for v in values]
    return min(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b in zip(flat(got), flat(want)))


def plan_of(args, name, way):
    return args.work / name / (way.replace(" ", "-") + ".plan")


def prepare(args, name, ways, turn):
    """Makes a network's plans; the cosine of each way. `turn` is a lock on the GPU."""
    work = args.work / name
    (work / "calib").mkdir(parents=True, exist_ok=True)
    model = fill_weights.fill(name, work)
    graph = fill_weights.read_graph(name)
    names = [o.name for o in graph.graph.output]
    sets = inputs.input_sets(name, graph)
    # The last inputs are for the cosine, the others for calibration, unless there are no others.
    for i, (_, feeds) in enumerate(sets[:-1] or sets):
        np.savez(work / "calib" / f"{i}.npz", **feeds)
    ranges = work / "ranges"
    ranges.unlink(missing_ok=True)
    result_of = lambda plan: list(run_plan(args.cameo, plan, sets[-1][1], names, work / "o").values())
    call(args.cameo, "build", model, "-o", work / "cpu.plan", "--opt-level", "0")
    want = result_of(work / "cpu.plan")
    call(args.cameo, "build", model, "-o", work / "calibrated.plan", "--device", "cuda", "--opt-level", "0", "--int8", "--calib", work / "calib", "--calib-cache", ranges)

    def build(way):
        # Without inputs and extents the builder cannot tell whether a way is faster, and takes it.
        flags = [str(ranges) if f == "RANGES" else f for f in FLAGS[way]]
        call(args.cameo, "build", model, "-o", plan_of(args, name, way), "--device", "cuda", "--fp16", *flags)

    with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
        list(pool.map(build, ways))
    with turn:
        return {way: cosine(result_of(plan_of(args, name, way)), want) for way in ways}


def measure(args, label, name, shapes, ways, cosines):
    rows = {way: {"cosine": cosines[way], "latency": [], "compute": []} for way in ["fp16", *ways]}
    for _ in range(ROUNDS):
        for way, row in rows.items():
            result = json.loads(call(args.cameo, "bench", plan_of(args, name, way), "--shapes", shapes, "--duration", args.seconds / ROUNDS, "--json"))
            row["latency"].append(result["latency_ms"]["median"])
            row["compute"].append(result["compute_ms"]["median"])
    for row in rows.values():
        row["latency_ms"], row["compute_ms"] = statistics.median(row.pop("latency")), statistics.median(row.pop("compute"))
    for way, row in rows.items():
        row["ratio"] = rows["fp16"]["latency_ms"] / row["latency_ms"]
        row["compute_ratio"] = rows["fp16"]["compute_ms"] / row["compute_ms"]
        print(f"{label}: {way}: {row['latency_ms']:.3f} ms ({row['ratio']:.2f}), compute {row['compute_ms']:.3f} ms ({row['compute_ratio']:.2f}), "
              f"cosine {row['cosine']:.6f}", flush=True)
    return {"work": label, "shapes": shapes, "ways": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameo", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rows", default="", help="only rows with this in their names")
    args = parser.parse_args()
    args.cameo, args.work = args.cameo.resolve(), args.work.resolve()
    device = gpu(args.cameo)
    if device is None:
        return 0
    args.out.parent.mkdir(parents=True, exist_ok=True)
    wanted = [row for row in ROWS if args.rows in row[0]]
    ways = {}
    for _, name, _, more in wanted:
        ways[name] = list(dict.fromkeys([*ways.get(name, ["fp16"]), *more]))
    rows, turn = [], threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(len(ways) or 1) as pool:
        prepared = {name: pool.submit(prepare, args, name, ways[name], turn) for name in ways}
    for label, name, shapes, more in wanted:
        try:
            rows.append(measure(args, label, name, shapes, more, prepared[name].result()))
        except ValueError as problem:
            print(f"{label}: {problem}", flush=True)
            continue
        write(args.out, device, rows)
    return 0 if rows else 1


def write(out, device, rows):
    record = {"date": datetime.date.today().isoformat(), "device": device, "rows": rows}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [f"Lower precision beside float16, {record['date']}, {device}. Milliseconds from host to host, of computation by the GPU's clock, "
             "and float16's by them; the cosine is that of the outputs with float32 on the CPU, at the inputs of tests/models.", "",
             "| work | way | latency | ratio | compute | ratio | cosine |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        for way, r in row["ways"].items():
            lines.append(f"| {row['work']} | {way} | {r['latency_ms']:.3f} | {r['ratio']:.2f} | {r['compute_ms']:.3f} | {r['compute_ratio']:.2f} | {r['cosine']:.6f} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
