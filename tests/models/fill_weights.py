#!/usr/bin/env python3
"""Gives an exported graph its weights back: makes NAME.onnx and NAME.weights.

The graphs in graphs/ are as the official exporters wrote them, but their large float tensors were taken
out; NAME.weights.json keeps each one's shape, type, mean and spread. This script draws them again from
one fixed seed, so every machine gets the same bytes.

  fill_weights.py NAME OUT_DIR    writes OUT_DIR/NAME.onnx and OUT_DIR/NAME.weights
Needs numpy and onnx.
"""
import json
import lzma
import pathlib
import sys
import zlib

import numpy as np
import onnx

GRAPHS = pathlib.Path(__file__).parent / "graphs"


def names():
    """The models there are."""
    return sorted(path.name.removesuffix(".onnx.xz") for path in GRAPHS.glob("*.onnx.xz"))


def read_graph(name, graphs=GRAPHS):
    """The model without its large weights."""
    return onnx.load_from_string(lzma.decompress((graphs / f"{name}.onnx.xz").read_bytes()))


def draw(entry, name):
    """One tensor: normal, seeded by its own name, so that the order does not matter."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    std = entry["std"]
    if not np.isfinite(std):  # a mask built from infinities
        std = 0.0
    mean = entry["mean"] if np.isfinite(entry["mean"]) else 0.0
    if len(entry["shape"]) == 4 and entry["shape"][1] == 1:  # depthwise: keep its input's spread
        std = max(std, (2 / np.prod(entry["shape"][1:])) ** 0.5)
    a = rng.standard_normal(entry["shape"], dtype=np.float32) * np.float32(std) + np.float32(mean)
    if mean > 0.5 and 0 < std < 0.5:  # a variance or a scale stays positive
        a = np.abs(a)
    return a.astype(entry["dtype"])


def fill(name, out_dir, graphs=GRAPHS):
    """Writes the model with its weights; returns the path of the .onnx file."""
    out_dir = pathlib.Path(out_dir)
    model = read_graph(name, graphs)
    meta = {e["name"]: e for e in json.loads(lzma.decompress((graphs / f"{name}.weights.json.xz").read_bytes()))}
    out_dir.mkdir(parents=True, exist_ok=True)
    offset = 0
    with open(out_dir / f"{name}.weights", "wb") as out:
        for t in model.graph.initializer:
            if t.data_location != onnx.TensorProto.EXTERNAL:
                continue
            data = draw(meta[t.name], t.name).tobytes()
            pad = -offset % 64
            out.write(b"\0" * pad)
            offset += pad
            out.write(data)
            del t.external_data[:]
            for key, value in (("location", f"{name}.weights"), ("offset", offset), ("length", len(data))):
                e = t.external_data.add()
                e.key, e.value = key, str(value)
            offset += len(data)
    path = out_dir / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in names():
        sys.exit(f"{__doc__}\nModels: {', '.join(names())}")
    fill(sys.argv[1], sys.argv[2])
