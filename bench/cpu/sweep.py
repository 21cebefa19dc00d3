#!/usr/bin/env python3
"""How time grows with sequence length, batch and threads: Cameo beside ONNX Runtime and OpenVINO, as JSON and SVG.

  sweep.py --build build --models FOLDER --out bench/results --plot docs/cpu-sweep.svg

Three sweeps, each with 1 and 2 threads: SmolLM2-135M's prompt of 16 to 2,048 tokens, MPNet at 128 tokens with a batch of 1 to
64, ResNet-50 with a batch of 1 to 64. One plan a sweep, built for the whole range. Measured as compare.py does.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

import numpy as np

import cameo_api
from compare import OnnxRuntime, OpenVino, disagreement, input_infos, model_file, processor, shapes_text, time_engine
from workloads import images, text

ENGINES = ("cameo", "onnxruntime", "openvino")
TITLES = {"cameo": "Cameo", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
COLOURS = {"cameo": "#c0392b", "onnxruntime": "#2471a3", "openvino": "#7d3c98"}


def prompt(length):
    """A prompt of that many tokens, nothing before it."""

    def feeds(infos):
        rng = np.random.default_rng(7)
        out = {}
        for n, (shape, _) in infos.items():
            if n == "input_ids":
                out[n] = rng.integers(3, 40000, (1, length), np.int64)
            elif n == "attention_mask":
                out[n] = np.ones((1, length), np.int64)
            elif n == "position_ids":
                out[n] = np.arange(length)[None]
            else:
                out[n] = np.zeros((1, shape[1], 0, shape[3]), np.float32)
        return out

    return feeds


SWEEPS = (
    ("smollm2-prompt", "smollm2-135m-with-past", "prompt tokens", (16, 64, 256, 1024, 2048), prompt),
    ("mpnet-batch", "mpnet-base", "batch (128 tokens each)", (1, 4, 16, 64), lambda b: text(b, 128)),
    ("resnet50-batch", "resnet50", "batch", (1, 4, 16, 64), images),
)


def run_sweep(args, model, points, make_feeds, threads):
    path = model_file(model, args.models)
    infos = input_infos(path)
    all_feeds = [{n: np.ascontiguousarray(v) for n, v in make_feeds(p)(infos).items()} for p in points]
    plan = args.models / "sweep.plan"
    command = [args.build / "cameo", "build", path, "-o", plan, "--threads", threads, "--min-shapes", shapes_text(all_feeds[0]), "--opt-shapes",
               shapes_text(all_feeds[len(points) // 2]), "--max-shapes", shapes_text(all_feeds[-1])]
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    engines = {"cameo": cameo_api.Cameo(cameo_api.library_in(args.build), plan, threads), "onnxruntime": OnnxRuntime(path, threads),
               "openvino": OpenVino(path, threads)}
    rows = []
    for point, feeds in zip(points, all_feeds):
        want = [np.array(o) for o in engines["onnxruntime"].run(feeds)]
        row = {"point": point, "difference": disagreement(engines["cameo"].run(feeds), want)}
        times = {n: [] for n in ENGINES}
        for r in range(args.rounds):
            for name in ENGINES[r % 3:] + ENGINES[: r % 3]:
                time.sleep(0.02)
                times[name].append(time_engine(engines[name], feeds, 0.1, 2))
        row["milliseconds"] = {n: round(statistics.median(t), 3) for n, t in times.items()}
        rows.append(row)
        print(model, threads, row, flush=True)
    plan.unlink()
    return rows


def plot(report, out):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "cameo"  # the same picture for the same figures
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(report["sweeps"]), figsize=(15, 4.6))
    for axis, sweep in zip(axes, report["sweeps"]):
        for name in ENGINES:
            for threads, style in ((1, "--"), (2, "-")):
                rows = sweep["threads"][str(threads)]
                axis.plot([r["point"] for r in rows], [r["milliseconds"][name] for r in rows], style, marker="o", markersize=4, color=COLOURS[name],
                          label=f"{TITLES[name]}, {threads} thread{'s' if threads > 1 else ''}")
        axis.set(xscale="log", yscale="log", xlabel=sweep["axis"], ylabel="ms", title=sweep["model"])
        ticks = [r["point"] for r in sweep["threads"]["2"]]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(f"{report['machine']}, {report['date']}; lower is better", fontsize=10)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for cpu-sweep.json")
    parser.add_argument("--plot", type=pathlib.Path, required=True, help="SVG file to write")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": processor(), "date": time.strftime("%Y-%m-%d"), "sweeps": []}
    for name, model, axis, points, make_feeds in SWEEPS:
        report["sweeps"].append({"name": name, "model": model, "axis": axis,
                                 "threads": {str(t): run_sweep(args, model, points, make_feeds, t) for t in (1, 2)}})
    (args.out / "cpu-sweep.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(report, args.plot)


if __name__ == "__main__":
    main()
