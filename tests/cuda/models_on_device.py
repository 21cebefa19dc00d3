#!/usr/bin/env python3
"""Compares the models of ../models on a GPU with the same plans on the CPU, element by element.

  models_on_device.py --cameo build/cameo --work DIR [--jobs N] [--precision fp32 --precision fp16 …] [NAME…]

float32 outputs may be off by 1e-3 of the largest value, tf32 ones by 1e-2, 16-bit ones by 2e-2 (bf16: 1e-1) with a cosine of
0.9999 (bf16: 0.999). Needs numpy and onnx. Prints SKIPPED where there is no GPU.
"""
import shutil
import sys
import time

import numpy as np

from on_device import call, check_all, parser, run_plan  # before what lies in tests/models
import fill_weights
import inputs

LIMITS = {"fp32": (1e-3, 0.99999), "tf32": (1e-2, 0.9999), "fp16": (2e-2, 0.9999), "bf16": (1e-1, 0.999)}


# Under the drawn weights the signal of these networks leaves the range of float16, downwards or upwards; for 16 bits the images
# are scaled by this (per input set), for the CPU as for the GPU.
SCALE_16 = {"inception_v3": (1, 1e-5), "shufflenet_v2": (1, 1e-2)}


# Not compared in 16 bits: under the drawn weights the scores of ssdlite320's second image lie so close that they come in another
# order, and the signal of efficientnet_b0 fades from 2.5 to 6e-7, below float16's normal numbers.
FLOAT32_ONLY = {("ssdlite320", 1), ("efficientnet_b0", 0), ("efficientnet_b0", 1)}

# Outputs in the plan's own 16 bits, besides: a last norm that writes them itself, an encoder in one kernel, sums, several outputs.
NARROW_OUTPUTS = {"mpnet-base", "resnet50", "distilgpt2", "minilm-l6-sdpa", "t5-small-encoder"}

# Batches whose runs may be divided, so that their copies run beside the computation: the last set so many times.
REPEATED = {"mpnet-base": 64, "resnet50": 16}


def compare(name, got, want, limits):
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ValueError(f"{name}: {got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}")
    if not np.issubdtype(want.dtype, np.floating):
        differ = np.count_nonzero(got != want)
        if differ and limits is LIMITS["fp32"]:
            raise ValueError(f"{name}: {differ} of {want.size} values differ")
        return 0.0, 1.0
    a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        raise ValueError(f"{name}: {np.count_nonzero(np.isnan(a))} NaN instead of {np.count_nonzero(np.isnan(b))}")
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    largest = np.abs(b).max(initial=0)
    worst = np.abs(a - b).max(initial=0) / (largest or 1)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = float(a @ b / norm) if norm else 1.0
    if not worst <= limits[0] or not cosine >= limits[1]:
        raise ValueError(f"{name}: off by {worst:.2e} of the largest value, cosine {cosine:.6f}")
    return float(worst), cosine


def widened(name, value, precision):
    """float32 from an output that has 16 bits."""
    if precision == "bf16":  # NumPy has no such type; the file holds its bits
        return (value.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if value.dtype != np.float16:
        raise ValueError(f"{name} is {value.dtype} instead of float16")
    return value.astype(np.float32)


def check(name, args):
    work = args.work / name
    lines = []
    try:
        graph = fill_weights.read_graph(name)
        names = [o.name for o in graph.graph.output]
        sets = inputs.input_sets(name, graph)
        model = fill_weights.fill(name, work)
        call(args.cameo, "build", model, "-o", work / "cpu.plan", "--opt-level", "0")
        want = [run_plan(args.cameo, work / "cpu.plan", feeds, names, work / f"cpu{i}") for i, (_, feeds) in enumerate(sets)]
        if name in REPEATED:
            times = REPEATED[name]
            sets.append((f"{sets[-1][0]} {times} times", {k: np.concatenate([v] * times) for k, v in sets[-1][1].items()}))
            want.append({k: np.concatenate([v] * times) for k, v in want[-1].items()})
        kinds = [(precision, "") for precision in args.precision]
        kinds += [(p, f"-{p}") for p in args.precision if p.endswith("16") and name in NARROW_OUTPUTS]
        for precision, outputs in kinds:
            flags = [] if precision == "fp32" else ["--" + precision]
            if outputs:
                flags += ["--output-types", precision]
            plan = work / f"{precision}{outputs}.plan"
            try:
                call(args.cameo, "build", model, "-o", plan, "--device", "cuda", *flags)
            except ValueError as problem:
                lines.append((False, f"FAIL {name} {precision}{outputs} build: {problem}"))
                continue
            for i, (label, feeds) in enumerate(sets):
                if precision != "fp32" and (name, i) in FLOAT32_ONLY:
                    continue
                start = time.monotonic()
                try:
                    expected = want[i]
                    if precision.endswith("16") and name in SCALE_16 and SCALE_16[name][i] != 1:
                        feeds = {k: (v * np.float32(SCALE_16[name][i]) if v.dtype == np.float32 else v) for k, v in feeds.items()}
                        expected = run_plan(args.cameo, work / "cpu.plan", feeds, names, work / f"cpu{i}s")
                    got = run_plan(args.cameo, plan, feeds, names, work / f"{precision}{outputs}{i}")
                    worst, cosine = 0.0, 1.0
                    for n in names:
                        if outputs and np.issubdtype(expected[n].dtype, np.floating):
                            got[n] = widened(n, got[n], precision)
                        w, c = compare(n, got[n], expected[n], LIMITS[precision])
                        worst, cosine = max(worst, w), min(cosine, c)
                    lines.append((True, f"ok   {name} {precision}{outputs} {label}: error {worst:.1e}, cosine {cosine:.6f}, {time.monotonic() - start:.1f} s"))
                except (ValueError, OSError) as problem:
                    lines.append((False, f"FAIL {name} {precision}{outputs} {label}: {problem}"))
    except (ValueError, OSError) as problem:
        lines.append((False, f"FAIL {name}: {problem}"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return lines


def main():
    p = parser(__doc__, 4, "networks of ../models; all")
    p.add_argument("--precision", action="append", choices=list(LIMITS))
    args = p.parse_args()
    args.precision = args.precision or ["fp32", "fp16"]
    return check_all(args, args.names or fill_weights.names(), lambda name: check(name, args), "models")


if __name__ == "__main__":
    sys.exit(main())
