#!/usr/bin/env python3
"""States what the optimizer makes of every graph of graphs/: how many norms, attentions and activations, and that none is missed.

  fusions_test.py --cameo build/cameo [NAME...]

Runs all passes, with verification, on each graph as it was exported (its large weights, which are not in the files, are
zeros), and compares the number of Transposes that nothing could take out with "Transpose" in fusions.json; then again without the passes that make Cameo's
own operators, and compares the numbers of COUNTED operators, where one that is not listed must not be there. Then it looks for what a fusion should have taken. --write makes fusions.json anew.
"""
import argparse
import collections
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
TABLE = HERE / "fusions.json"
GRAPHS = HERE / "graphs"
COUNTED = [
    "Attention", "RotaryEmbedding", "LayerNormalization", "RMSNormalization", "Gelu", "Swish", "HardSwish", "HardSigmoid", "Sigmoid",
    "Softmax", "LogSoftmax", "Erf", "Tanh", "Pow", "Sqrt", "Reciprocal", "ReduceMean", "IsNaN", "Neg",
]


def inspect(cameo, path, *options):
    """The nodes that are left, as `cameo inspect` lists them. It verifies the graph after every pass."""
    command = [cameo, "inspect", path, "--passes", "--layers", "--json", *options]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip()[-500:])
    return json.loads(done.stdout)["layers"]


def missed(layers):
    """What looks like an attention, norm or activation that was not found."""
    maker, users = {}, collections.defaultdict(list)
    for layer in layers:
        for output in layer["outputs"]:
            maker[output.split(": ")[0]] = layer
        for value in layer["inputs"]:
            users[value].append(layer)

    def ops_after(layer):
        return [user for output in layer["outputs"] for user in users[output.split(": ")[0]]]

    for layer in layers:
        after = {user["op"] for user in ops_after(layer)}
        before = {maker[value]["op"] for value in layer["inputs"] if value in maker}
        if layer["op"] == "Softmax" and "MatMul" in after:
            yield f"attention at {layer['name']}"
        if layer["op"] == "ReduceMean" and before & {"Pow", "Mul"}:
            yield f"norm at {layer['name']}"
        if layer["op"] == "Erf":
            yield f"Gelu at {layer['name']}"
        if layer["op"] in ("Sigmoid", "HardSigmoid"):
            for user in ops_after(layer):
                if user["op"] == "Mul" and layer["inputs"][0] in user["inputs"]:
                    yield f"Swish or HardSwish at {layer['name']}"
        if layer["op"] == "Concat" and "Neg" in before:
            yield f"rotary embedding at {layer['name']}"


def check(cameo, name, expected, folder):
    """The problems of one graph, and its numbers."""
    path = folder / f"{name}.onnx"
    path.write_bytes(lzma.decompress((GRAPHS / f"{name}.onnx.xz").read_bytes()))
    try:
        transposes = sum(layer["op"] == "Transpose" for layer in inspect(cameo, path))
        layers = inspect(cameo, path, "--onnx-operators")
    except ValueError as problem:
        return [str(problem)], {}
    finally:
        path.unlink()
    total = collections.Counter(layer["op"] for layer in layers)
    found = {op: total[op] for op in COUNTED if total[op]}
    found["Transpose"] = transposes
    problems = [f"missed: {what}" for what in missed(layers)]
    if expected is not None:
        problems += [
            f"{op}: {found.get(op, 0)} instead of {expected.get(op, 0)}" for op in [*COUNTED, "Transpose"] if found.get(op, 0) != expected.get(op, 0)
        ]
    return problems, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="graphs (all)")
    parser.add_argument("--cameo", required=True, type=pathlib.Path, help="the command-line program")
    parser.add_argument("--write", action="store_true", help="write fusions.json")
    args = parser.parse_args()
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    names = sorted(path.name.removesuffix(".onnx.xz") for path in GRAPHS.glob("*.onnx.xz"))
    failed, start = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or names:
            expected = None if args.write else table.get(name, {})
            problems, found = check(args.cameo.resolve(), name, expected, pathlib.Path(folder))
            if args.write:
                table[name] = found
            failed += bool(problems)
            print(f"{'FAIL' if problems else 'ok  '} {name}: {', '.join(f'{n} {op}' for op, n in found.items())}", flush=True)
            for problem in problems:
                print(f"     {problem}")
    if args.write:
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table))
        TABLE.write_text("{\n" + rows + "\n}\n")
    print(f"fusions: {len(args.names or names) - failed} of {len(args.names or names)} graphs as stated, in {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
