#!/usr/bin/env python3
"""What a plan for the GPU costs: seconds to build with an empty and a full cache, seconds from the start of a process to its first
answer, and the GPU's memory beside the weights' size.

  cost.py --cameo build/cameo --work DIR NAME=MODEL.onnx[@SHAPES] …

Each build gets a folder of its own for compiled kernels and choices, and a timing cache of its own. Prints a table and a JSON object.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "cuda"))
from on_device import call, gpu


def timed(env, *command):
    start = time.monotonic()
    text = call(*command, env=env)
    return time.monotonic() - start, text


def gpu_memory():
    done = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.returncode == 0 else -1


def cost(cameo, model, shapes, work, precision, level):
    work.mkdir(parents=True, exist_ok=True)
    cache = work / "kernels"
    cache.mkdir(mode=0o700, exist_ok=True)
    env = dict(os.environ, CAMEO_CUDA_CACHE=str(cache))
    plan, times = work / "model.plan", work / "times.json"
    flags = ["--device", "cuda", "--opt-level", level, "--timing-cache", times] + ([f"--{precision}"] if precision != "fp32" else [])
    for flag in ("--min-shapes", "--opt-shapes", "--max-shapes"):
        if shapes:
            flags += [flag, shapes]
    row = {"precision": precision, "level": level}
    row["build_empty_s"], _ = timed(env, cameo, "build", model, "-o", plan, *flags)
    row["build_full_s"], _ = timed(env, cameo, "build", model, "-o", plan, *flags)
    row["build_error_on_miss_s"], _ = timed(env, cameo, "build", model, "-o", plan, *flags, "--error-on-miss")
    row["first_answer_s"], _ = timed(env, cameo, "run", plan)
    row["first_answer_again_s"], _ = timed(env, cameo, "run", plan)
    # What a process has on the GPU while it answers, less what was there before.
    before = gpu_memory()
    running = subprocess.Popen([str(cameo), "bench", str(plan), "--duration", "4"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = before
    while running.poll() is None:
        most = max(most, gpu_memory())
        time.sleep(0.2)
    row["gpu_memory_mb"] = most - before
    _, text = timed(env, cameo, "inspect", plan, "--json")
    described = json.loads(text)
    row["weights_mb"] = described["weight_bytes"] / 1e6
    row["tuned_for"] = described.get("tuned_for", "")
    row["choices"] = len(described.get("choices", {}))
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameo", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("models", nargs="+", help="NAME=MODEL.onnx[@SHAPES], for example resnet50=resnet50.onnx@pixel_values:8x3x224x224")
    options = parser.parse_args()
    if gpu(options.cameo) is None:
        return 0
    rows = []
    for text in options.models:
        name, _, rest = text.partition("=")
        model, _, shapes = rest.partition("@")
        for precision in ("fp16", "fp32"):
            try:
                row = {"model": name, **cost(options.cameo, model, shapes, options.work / f"{name}_{precision}", precision, options.level)}
            except ValueError as e:
                print(f"{name} {precision}: {e}", file=sys.stderr)
                continue
            rows.append(row)
            print("{model} {precision}: built in {build_empty_s:.2f} s, {build_full_s:.2f} s with a full cache; first answer after {first_answer_s:.2f} s "
                  "({first_answer_again_s:.2f} s again); {gpu_memory_mb} MB of the GPU, weights {weights_mb:.0f} MB; {choices} choices".format(**row), flush=True)
    print(json.dumps(rows))
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
