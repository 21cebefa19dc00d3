#!/usr/bin/env python3
"""Runs the models of graphs/ with Cameo and compares what comes out with what ONNX Runtime gave.

  models_test.py --cameo build/cameo [NAME...]

A model at a time: its weights are drawn into a folder, `cameo build` makes a plan, `cameo run` runs it on two sets of
inputs of different shapes, and the folder is deleted. Prints a line per run. README.md says what is compared.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

import fill_weights
import inputs
import summary

EXPECTED = pathlib.Path(__file__).parent / "expected.json"


def call(*command):
    """Runs a program; returns the seconds it took. Raises ValueError with the end of its messages when it fails."""
    start = time.monotonic()
    done = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        tail = done.stderr.strip()[-500:]
        raise ValueError(f"`{pathlib.Path(command[0]).name} {command[1]}` ended with exit code {done.returncode}: {tail}")
    return time.monotonic() - start


def run_plan(cameo, plan, feeds, output_names, folder):
    """The outputs by name, and the seconds that the run took."""
    folder.mkdir()
    command = [cameo, "run", plan, "--output-dir", folder]
    for i, (name, value) in enumerate(feeds.items()):
        np.save(folder / f"input{i}.npy", value)
        command += ["--input", f"{name}={folder / f'input{i}.npy'}"]
    seconds = call(*command)
    outputs = {name: np.load(folder / (re.sub("[/:]", "_", name) + ".npy")) for name in output_names}
    return outputs, seconds


def reference_outputs(path, output_names, all_feeds):
    """What ONNX Runtime gives for each set of inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [dict(zip(output_names, session.run(output_names, feeds))) for feeds in all_feeds]


def compare_all(name, got, want):
    """As summary.compare, but with every element of the output that was expected."""
    if got.dtype != want.dtype or got.shape != want.shape:
        raise ValueError(f"{name}: {got.dtype} {list(got.shape)} instead of {want.dtype} {list(want.shape)}")
    if not np.issubdtype(want.dtype, np.floating):
        if not np.array_equal(got, want):
            raise ValueError(f"{name}: {np.count_nonzero(got != want)} of {want.size} values differ")
        return 0.0
    error = np.abs(got.astype(np.float64) - want).max(initial=0)
    largest = np.abs(want).max(initial=0)
    worst = float(error / largest if largest else error)
    if not worst <= summary.TOLERANCE:
        raise ValueError(f"{name}: off by {worst:.2e} of the largest magnitude ({summary.TOLERANCE:g} allowed)")
    return worst


def test_model(name, args, expected, work):
    """Runs one model; yields a pair per run: whether it passed, and the line to print."""
    graph = fill_weights.read_graph(name)
    output_names = [output.name for output in graph.graph.output]
    sets = inputs.input_sets(name, graph)
    try:
        path = fill_weights.fill(name, work)
        want = reference_outputs(path, output_names, [feeds for _, feeds in sets]) if args.full else None
        plan = work / f"{name}.plan"
        build_seconds = call(args.cameo, "build", path, "-o", plan)
    except ValueError as problem:
        for label, _ in sets:
            yield False, f"FAIL {name} {label}: {problem}"
        return
    for i, (label, feeds) in enumerate(sets):
        try:
            outputs, seconds = run_plan(args.cameo, plan, feeds, output_names, work / f"run{i}")
            if want:
                worst = max(compare_all(n, outputs[n], want[i][n]) for n in output_names)
            else:
                worst = max(summary.compare(n, outputs[n], expected[label][n]) for n in output_names)
            yield True, f"ok   {name} {label}: error {worst:.1e}, build {build_seconds:.1f} s, run {seconds:.1f} s"
        except (ValueError, OSError) as problem:
            yield False, f"FAIL {name} {label}: {problem}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="models to run (all)")
    parser.add_argument("--cameo", required=True, type=pathlib.Path, help="the command-line program")
    parser.add_argument("--work", type=pathlib.Path, help="where weights and plans are put for a while, up to 1.5 GB")
    parser.add_argument("--summary", type=pathlib.Path, help="a file to write the last line to")
    parser.add_argument("--full", action="store_true", help="compare every element with ONNX Runtime, which must be installed")
    args = parser.parse_args()
    if not args.cameo.exists():
        parser.error(f"{args.cameo} does not exist; build it first")
    args.cameo = args.cameo.resolve()
    known = fill_weights.names()
    for name in args.names:
        if name not in known:
            parser.error(f"there is no model '{name}'; there are: {', '.join(known)}")
    expected = json.loads(EXPECTED.read_text())
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    passed = total = 0
    start = time.monotonic()
    for name in args.names or known:
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=args.work))
        try:
            for ok, line in test_model(name, args, expected[name], work):
                passed += ok
                total += 1
                print(line, flush=True)
        finally:
            shutil.rmtree(work)
    last_line = f"models: {passed} of {total} passed in {time.monotonic() - start:.0f} s"
    print(last_line)
    if args.summary:
        args.summary.write_text(last_line + "\n")
    return 0 if passed == total else 1


if __name__ == "__main__":
    sys.exit(main())
