#!/usr/bin/env python3
"""Small networks of many architectures: what the optimizer finds in them, and that it does not change what they compute.

  architectures_test.py --cameo build/cameo [NAME...]

Each graph gets weights drawn from a fixed seed. `cameo inspect --passes` must find as many attentions, norms and other
operators as found.json says; then the plan is run on two sets of inputs of different shapes, and must give what the plain
operators give without any pass (`cameo build --reference`). --write notes what was found in found.json. --full compares with
ONNX Runtime, which must be installed, too.
"""
import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import onnx

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))
import fill_weights  # noqa: E402
import fusions_test  # noqa: E402
import models_test  # noqa: E402

GRAPHS = HERE / "graphs"
FOUND = HERE / "found.json"
TOLERANCE = 1e-4  # of the largest magnitude of an output
# Open extents in the two sets. Texts: rows and tokens, of a decoder ("d") too; audio: rows and samples; features of audio: rows;
# images: rows, height and width.
TEXT, DECODED, AUDIO, FEATURES = ((2, 2), (16, 11)), ((2, 2), (5, 4)), ((1, 2), (4000, 5200)), ((2, 2),)
IMAGE = ((1, 2), (3, 3), (16, 20), (16, 20))
VOCABULARY = 500  # of the language models
# The token numbers that a text is drawn from; all vocabularies are larger.
TOKENS = (3, 99)


def kind_of(info, rank):
    is_float = info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    if rank == 2:
        return AUDIO if is_float else DECODED if info.name == "d" else TEXT
    return FEATURES if rank == 3 and is_float else IMAGE


def input_set(model, k):
    """The inputs by name, drawn from a fixed seed; masks end with zeros in the last row of the second set."""
    feeds = {}
    for info in model.graph.input:
        tensor = info.type.tensor_type
        dims = tensor.shape.dim
        kind = kind_of(info, len(dims))
        shape = [dim.dim_value if dim.HasField("dim_value") else kind[axis][k] for axis, dim in enumerate(dims)]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{info.name}/{k}".encode())))
        if "mask" in info.name:
            value = np.ones(shape)
            if k == 1 and len(shape) == 2:
                value[-1, -2:] = 0
        elif np.issubdtype(dtype, np.integer):
            value = rng.integers(*TOKENS, shape)
        else:
            value = rng.standard_normal(shape)
        feeds[info.name] = np.ascontiguousarray(value.astype(dtype))
    return feeds


def found_in(cameo, path):
    """How many of the operators that fusions make there are, and what they seem to have missed."""
    layers = fusions_test.inspect(cameo, path, "--onnx-operators")
    total = collections.Counter(layer["op"] for layer in layers)
    return {op: total[op] for op in fusions_test.COUNTED if total[op]}, sorted({m.split(" at ")[0] for m in fusions_test.missed(layers)})


def difference(name, got, want):
    """The largest difference, of the largest magnitude that was expected."""
    if got.dtype != want.dtype or got.shape != want.shape:
        raise ValueError(f"{name}: {got.dtype} {list(got.shape)} instead of {want.dtype} {list(want.shape)}")
    if want.dtype.kind != "f":
        if not np.array_equal(got, want):
            raise ValueError(f"{name}: {np.count_nonzero(got != want)} of {want.size} values differ")
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(np.isfinite(got), finite):
        raise ValueError(f"{name}: other elements are infinite or no number")
    worst = np.abs(np.where(finite, got, 0) - np.where(finite, want, 0)).max(initial=0) / (np.abs(want[finite]).max(initial=0) or 1)
    if not worst <= TOLERANCE:
        raise ValueError(f"{name}: off by {worst:.1e} of the largest magnitude ({TOLERANCE:g} allowed)")
    return float(worst)


def rename_output(model, name):
    """Gives the only output another name."""
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.input[:] = [name if value == old else value for value in node.input]
        node.output[:] = [name if value == old else value for value in node.output]
    model.graph.output[0].name = name


def has_cache(args, path, work):
    """Whether a cache can be added to a causal language model; None for other networks. Raises ValueError when tokens differ with it."""
    model = onnx.load(path, load_external_data=False)
    inputs = {info.name for info in model.graph.input}
    outputs = [[dim.dim_value for dim in output.type.tensor_type.shape.dim] for output in model.graph.output]
    if inputs != {"input_ids", "attention_mask"} or len(outputs) != 1 or outputs[0][2:] != [VOCABULARY]:
        return None
    rename_output(model, "logits")
    folder = work / "generate"
    folder.mkdir()
    shutil.copy(path.with_suffix(".weights"), folder)
    onnx.save(model, folder / path.name)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = {"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [],
                 "model": {"type": "WordLevel", "vocab": words, "unk_token": "w3"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    try:
        models_test.call(args.cameo, "build", folder / path.name, "-o", folder / "model.plan", "--kv-cache=on", "--opt-level", "0")
    except ValueError:
        return False
    command = [args.cameo, "bench", "generate", folder / path.name, "--opt-level", "0", "--configurations", "2x6", "--rounds", "1"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    agreement = re.search(r"token by token: (\d+) of (\d+) sequences", done.stdout)
    if done.returncode != 0 or not agreement or agreement[1] != agreement[2]:
        raise ValueError(f"with a cache it generates other tokens: {agreement[0] if agreement else done.stderr.strip()[-300:]}")
    return True


def check(name, args, table, work):
    """Tests one network; returns the line to print. Raises ValueError with what is wrong."""
    model = fill_weights.read_graph(name, GRAPHS)
    outputs = [output.name for output in model.graph.output]
    path = fill_weights.fill(name, work, GRAPHS)
    found, missed = found_in(args.cameo, path)
    cache = has_cache(args, path, work)
    entry = {"found": found, "missed": missed} | ({} if cache is None else {"cache": cache})
    if args.write:
        table[name] = entry
    elif table.get(name) != entry:
        raise ValueError(f"found {entry}, and not {table.get(name)}")
    models_test.call(args.cameo, "build", path, "-o", work / "fast.plan", "--opt-level", "1")
    models_test.call(args.cameo, "build", path, "-o", work / "plain.plan", "--reference")
    worst = 0.0
    for k in range(2):
        feeds = input_set(model, k)
        got, _ = models_test.run_plan(args.cameo, work / "fast.plan", feeds, outputs, work / f"fast{k}")
        want, _ = models_test.run_plan(args.cameo, work / "plain.plan", feeds, outputs, work / f"plain{k}")
        peers = [want] + (models_test.reference_outputs(path, outputs, [feeds]) if args.full else [])
        worst = max([worst] + [difference(n, got[n], peer[n]) for peer in peers for n in outputs])
    return f"{name}: error {worst:.1e}; " + ", ".join(f"{count} {op}" for op, count in found.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="networks to test (all)")
    parser.add_argument("--cameo", required=True, type=pathlib.Path, help="the command-line program")
    parser.add_argument("--write", action="store_true", help="note what is found in found.json")
    parser.add_argument("--full", action="store_true", help="compare with ONNX Runtime, too")
    args = parser.parse_args()
    args.cameo = args.cameo.resolve()
    table = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    every = sorted(path.name.removesuffix(".onnx.xz") for path in GRAPHS.glob("*.onnx.xz"))
    passed = 0
    names = args.names or every
    for name in names:
        work = pathlib.Path(tempfile.mkdtemp(prefix="cameo_architectures_"))
        try:
            print("ok  ", check(name, args, table, work), flush=True)
            passed += 1
        except ValueError as problem:
            print(f"FAIL {name}: {problem}", flush=True)
        finally:
            shutil.rmtree(work)
    if args.write:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table) if name in every)
        FOUND.write_text("{\n" + lines + "\n}\n")
    print(f"architectures: {passed} of {len(names)} passed")
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
