#!/usr/bin/env python3
"""Where `cameo inspect` says that nodes run and what it says is copied. Needs the CUDA backend, but no GPU.

  placement_test.py --cameo build/cameo --work DIR [--recorder libcuda_nvtx_recorder.so]

With --recorder, and a GPU, the ranges of a run are looked at, too: they have the names of ONNX nodes. Prints SKIPPED where there is
no GPU for that.
"""
import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

from on_device import call, gpu, parser


def model(nodes, extent):
    graph = helper.make_graph(nodes, "placed", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, extent])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [onnx.numpy_helper.from_array(np.ones((extent, 32), np.float32) / extent, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)])


def node(op, inputs, output, name, **attributes):
    return helper.make_node(op, inputs, [output], name=name, **attributes)


def scaled(x, y):
    return node("Scaler", [x], y, "scaled", domain="ai.onnx.ml", offset=[0.5], scale=[2.0])


# What is built, and where its nodes must be: name and place, with the copies before the node.
WHOLE = [node("Relu", ["x"], "a", "first"), node("MatMul", ["a", "w"], "b", "product"), node("Softmax", ["b"], "y", "last")]
MIXED = [node("Softmax", ["x"], "a", "first"), scaled("a", "b"), node("MatMul", ["b", "w"], "c", "product"), node("Softmax", ["c"], "y", "last")]


def placement(cameo, plan):
    return json.loads(call(cameo, "inspect", plan, "--json"))["placement"]


def check(args):
    failures = []

    def expect(good, what):
        if not good:
            failures.append(what)

    args.work.mkdir(parents=True, exist_ok=True)
    whole, mixed, plan = args.work / "whole.onnx", args.work / "mixed.onnx", args.work / "placed.plan"
    onnx.save(model(WHOLE, 96), whole)
    onnx.save(model(MIXED, 96), mixed)

    call(args.cameo, "build", whole, "-o", plan, "--device", "cuda", "--portable")
    placed = placement(args.cameo, plan)
    expect(placed["on_host"] == placed["fallen_back"] == placed["copies"] == 0 and placed["on_device"] > 0, f"all on the GPU: {placed}")

    try:
        call(args.cameo, "build", mixed, "-o", plan, "--device", "cuda", "--portable")
        expect(False, "a node that the GPU has not was taken")
    except ValueError as e:
        expect("'scaled'" in str(e) and "--allow-cpu-fallback" in str(e), f"what is said of a node that the GPU has not: {e}")

    call(args.cameo, "build", mixed, "-o", plan, "--device", "cuda", "--portable", "--allow-cpu-fallback")
    placed = placement(args.cameo, plan)
    nodes = placed["nodes"]
    at = [k for k, n in enumerate(nodes) if "'scaled'" in n["node"]]
    expect(placed["fallen_back"] == 1 and placed["copies"] == 2 and len(at) == 1, f"one node on the CPU: {placed}")
    if len(at) == 1:
        fallen, after = nodes[at[0]], nodes[at[0] + 1]
        expect(fallen["place"] == "host" and fallen["reason"] and len(fallen["copies"]) == 1 and fallen["copies"][0].endswith(" to the host"),
               f"the node on the CPU: {fallen}")
        expect(after["place"] == "device" and len(after["copies"]) == 1 and after["copies"][0].endswith(" to the device"), f"the node behind it: {after}")
        expect(all(n["place"] == "device" for n in nodes if n is not fallen), f"the others: {nodes}")
    text = call(args.cameo, "inspect", plan)
    expect("2 copies" in text and "'scaled'" in text and "to the host" in text and "to the device" in text, f"as text:\n{text}")

    if args.recorder and gpu(args.cameo):
        ranges = args.work / "ranges.txt"
        ranges.unlink(missing_ok=True)
        call(args.cameo, "run", plan, env={**os.environ, "NVTX_INJECTION64_PATH": str(args.recorder.resolve()), "CAMEO_TEST_RANGES": str(ranges.resolve())})
        seen = ranges.read_text().splitlines() if ranges.exists() else []
        for name in ("first", "scaled", "product", "last"):
            expect(any(name in line for line in seen), f"no range is named after '{name}': {seen}")
        expect(seen.count("end") == len(seen) - seen.count("end"), f"ranges that begin and do not end: {seen}")
        print(f"{len(seen) // 2} ranges")
    for what in failures:
        print("FAIL", what)
    print(f"placement: {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    import pathlib

    arguments = parser(__doc__, 1, "unused")
    arguments.add_argument("--recorder", type=pathlib.Path)
    sys.exit(check(arguments.parse_args()))
