#!/usr/bin/env python3
"""What is measured on a GPU is kept under what it holds for, and only that is taken from there; deterministic plans give the same
bits in other processes.

  choices_on_device.py --cameo build/cameo --work DIR

Needs numpy. Prints SKIPPED where there is no GPU.
"""
import json
import os
import re
import shutil
import sys

import numpy as np

from on_device import ROOT, call, check_all, parser

MODEL = ROOT / "models/tiny-gpt2/model.onnx"
SHAPES = ["--opt-shapes", "input_ids:8x64,attention_mask:8x64"]
FEEDS = {"input_ids": np.arange(8 * 64, dtype=np.int64).reshape(8, 64) % 2000, "attention_mask": np.ones((8, 64), np.int64)}


class Checks:
    def __init__(self, args, name):
        self.cameo, self.work, self.lines = args.cameo, (args.work / name.replace(" ", "_")).resolve(), []
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        for name, value in FEEDS.items():
            np.save(self.work / f"{name}.npy", value)

    def expect(self, good, what):
        self.lines.append((bool(good), f"{'ok  ' if good else 'FAIL'} {what}"))

    def call(self, cache, *command):
        """In a process that keeps compiled kernels and choices in the folder `cache`."""
        return call(self.cameo, *command, timeout=120, env={**os.environ, "CAMEO_CUDA_CACHE": str(self.work / cache) if cache else ""})

    def build(self, cache, name, *flags):
        plan = self.work / f"{name}.plan"
        self.call(cache, "build", MODEL, "-o", plan, "--device", "cuda", *SHAPES, *flags)
        return json.loads(self.call(cache, "inspect", plan, "--json"))

    def fails(self, cache, what, *flags):
        try:
            self.build(cache, "refused", *flags)
            self.expect(False, f"{what}: built")
        except ValueError as refused:
            self.expect("timing cache" in str(refused), f"{what}: {refused}")

    def run(self, cache, name):
        out = self.work / f"{name}_{cache}"
        inputs = [x for n in FEEDS for x in ("--input", f"{n}={self.work / n}.npy")]
        self.call(cache, "run", self.work / f"{name}.plan", *inputs, "--output-dir", out)
        return np.load(out / "logits.npy")


def timing_caches(c):
    times = c.work / "times.json"
    first = c.build("a", "first", "--timing-cache", times)
    c.expect(first["choices"] and "driver" in first["tuned_for"], f"{len(first['choices'])} choices, for {first['tuned_for']}")
    known = json.loads(times.read_text())
    machine = first["tuned_for"]
    c.expect(list(known["machines"]) == [machine] and set(known["machines"][machine]) >= set(first["choices"]), "the timing cache has them under that name")
    second = c.build("b", "second", "--timing-cache", times, "--error-on-miss")
    c.expect(second["choices"] == first["choices"], "another process chooses the same from the timing cache alone")
    c.fails("c", "nothing is known", "--timing-cache", c.work / "none.json", "--error-on-miss")
    c.build("a", "third", "--timing-cache", c.work / "none2.json", "--error-on-miss")
    c.expect(True, "what an earlier process measured is known without a timing cache")

    def changed(name, problem=lambda p: p, choice=lambda p: p, device=machine):
        path = c.work / f"{name}.json"
        problems = {problem(p): {choice(k): 0 for k in times} for p, times in known["machines"][machine].items()}
        path.write_text(json.dumps({**known, "machines": {device: problems}}))
        return path

    c.fails("d", "measured on another GPU", "--timing-cache", changed("gpu", device=machine.replace("NVIDIA", "Another")), "--error-on-miss")
    c.fails("e", "measured with another driver", "--timing-cache", changed("driver", device=re.sub(r"driver \S+", "driver 1.2", machine)), "--error-on-miss")
    c.fails("f", "measured with another cublasLt", "--timing-cache", changed("library", lambda p: re.sub(r" lt\d+ ", " lt1 ", p)), "--error-on-miss")
    want = c.run("a", "first")
    for number in ("12345", str(2**31 - 1)):
        c.build(f"g{number}", f"poisoned{number}", "--timing-cache", changed(f"poisoned{number}", choice=lambda _: number))
        got = c.run(f"g{number}", f"poisoned{number}")
        c.expect(np.abs(got - want).max() <= 1e-4 * np.abs(want).max(), f"choices that do not exist ({number}) do no harm")


def caches_on_disk(c):
    c.build("disk", "kept")
    want = c.run("disk", "kept")
    files = [f for f in (c.work / "disk").iterdir() if f.name != "key"]
    for f in files:
        data = bytearray(f.read_bytes())
        data[len(data) * 3 // 4] ^= 0x10
        f.write_bytes(data)
    c.expect(len(files) > 3 and np.array_equal(c.run("disk", "kept"), want), f"{len(files)} damaged files are not used")
    c.expect(np.array_equal(c.run("", "kept"), want), "without a folder it works, too")


def deterministic(c):
    for flag in ("--deterministic", "--portable"):
        made = c.build("x", "plan", flag)
        c.expect(not made["choices"] and not made["tuned_for"] and made["tuning_level"] == 0, f"{flag}: nothing was chosen by measuring")
        results = [c.run(cache, "plan") for cache in ("x", "y", "z")]
        c.expect(all(np.array_equal(r, results[0]) for r in results), f"{flag}: the same bits in three processes")


PARTS = {"timing caches": timing_caches, "caches on disk": caches_on_disk, "deterministic plans": deterministic}


def check(name, args):
    checks = Checks(args, name)
    try:
        PARTS[name](checks)
    except (ValueError, OSError, KeyError) as problem:
        checks.expect(False, f"{name}: {problem!r}")
    finally:
        shutil.rmtree(checks.work, ignore_errors=True)
    return checks.lines


def main():
    args = parser(__doc__, 3, "parts; all").parse_args()
    return check_all(args, [n for n in PARTS if not args.names or n in args.names], lambda name: check(name, args), "kept choices")


if __name__ == "__main__":
    sys.exit(main())
