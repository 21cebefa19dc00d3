#!/usr/bin/env python3
"""Adds an exported network to graphs/: its structure, and of each large float tensor its shape, type, mean and spread.

  add_graph.py MODEL.onnx [NAME]

Then: architectures_test.py --cameo build/cameo --write NAME. Needs numpy and onnx.
"""
import json
import lzma
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

GRAPHS = pathlib.Path(__file__).parent / "graphs"
# Smaller tensors stay: they may be constants that the network depends on.
LARGE = 64


def strip(model):
    """Takes the large float tensors out of the model; returns what is known of them."""
    entries = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind != "f" or array.size < LARGE or len(np.unique(array)) < array.size // 8:
            continue
        finite = array[np.isfinite(array)].astype(np.float64)
        entries.append({"name": tensor.name, "shape": list(array.shape), "dtype": str(array.dtype),
                        "mean": float(finite.mean()), "std": float(finite.std())})
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
    return entries


def main():
    path = pathlib.Path(sys.argv[1])
    name = sys.argv[2] if len(sys.argv) > 2 else path.stem
    model = onnx.load(path)
    entries = strip(model)
    for node in model.graph.node:
        del node.metadata_props[:]  # the exporter's notes on its own source files
        node.doc_string = ""
    for value in model.graph.value_info:
        del value.metadata_props[:]
    GRAPHS.mkdir(exist_ok=True)
    (GRAPHS / f"{name}.onnx.xz").write_bytes(lzma.compress(model.SerializeToString(), preset=9 | lzma.PRESET_EXTREME))
    (GRAPHS / f"{name}.weights.json.xz").write_bytes(lzma.compress(json.dumps(entries).encode(), preset=9 | lzma.PRESET_EXTREME))
    print(name, *(f"{(GRAPHS / (name + end)).stat().st_size} bytes" for end in (".onnx.xz", ".weights.json.xz")))


if __name__ == "__main__":
    main()
